import NIOCore
import NIOEmbedded
import TLS
import Testing

@testable import HTTPTransport

/// One connection to a backend without a socket, whose clock a test moves.
@Suite("HTTP/2 backends that say nothing")
struct HTTP2KeepAliveTests {
    private final class Bench {
        let channel = EmbeddedChannel()
        let context: LoopContext
        let pool: HTTP2ConnectionPool

        init() throws {
            self.context = LoopContext(
                eventLoop: self.channel.embeddedEventLoop, tls: try TLSWorkerResources())
            var limits = PoolLimits()
            // None by itself: an embedded loop cannot connect.
            limits.connections = .min
            self.pool = HTTP2ConnectionPool(
                loop: self.context, address: .unix(path: "/nowhere"), tls: nil,
                httpLimits: .response, limits: limits)
            let connection = HTTP2ClientConnection(
                loop: self.context, limits: .response, pool: self.pool, isEncrypted: false)
            try self.channel.pipeline.syncOperations.addHandler(connection)
            try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
            // SETTINGS.
            try self.receive([0, 0, 0, 4, 0, 0, 0, 0, 0])
        }

        deinit {
            self.pool.close()
            _ = try? self.channel.finish(acceptAlreadyClosed: true)
        }

        func receive(_ bytes: [UInt8]) throws {
            try self.channel.writeInbound(ByteBuffer(bytes: bytes))
            self.channel.embeddedEventLoop.run()
        }

        /// Moves the clock to so long after the beginning, as far as deadlines go.
        func pass(_ time: TimeAmount) {
            self.context.deadlines.advance(to: .now() + time)
            self.channel.embeddedEventLoop.run()
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
}
