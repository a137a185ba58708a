import Cryptography
import Testing

@testable import Vault

@Suite("Event publisher")
struct EventPublisherTests {
    private let publisher = EventPublisher(now: 36)
    private let peer: SPIFFEID
    private let other: SPIFFEID

    init() throws {
        self.peer = try SPIFFEID("spiffe://test.local/gateway/edge")
        self.other = try SPIFFEID("spiffe://test.local/reader/audit")
    }

    /// What a stream has until it ends, which ``EventPublisher/finish()`` makes it do.
    private func text(_ stream: AsyncStream<[UInt8]>) async -> String {
        self.publisher.finish()
        var text = ""
        for await piece in stream { text += String(decoding: piece, as: UTF8.self) }
        return text
    }

    @Test("an event goes to those that may hear of it, with its id, and beats to all")
    func audience() async {
        let stream = self.publisher.subscribe(self.peer, after: nil)
        let peer = self.peer
        self.publisher.publish("key", data: "{}") { $0 == peer }
        self.publisher.publish("key", data: "[]") { $0 != peer }
        self.publisher.beat()
        #expect(
            await self.text(stream)
                == "retry: 1000\n\nid: 10-1\nevent: key\ndata: {}\n\n: beat\n\n")
    }

    @Test("whoever comes again gets what it missed, and nothing it may not hear of")
    func resumed() async {
        let peer = self.peer
        self.publisher.publish("key", data: "1")
        self.publisher.publish("key", data: "2")
        self.publisher.publish("key", data: "3") { $0 != peer }
        self.publisher.publish("deny", data: "4")
        let stream = self.publisher.subscribe(peer, after: "10-1")
        #expect(
            await self.text(stream) == """
                retry: 1000

                id: 10-2
                event: key
                data: 2

                id: 10-4
                event: deny
                data: 4


                """)
    }

    @Test(
        "after an id of another process, one not given yet or one too old, everything is read anew",
        arguments: ["z-1", "10-3", "10", "", "10-x", "10--1"])
    func reset(_ last: String) async {
        self.publisher.publish("key", data: "1")
        self.publisher.publish("key", data: "2")
        let stream = self.publisher.subscribe(self.peer, after: last)
        #expect(
            await self.text(stream)
                == "retry: 1000\n\nid: 10-2\nevent: reset\ndata: {}\n\n")
    }

    @Test("only so many are kept: who missed more is told to read everything anew")
    func kept() async {
        for number in 0..<1_100 { self.publisher.publish("key", data: "\(number)") }
        let stream = self.publisher.subscribe(self.peer, after: "10-50")
        #expect(await self.text(stream).contains("event: reset"))
        #expect(!self.publisher.hasSubscribers)
    }

    @Test("a subscriber that does not read is let go; the others are not held up")
    func slow() async {
        let slow = self.publisher.subscribe(self.other, after: nil)
        for number in 0..<3_000 { self.publisher.publish("key", data: "\(number)") }
        #expect(!self.publisher.hasSubscribers)
        let quick = self.publisher.subscribe(self.peer, after: "10-2999")
        #expect(await self.text(quick).contains("data: 2999"))
        var pieces = 0
        for await _ in slow { pieces += 1 }
        #expect(pieces == 2_048)
    }
}

extension EventPublisher {
    fileprivate var hasSubscribers: Bool { self.subscriberCount > 0 }
}
