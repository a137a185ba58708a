import NIOCore
import NIOEmbedded
import TLS
import Testing

@testable import HTTPTransport

/// One server connection without a socket, whose clock a test moves.
@Suite("HTTP/2 clients that are slow")
struct HTTP2PaceTests {
    private final class Bench {
        let channel = EmbeddedChannel()
        let context: LoopContext
        var receivers: [EchoReceiver] = []
        private(set) weak var connection: HTTP2ServerConnection?
        private var streams: UInt8 = 0

        /// `settings` are the payload of the client's SETTINGS.
        init(settings: [UInt8] = []) throws {
            self.context = LoopContext(
                eventLoop: self.channel.embeddedEventLoop, tls: try TLSWorkerResources())
            let connection = HTTP2ServerConnection(
                loop: self.context, limits: HTTPLimits(),
                timeouts: ServerTimeouts(head: .seconds(10), idle: .seconds(60)),
                makeReceiver: {
                    let receiver = EchoReceiver($0)
                    self.receivers.append(receiver)
                    return receiver
                })
            self.connection = connection
            try self.channel.pipeline.syncOperations.addHandler(connection)
            try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
            try self.send(
                Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + Self.frame(4, 0, 0, settings))
        }

        static func frame(
            _ type: UInt8, _ flags: UInt8, _ stream: UInt8, _ payload: [UInt8] = []
        ) -> [UInt8] {
            let count = payload.count
            return [0, UInt8(count >> 8), UInt8(count & 255), type, flags, 0, 0, 0, stream]
                + payload
        }

        /// Opens the next stream.
        func request(_ path: String, method: String = "POST", flags: UInt8) throws {
            let id = self.streams * 2 + 1
            self.streams += 1
            let fields = [
                (":method", method), (":scheme", "https"), (":authority", "h"), (":path", path),
            ]
            var block: [UInt8] = []
            for (name, value) in fields {
                block += [0, UInt8(name.utf8.count)] + Array(name.utf8)
                block += [UInt8(value.utf8.count)] + Array(value.utf8)
            }
            try self.send(Self.frame(1, flags, id, block))
        }

        func send(_ bytes: [UInt8]) throws {
            try self.channel.writeInbound(ByteBuffer(bytes: bytes))
            self.channel.embeddedEventLoop.run()
        }

        /// Lets so much time pass, as far as deadlines go.
        func pass(_ time: TimeAmount) {
            self.context.deadlines.advance(to: .now() + time)
            self.channel.embeddedEventLoop.run()
        }

        /// Types of the frames that were written since the last call.
        func written() throws -> [UInt8] {
            try self.channel.http2Frames().map(\.type)
        }

        func stop() { _ = try? self.channel.finish(acceptAlreadyClosed: true) }
    }

    @Test("what streams send within a turn leaves in one write")
    func turn() throws {
        let bench = try Bench()
        _ = try bench.written()
        let before = bench.receivers.count
        for _ in 0..<3 { try bench.request("/hang", flags: 4) }
        #expect(bench.receivers.count == before + 3)
        for receiver in bench.receivers {
            let head = MessageHead()
            head.status = 200
            receiver.stream.sendHead(head, framing: .length(2))
            receiver.stream.sendBody(ByteBuffer(string: "ok"))
            receiver.stream.sendEnd()
            receiver.stream.flush()
        }
        #expect(try bench.channel.readOutbound(as: ByteBuffer.self) == nil)
        bench.channel.embeddedEventLoop.run()
        #expect(try bench.channel.readOutbound(as: ByteBuffer.self) != nil)
        #expect(try bench.channel.readOutbound(as: ByteBuffer.self) == nil)
        bench.stop()
    }

    @Test("PINGs of a client that measures what it is sent cost nothing, others do")
    func pings() throws {
        let ping = Bench.frame(6, 0, 0, [UInt8](repeating: 0, count: 8))
        let bench = try Bench()
        try bench.request("/echo", flags: 4)
        for _ in 0..<500 {
            try bench.send(Bench.frame(0, 0, 1, [0x61]))
            try bench.send(ping)
        }
        #expect(try !bench.written().contains(7))
        for _ in 0..<200 { try bench.send(ping) }
        #expect(try bench.written().contains(7))
        bench.stop()
    }

    @Test("an answer that ended with its head is not cut, unless its request goes on")
    func cutAfterTheEnd() throws {
        for (flags, frames) in [(UInt8(5), [UInt8(1)]), (4, [1, 3])] {
            let bench = try Bench()
            _ = try bench.written()
            try bench.request("/hang", flags: flags)
            let head = MessageHead()
            head.status = 204
            bench.receivers[0].stream.sendHead(head, framing: .none)
            bench.receivers[0].stream.abort()
            bench.channel.embeddedEventLoop.run()
            let written = try bench.written()
            #expect(written == frames)
            bench.stop()
        }
    }

    @Test("a client whose requests make us cut our answers pays for it")
    func provokedResets() throws {
        let bench = try Bench()
        for number in 0..<25 {
            try bench.request("/hang", method: "GET", flags: 4)
            let receiver = try #require(bench.receivers.last)
            let head = MessageHead()
            head.status = 200
            receiver.stream.sendHead(head, framing: .length(2))
            // No GET has a body.
            try bench.send(Bench.frame(0, 0, UInt8(2 * number + 1), [0x61]))
            if receiver.failure != nil { receiver.stream.abort() }
            bench.channel.embeddedEventLoop.run()
        }
        #expect(try bench.written().contains(7))
        bench.stop()
    }

    @Test("what came of a body that was refused is given back when the answer is out")
    func refusedBody() throws {
        let bench = try Bench()
        _ = try bench.written()
        try bench.request("/hang", method: "GET", flags: 4)
        let piece = [UInt8](repeating: 0x61, count: 16_384)
        for _ in 0..<3 { try bench.send(Bench.frame(0, 0, 1, piece)) }
        #expect(bench.receivers[0].failure != nil)
        #expect(try !bench.written().contains(8))
        let head = MessageHead()
        head.status = 400
        bench.receivers[0].stream.sendHead(head, framing: .none)
        bench.receivers[0].stream.sendEnd()
        bench.receivers[0].stream.flush()
        bench.channel.embeddedEventLoop.run()
        #expect(try bench.written() == [1, 8])
        bench.stop()
    }

    @Test("a connection that ends within a turn asks its streams for nothing any more")
    func endsWithinTurn() throws {
        let bench = try Bench()
        try bench.request("/hang", flags: 5)
        let stream = try #require(bench.receivers[0].stream as? HTTP2ServerStream)
        let head = MessageHead()
        head.status = 200
        stream.sendHead(head, framing: .chunked)
        stream.flush()
        stream.sendBody(ByteBuffer(string: "late"))
        bench.channel.pipeline.fireChannelInactive()
        bench.channel.embeddedEventLoop.run()
        #expect(stream.waitingBytes == 4)
        bench.stop()
    }

    @Test(
        "a connection leaves nothing behind, wherever in a request it ends",
        arguments: [[0], [1], [4], [5], [0, 9], [4, 0]])
    func leavesNothing(_ frames: [UInt8]) throws {
        let bench = try Bench()
        weak let session = bench.connection?.session
        #expect(session != nil)
        try bench.request("/hang", flags: frames[0])
        // An error of the connection: too many CONTINUATION frames, or DATA on no stream.
        if frames.count > 1 {
            let id: UInt8 = frames[1] == 9 ? 1 : 0
            for _ in 0..<200 { try bench.send(Bench.frame(frames[1], 0, id, [0, 1, 97, 1, 98])) }
        }
        bench.stop()
        bench.receivers = []
        #expect(bench.connection == nil)
        #expect(session == nil)
    }

    @Test("a head that never ends closes the connection after the head's time")
    func head() throws {
        let bench = try Bench()
        try bench.request("/hang", flags: 0)
        bench.pass(.seconds(5))
        #expect(bench.channel.isActive)
        bench.pass(.seconds(11))
        #expect(!bench.channel.isActive)
        bench.stop()
    }

    @Test("a body that stands still is reported, one that moves is not")
    func body() throws {
        let bench = try Bench()
        try bench.request("/hang", flags: 4)
        try bench.request("/hang", flags: 4)
        let piece = Bench.frame(0, 0, 3, [UInt8](repeating: 1, count: 250))
        for _ in 0..<12 { try bench.send(piece) }
        bench.pass(.seconds(11))
        guard case .malformed(.timedOut)? = bench.receivers[0].failure else {
            Issue.record("not reported")
            return
        }
        #expect(bench.receivers[1].failure == nil)
        bench.stop()
    }

    @Test("the rest of an answered upload is dropped while it comes quickly, then cut")
    func answeredUpload() throws {
        let bench = try Bench()
        try bench.request("/hang", flags: 4)
        let head = MessageHead()
        head.status = 401
        bench.receivers[0].stream.sendHead(head, framing: .none)
        bench.receivers[0].stream.sendEnd()
        bench.receivers[0].stream.flush()
        let piece = Bench.frame(0, 0, 1, [UInt8](repeating: 1, count: 16_384))
        for (interval, pieces) in [16, 20, 15].enumerated() {
            bench.channel.embeddedEventLoop.run()
            #expect(try !bench.written().contains(3))
            for _ in 0..<pieces { try bench.send(piece) }
            bench.pass(.milliseconds(Int64(interval + 1) * 2100))
        }
        #expect(try bench.written().contains(3))
        bench.stop()
    }

    @Test("an answer nobody takes is given up after the stall time")
    func reader() throws {
        // INITIAL_WINDOW_SIZE 0.
        let bench = try Bench(settings: [0, 4, 0, 0, 0, 0])
        try bench.request("/large", flags: 5)
        #expect(bench.receivers[0].queued < 1 << 17)
        _ = try bench.written()
        for seconds in [11, 22, 33] { bench.pass(.seconds(Int64(seconds))) }
        #expect(bench.receivers[0].failure != nil)
        bench.stop()
    }

    @Test("a hundred answers whose windows never open hold a bounded amount")
    func closedWindows() throws {
        let bench = try Bench(settings: [0, 4, 0, 0, 0, 0])
        for _ in 0..<100 { try bench.request("/large", flags: 5) }
        #expect(bench.receivers.count == 100)
        // High water, and the piece that went over it.
        for receiver in bench.receivers { #expect(receiver.queued <= 65_536 + 16_384) }
        // HEADERS each, no DATA.
        let types = try bench.written()
        #expect(types.count { $0 == 1 } == 100 && !types.contains(0))
        bench.stop()
    }
}
