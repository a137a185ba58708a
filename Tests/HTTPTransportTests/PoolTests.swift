import NIOCore
import NIOPosix
import Synchronization
import TLS
import Testing

@testable import HTTPTransport

@Suite("Connection pool", .timeLimit(.minutes(10)))
struct PoolTests {
    private static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    @Test("connections are used again, the last used first; a new one is made where it is wanted")
    func reuse() async throws {
        let bench = try await PoolBench(answer: Self.ok)
        try await bench.ask(count: 3, expecting: "end")
        #expect(try await bench.reaches(.init(open: 3, idle: 3, opened: 3)))
        // Which of the three served the first requests depends on which was open first.
        let before = try await bench.requestsByConnection()
        for _ in 0..<3 { try await bench.ask(count: 1, expecting: "end") }
        #expect(try await bench.reaches(.init(open: 3, idle: 3, opened: 3)))
        try await bench.ask(count: 1, expecting: "end", isFreshWanted: true)
        #expect(try await bench.reaches(.init(open: 4, idle: 4, opened: 4)))
        let after = try await bench.requestsByConnection()
        #expect(zip(after, before).map { $0 - $1 }.sorted() == [0, 0, 3])
        #expect(after[3] == 1)
        try await bench.stop()
    }

    @Test("who wants a new connection gets one where only idle ones are in the way")
    func freshAtLimit() async throws {
        var limits = PoolLimits()
        limits.connections = 2
        let bench = try await PoolBench(answer: Self.ok, limits: limits)
        try await bench.ask(count: 2, expecting: "end")
        #expect(try await bench.reaches(.init(open: 2, idle: 2, opened: 2)))
        try await bench.ask(count: 1, expecting: "end", isFreshWanted: true)
        #expect(try await bench.reaches(.init(open: 2, idle: 2, opened: 3)))
        try await bench.stop()
    }

    @Test("connections that close are not kept")
    func connectionClose() async throws {
        let bench = try await PoolBench(
            answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        for _ in 0..<3 { try await bench.ask(count: 2, expecting: "end") }
        #expect(try await bench.reaches(.init(open: 0, idle: 0, opened: 6)))
        try await bench.stop()
    }

    @Test("no more connections are opened than there may be; the others wait")
    func bounded() async throws {
        var limits = PoolLimits()
        limits.connections = 2
        let bench = try await PoolBench(answer: Self.ok, limits: limits)
        try await bench.ask(count: 20, expecting: "end")
        #expect(try await bench.reaches(.init(open: 2, idle: 2, opened: 2)))
        try await bench.stop()
    }

    @Test("no more wait than may")
    func waitingBound() async throws {
        var limits = PoolLimits()
        limits.connections = 1
        limits.waiting = 3
        let bench = try await PoolBench(answer: Self.ok, limits: limits)
        let texts = try await bench.ask(count: 5)
        #expect(
            texts == ["end", "end", "end"]
                + Array(
                    repeating: "too many connections, or too many that wait for one", count: 2))
        try await bench.stop()
    }

    @Test("all who wait hear that a backend cannot be reached")
    func unreachable() async throws {
        let bench = try await PoolBench(answer: nil)
        try await bench.ask(count: 5, expecting: "unreachable")
        #expect(try await bench.reaches(.init(open: 0, idle: 0, opened: 0)))
        try await bench.stop()
    }

    @Test("a closed pool keeps nothing, but serves those who wait")
    func closed() async throws {
        let bench = try await PoolBench(answer: Self.ok)
        try await bench.ask(count: 2, expecting: "end")
        try await bench.ask(count: 3, expecting: "end", closing: true)
        #expect(try await bench.reaches(.init(open: 0, idle: 0, opened: 3)))
        try await bench.stop()
    }

    @Test("a connection unused for long is closed")
    func sweep() async throws {
        let bench = try await PoolBench(answer: Self.ok)
        try await bench.ask(count: 2, expecting: "end")
        try await bench.pass(.seconds(5))
        #expect(try await bench.reaches(.init(open: 2, idle: 2, opened: 2)))
        try await bench.pass(.seconds(61))
        #expect(try await bench.reaches(.init(open: 0, idle: 0, opened: 2)))
        try await bench.stop()
    }
}

/// A pool on a loop of its own, before a backend that answers whatever it reads.
final class PoolBench: Sendable {
    struct State: Equatable {
        var open: Int
        var idle: Int
        var opened: Int
    }

    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let bound: NIOLoopBound<(pool: ConnectionPool, loop: LoopContext)>
    private let counts = RequestCounts()

    /// Where `answer` is nil, nobody listens.
    init(answer: String?, limits: PoolLimits = PoolLimits()) async throws {
        let loop = self.group.next()
        let counts = self.counts
        let server = try await ServerBootstrap(group: self.group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        Answerer(answer ?? "", counts.add()))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let port = server.localAddress?.port ?? 0
        if answer == nil { try await server.close() }
        self.bound = try await loop.submit {
            let context = LoopContext(eventLoop: loop, tls: try TLSWorkerResources())
            let pool = ConnectionPool(
                loop: context, address: .host("127.0.0.1", port: port), tls: nil,
                httpLimits: .response, limits: limits)
            return NIOLoopBound((pool, context), eventLoop: loop)
        }.get()
    }

    func stop() async throws {
        try await self.group.next().submit { self.bound.value.pool.close() }.get()
        try await self.group.shutdownGracefully()
    }

    /// How many asked at once got how far.
    @discardableResult
    func ask(
        count: Int, isFreshWanted: Bool = false, closing: Bool = false
    ) async throws -> [String] {
        let loop = self.group.next()
        let texts = try await loop.flatSubmit {
            let asking = (0..<count).map { _ in Asking(loop) }
            for one in asking {
                self.bound.value.pool.acquire(for: one, isFreshWanted: isFreshWanted)
            }
            if closing { self.bound.value.pool.close() }
            return EventLoopFuture.whenAllSucceed(asking.map(\.done.futureResult), on: loop)
        }.get()
        // What the last response did to its connection is done a turn later.
        try await loop.submit {}.get()
        return texts
    }

    func ask(
        count: Int, expecting text: String, isFreshWanted: Bool = false, closing: Bool = false
    ) async throws {
        let texts = try await self.ask(
            count: count, isFreshWanted: isFreshWanted, closing: closing)
        #expect(texts.allSatisfy { $0 == text })
    }

    func state() async throws -> State {
        try await self.group.next().submit {
            let pool = self.bound.value.pool
            return State(open: pool.open, idle: pool.idleConnections, opened: pool.opened)
        }.get()
    }

    /// Whether the pool comes to this state within 5 s.
    ///
    /// A connection may still be opening when all who asked have been served by others.
    func reaches(_ expected: State) async throws -> Bool {
        let end = ContinuousClock.now + .seconds(5)
        while try await self.state() != expected {
            guard ContinuousClock.now < end else { return false }
            try await self.group.next().scheduleTask(in: .milliseconds(1)) {}.futureResult.get()
        }
        return true
    }

    /// How many requests came on each connection.
    func requestsByConnection() async throws -> [Int] {
        self.counts.values
    }

    /// Lets time pass.
    func pass(_ time: TimeAmount) async throws {
        try await self.group.next().submit {
            self.bound.value.loop.deadlines.advance(to: .now() + time)
        }.get()
        try await self.group.next().submit {}.get()
    }
}

private final class RequestCounts: Sendable {
    private let counts = Mutex<[Int]>([])

    var values: [Int] { self.counts.withLock { $0 } }

    /// A function that counts one more for a new connection.
    func add() -> @Sendable () -> Void {
        let index = self.counts.withLock { counts in
            counts.append(0)
            return counts.count - 1
        }
        return { self.counts.withLock { $0[index] += 1 } }
    }
}

/// Answers whatever it reads.
final class Answerer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let answer: String
    private let onRequest: @Sendable () -> Void

    init(_ answer: String, _ onRequest: @escaping @Sendable () -> Void) {
        self.answer = answer
        self.onRequest = onRequest
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.onRequest()
        context.writeAndFlush(Self.wrapOutboundOut(ByteBuffer(string: self.answer)), promise: nil)
    }
}

/// One exchange; tells how it ended.
final class Asking: ResponseReceiver {
    let done: EventLoopPromise<String>

    init(_ loop: any EventLoop) { self.done = loop.makePromise() }

    func connectionReady(_ connection: any ClientStream) {
        let head = MessageHead()
        head.method = .get
        // Cannot fail for a constant.
        try? head.setTarget(Array("/".utf8).span)
        connection.sendHead(head, framing: .none, strippedPrefixBytes: 0)
        connection.sendEnd()
        connection.flush()
    }

    func connectionFailed(_ error: StreamError) {
        if case .unreachable = error {
            self.done.succeed("unreachable")
        } else {
            self.done.succeed("\(error)")
        }
    }

    func receiveResponseHead(_ head: MessageHead) {}
    func receiveResponseBody(_ bytes: ByteBuffer) {}
    func receiveResponseEnd(trailers: MessageHead?) { self.done.succeed("end") }
    func responseReadComplete() {}
    func responseFailed(_ error: StreamError) { self.done.succeed("failed: \(error)") }
    func requestWritabilityChanged(isWritable: Bool) {}
}
