import NIOCore
import NIOPosix
import Synchronization
import TLS

@testable import HTTPTransport

/// A pool of HTTP/2 connections before a server of ours, on one loop and without TLS.
///
/// The server answers a path: `/echo` sends the body back, `/large` 256 KiB, `/hang` nothing.
final class HTTP2Bench: Sendable {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let loop: any EventLoop
    let state: NIOLoopBound<State>
    private let listener: any Channel

    /// What tests look at; of the loop.
    final class State {
        let context: LoopContext
        var pool: HTTP2ConnectionPool?
        var servers: [HTTP2ServerConnection] = []
        var serverStreams: [EchoReceiver] = []
        init(context: LoopContext) { self.context = context }
    }

    init(limits: PoolLimits = PoolLimits()) async throws {
        let loop = self.group.next()
        self.loop = loop
        let state = try await loop.submit {
            let context = LoopContext(eventLoop: loop, tls: try TLSWorkerResources())
            return NIOLoopBound(State(context: context), eventLoop: loop)
        }.get()
        self.state = state
        self.listener = try await ServerBootstrap(group: loop)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let connection = HTTP2ServerConnection(
                        loop: state.value.context, limits: HTTPLimits(),
                        timeouts: ServerTimeouts(head: .seconds(60), idle: .seconds(60)),
                        isEncrypted: false
                    ) { stream in
                        let receiver = EchoReceiver(stream)
                        state.value.serverStreams.append(receiver)
                        return receiver
                    }
                    state.value.servers.append(connection)
                    try channel.pipeline.syncOperations.addHandler(connection)
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let port = self.listener.localAddress?.port ?? 0
        try await loop.submit {
            state.value.pool = HTTP2ConnectionPool(
                loop: state.value.context, address: .host("127.0.0.1", port: port), tls: nil,
                httpLimits: .response, limits: limits)
        }.get()
    }

    /// Runs `body` on the loop.
    func run<Result: Sendable>(_ body: @escaping @Sendable (State) -> Result) async throws -> Result
    {
        let state = self.state
        return try await self.loop.submit { body(state.value) }.get()
    }

    /// Waits on the loop until `holds`; false after forty seconds.
    func wait(until holds: @escaping @Sendable (State) -> Bool) async throws -> Bool {
        let end = NIODeadline.now() + .seconds(40)
        while NIODeadline.now() < end {
            let state = self.state
            let look = self.loop.scheduleTask(in: .milliseconds(5)) { holds(state.value) }
            if try await look.futureResult.get() { return true }
        }
        return false
    }

    func stop() async throws {
        try await self.run { $0.pool?.close() }
        try await self.listener.close().get()
        try await self.group.shutdownGracefully()
    }
}

/// Answers what a request's path says.
final class EchoReceiver: RequestReceiver {
    let stream: any ServerStream
    private var path = ""
    private(set) var received = 0
    private(set) var isWritable = true
    private(set) var failure: StreamError?
    private(set) var queued = 0
    private let head = MessageHead()

    init(_ stream: any ServerStream) { self.stream = stream }

    func receiveRequestHead(_ head: MessageHead) {
        self.path = head.string(head.pathRange)
        self.received = 0
        self.failure = nil
        guard self.path == "/echo" else { return }
        self.begin(.chunked)
    }

    func receiveRequestBody(_ bytes: ByteBuffer) {
        self.received += bytes.readableBytes
        if self.path == "/echo" {
            self.stream.sendBody(bytes)
            if !self.stream.isWritable { self.stream.setReading(false) }
        }
        if self.path == "/stall" { self.stream.setReading(false) }
    }

    func receiveRequestEnd() {
        switch self.path {
        case "/echo": self.stream.sendEnd()
        case "/large":
            self.begin(.length(1 << 18))
            self.queued = 0
            self.more()
        case "/hang", "/stall": break
        default:
            self.begin(.none)
            self.stream.sendEnd()
        }
        self.stream.flush()
    }

    private func begin(_ framing: BodyFraming) {
        self.head.reset()
        self.head.status = 200
        self.stream.sendHead(self.head, framing: framing)
    }

    private func more() {
        let piece = ByteBuffer(repeating: 0x78, count: 16_384)
        while self.queued < 1 << 18, self.stream.isWritable {
            self.stream.sendBody(piece)
            self.queued += piece.readableBytes
        }
        if self.queued == 1 << 18 { self.stream.sendEnd() }
    }

    func requestReadComplete() { self.stream.flush() }
    func receiveBadRequest(_ error: HTTPError, head: MessageHead?) {}
    func requestFailed(_ error: StreamError) { self.failure = error }

    func answerWritabilityChanged(isWritable: Bool) {
        if self.path == "/large" { self.more() } else { self.stream.setReading(isWritable) }
    }

    func connectionClosed() {}
}

/// One request to the bench's server.
final class StreamClient: ResponseReceiver, @unchecked Sendable {
    // Touched on the bench's loop only.
    private(set) var stream: (any ClientStream)?
    private(set) var status = 0
    private(set) var received = 0
    private(set) var isComplete = false
    private(set) var failure: String?
    /// Whether the request might be made again, when it failed.
    private(set) var wasStale = false
    private let path: String
    private let body: [Int]
    private let endsRequest: Bool
    private let reads: Bool

    init(_ path: String, body: [Int] = [], endsRequest: Bool = true, reads: Bool = true) {
        self.path = path
        self.body = body
        self.endsRequest = endsRequest
        self.reads = reads
    }

    func connectionReady(_ stream: any ClientStream) {
        self.stream = stream
        let head = MessageHead()
        head.method = self.body.isEmpty && self.endsRequest ? .get : .post
        try? head.setTarget(Array(self.path.utf8).span)
        head.append("host", "h")
        let framing: BodyFraming = head.method == .get ? .none : .chunked
        stream.sendHead(head, framing: framing, strippedPrefixBytes: 0)
        if !self.reads { stream.setReading(false) }
        for count in self.body { stream.sendBody(ByteBuffer(repeating: 0x61, count: count)) }
        if self.endsRequest { stream.sendEnd() }
        stream.flush()
    }

    func resume() { self.stream?.setReading(true) }
    func cancel() { self.stream?.cancel() }

    func connectionFailed(_ error: StreamError) { self.failure = "\(error)" }
    func receiveResponseHead(_ head: MessageHead) { self.status = head.status }
    func receiveResponseBody(_ bytes: ByteBuffer) { self.received += bytes.readableBytes }
    func receiveResponseEnd(trailers: MessageHead?) { self.isComplete = true }
    func responseReadComplete() {}
    func responseFailed(_ error: StreamError) {
        self.failure = "\(error)"
        self.wasStale = self.stream?.mayBeStale ?? false
    }
    func requestWritabilityChanged(isWritable: Bool) {}
}
