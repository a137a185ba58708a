import NIOCore
import NIOEmbedded
import TLS
import Testing

@testable import HTTPTransport

/// Connections to a backend without sockets, whose clock a test moves.
@Suite("HTTP/2 backends that say little")
struct HTTP2KeepAliveTests {
    private final class Bench {
        let loop = EmbeddedEventLoop()
        let context: LoopContext
        let pool: HTTP2ConnectionPool
        private(set) var channel: EmbeddedChannel
        private var channels: [EmbeddedChannel] = []

        /// `settings` are the payload of the backend's SETTINGS.
        init(settings: [UInt8] = []) throws {
            self.channel = EmbeddedChannel(loop: self.loop)
            self.context = LoopContext(eventLoop: self.loop, tls: try TLSWorkerResources())
            var limits = PoolLimits()
            // None by itself: an embedded loop cannot connect.
            limits.connections = .min
            self.pool = HTTP2ConnectionPool(
                loop: self.context, address: .unix(path: "/nowhere"), tls: nil,
                httpLimits: .response, limits: limits)
            try self.connect()
            try self.receive(Self.settings(settings))
        }

        deinit {
            self.pool.close()
            for channel in self.channels { _ = try? channel.finish(acceptAlreadyClosed: true) }
        }

        static func settings(_ payload: [UInt8]) -> [UInt8] {
            [0, 0, UInt8(payload.count), 4, 0, 0, 0, 0, 0] + payload
        }

        /// Opens the pool's next connection, which the others are done with now.
        func connect() throws {
            if !self.channels.isEmpty { self.channel = EmbeddedChannel(loop: self.loop) }
            self.channels.append(self.channel)
            let connection = HTTP2ClientConnection(
                loop: self.context, limits: .response, pool: self.pool, isEncrypted: false)
            try self.channel.pipeline.syncOperations.addHandler(connection)
            try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        }

        func receive(_ bytes: [UInt8]) throws {
            try self.channel.writeInbound(ByteBuffer(bytes: bytes))
            self.loop.run()
        }

        /// Moves the clock to so long after the beginning, as far as deadlines go.
        func pass(_ time: TimeAmount) {
            self.context.deadlines.advance(to: .now() + time)
            self.loop.run()
        }

        /// The payload of the PING written since the last call; nil if there is none.
        func ping() throws -> [UInt8]? {
            try self.channel.http2Frames().last { $0.type == 6 && $0.flags == 0 }?.payload
        }
    }

    @Test("one that has said nothing for 30 seconds is asked, and kept if it answers")
    func answered() throws {
        let bench = try Bench()
        bench.pass(.seconds(20))
        #expect(try bench.ping() == nil)
        bench.pass(.seconds(31))
        let payload = try #require(try bench.ping())
        try bench.receive([0, 0, 8, 6, 1, 0, 0, 0, 0] + payload)
        bench.pass(.seconds(45))
        #expect(bench.channel.isActive)
        bench.pass(.seconds(65))
        #expect(try bench.ping() != nil)
    }

    @Test("one that does not answer within ten seconds is given up")
    func silent() throws {
        let bench = try Bench()
        bench.pass(.seconds(31))
        #expect(try bench.ping() != nil)
        bench.pass(.seconds(38))
        #expect(bench.channel.isActive)
        bench.pass(.seconds(42))
        #expect(!bench.channel.isActive)
    }

    @Test("a request is stale where the connection ended, and nothing else told of its fate")
    func stale() throws {
        // What the backend sends after its answer to another request, and the end of the connection.
        let frames: [(what: String, bytes: [UInt8], isStale: Bool)] = [
            ("nothing", [], true),
            ("RST_STREAM", [0, 0, 4, 3, 0, 0, 0, 0, 3, 0, 0, 0, 2], false),
            ("no field", [0, 0, 6, 1, 4, 0, 0, 0, 3, 0x88, 0, 1, 0x58, 1, 0x79], false),
            ("half a head", [0, 0, 1, 1, 0, 0, 0, 0, 3, 0x88], false),
            ("no HPACK", [0, 0, 1, 1, 4, 0, 0, 0, 3, 0x80], false),
            ("a frame out of place", [0, 0, 1, 0, 0, 0, 0, 0, 0, 1], false),
        ]
        for (what, bytes, isStale) in frames {
            let bench = try Bench()
            let first = StreamClient("/x")
            bench.pool.acquire(for: first)
            try bench.receive([0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88])
            #expect(first.isComplete)
            let next = StreamClient("/x")
            bench.pool.acquire(for: next)
            try bench.receive(bytes)
            bench.channel.close(promise: nil)
            bench.loop.run()
            #expect(next.failure != nil && next.wasStale == isStale, "\(what)")
        }
        // A connection that has answered nothing was not idle for too long.
        let bench = try Bench()
        let clients = (0..<2).map { _ in StreamClient("/x") }
        for client in clients { bench.pool.acquire(for: client) }
        bench.channel.close(promise: nil)
        bench.loop.run()
        #expect(clients.allSatisfy { $0.failure != nil && !$0.wasStale })
    }

    @Test("a new connection takes as many streams as the backend last allowed, until it says more")
    func limitIsRemembered() throws {
        let one: [UInt8] = [0, 3, 0, 0, 0, 1]
        let two: [UInt8] = [0, 3, 0, 0, 0, 2]
        let bench = try Bench(settings: one)
        let clients = (0..<4).map { _ in StreamClient("/x") }
        var served: [Bool] { clients.map { $0.stream != nil } }
        for client in clients { bench.pool.acquire(for: client) }
        #expect(served == [true, false, false, false])
        try bench.connect()
        #expect(served == [true, true, false, false])
        try bench.receive(Bench.settings(two))
        #expect(served == [true, true, true, false])
        try bench.connect()
        #expect(served == [true, true, true, true])
    }
}
