import NIOCore
import NIOEmbedded
import TLS
import Testing

@testable import HTTPTransport

/// Stands where TCP and TLS would: collects what is written, and says how the channel was closed.
final class ChannelEnd: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var bytes = ByteBuffer()
    private(set) var writes = 0
    private(set) var flushes = 0
    /// Whether writing was shut down while reading goes on.
    private(set) var isOutputClosed = false
    /// Whether written bytes stay in the channel's queue.
    var isHolding = false

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        var bytes = Self.unwrapOutboundIn(data)
        self.writes += 1
        if self.isHolding {
            context.write(data, promise: promise)
        } else {
            self.bytes.writeBuffer(&bytes)
            promise?.succeed()
        }
    }

    func flush(context: ChannelHandlerContext) {
        self.flushes += 1
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard mode == .output else {
            context.close(mode: mode, promise: promise)
            return
        }
        self.isOutputClosed = true
        promise?.succeed()
    }

    /// What was written since it was last taken.
    func take() -> String {
        defer { self.bytes.clear() }
        return String(buffer: self.bytes)
    }
}

/// A server connection on an embedded channel, and what its receiver was told.
final class ServerBench {
    static let get = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
    /// What `answer()` writes.
    static let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

    /// A POST with `body`, which may be less of it than the request says.
    static func post(_ body: String, length: Int? = nil, _ fields: String = "") -> String {
        "POST /p HTTP/1.1\r\nHost: h\r\n\(fields)Content-Length: \(length ?? body.utf8.count)\r\n\r\n"
            + body
    }

    let loop: LoopContext
    let channel: EmbeddedChannel
    let end = ChannelEnd()
    let connection: HTTP1ServerConnection
    let receiver = RecordingReceiver()

    init(limits: HTTPLimits = HTTPLimits(), idle: TimeAmount = .seconds(60)) throws {
        let embedded = EmbeddedEventLoop()
        self.loop = LoopContext(eventLoop: embedded, tls: try TLSWorkerResources())
        let receiver = self.receiver
        self.connection = HTTP1ServerConnection(
            loop: self.loop, limits: limits,
            timeouts: ServerTimeouts(head: .seconds(10), idle: idle)
        ) {
            receiver.connection = $0
            return receiver
        }
        self.channel = EmbeddedChannel(handlers: [self.end, self.connection], loop: embedded)
        self.channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
    }

    deinit {
        _ = try? self.channel.finish(acceptAlreadyClosed: true)
    }

    /// Lets bytes arrive, and takes what was written.
    @discardableResult
    func send(_ text: String) throws -> String {
        try self.channel.writeInbound(ByteBuffer(string: text))
        return self.end.take()
    }

    /// Lets time pass.
    func pass(_ time: TimeAmount) {
        self.loop.deadlines.advance(to: .now() + time + .milliseconds(60))
    }

    func setWritable(_ isWritable: Bool) {
        self.channel.isWritable = isWritable
        self.channel.pipeline.fireChannelWritabilityChanged()
    }

    /// Answers from outside of any call of the connection, as a backend's answer does.
    func answer(_ status: Int = 200, _ body: String = "ok") -> String {
        self.receiver.answer(status, body)
        self.connection.flush()
        return self.end.take()
    }

    /// Whether the channel reads by itself.
    var isReading: Bool {
        let option = self.channel.options.last { $0.option is ChannelOptions.Types.AutoReadOption }
        return option?.value as? Bool ?? true
    }

    var isOpen: Bool { self.channel.isActive }
}

/// Remembers what it is told; answers at the events it is told to.
final class RecordingReceiver: RequestReceiver {
    enum Event: Equatable {
        case head(String)
        case body(String)
        case end
        case readComplete
        case bad(HTTPError)
        case failed(String)
        case writable(Bool)
        case closed
    }

    weak var connection: HTTP1ServerConnection?
    private(set) var events: [Event] = []
    /// Called at the head, for an answer before the body is read.
    var onHead: ((HTTP1ServerConnection) -> Void)?
    /// Called at the end of each request.
    var onEnd: ((HTTP1ServerConnection) -> Void)?
    /// Whether bad and slow requests are answered.
    var answersFailures = true

    /// All events but `.readComplete`.
    var story: [Event] { self.events.filter { $0 != .readComplete } }

    func answer(_ status: Int = 200, _ body: String = "ok") {
        let head = MessageHead()
        head.status = status
        self.connection?.sendHead(head, framing: .length(body.utf8.count))
        self.connection?.sendBody(ByteBuffer(string: body))
        self.connection?.sendEnd()
    }

    func receiveRequestHead(_ head: MessageHead) {
        self.events.append(.head("\(head.method.name) \(head.string(head.pathRange))"))
        if let connection { self.onHead?(connection) }
    }

    func receiveRequestBody(_ bytes: ByteBuffer) {
        self.events.append(.body(String(buffer: bytes)))
    }

    func receiveRequestEnd() {
        self.events.append(.end)
        if let connection { self.onEnd?(connection) }
    }

    func requestReadComplete() { self.events.append(.readComplete) }

    func receiveBadRequest(_ error: HTTPError, head: MessageHead?) {
        self.events.append(.bad(error))
        if self.answersFailures { self.answer(error.status, "") }
    }

    func requestFailed(_ error: StreamError) {
        self.events.append(.failed("\(error)"))
        if case .malformed(let error) = error, self.answersFailures {
            self.answer(error.status, "")
        }
    }

    func answerWritabilityChanged(isWritable: Bool) { self.events.append(.writable(isWritable)) }
    func connectionClosed() { self.events.append(.closed) }
}
