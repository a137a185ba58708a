import NIOCore
import NIOPosix
import Synchronization
import TLS

/// A backend that keeps every byte it is sent, and answers by a script.
final class RecordingBackend: Sendable {
    /// Where it listens and how.
    enum Kind: Sendable {
        /// Mutual TLS on 127.0.0.1: a client certificate of `root` is required.
        case mutualTLS(TLSCertificateFiles, root: String)
        case loopback
        case unix(path: String)
    }

    /// One thing it does after it has read a request's head.
    enum Step: Sendable {
        /// Waits for the request's end.
        case receiveRequest
        /// Waits until this many bytes of the connection came in, head included.
        case receive(Int)
        case send([UInt8])
        /// The same as text.
        static func send(_ text: String) -> Self { .send(Array(text.utf8)) }
        /// The usual answer: 200 and `{"received":N}`.
        case answer
        /// Sends this many bytes, no faster than they are taken.
        case stream(Int)
        case stopReading
        /// close_notify, then FIN.
        case close
        /// FIN without close_notify.
        case cut
        /// Does nothing more; the connection stays.
        case hang
    }

    /// What one connection brought.
    struct Connection: Sendable {
        var bytes: [UInt8] = []
        /// Also counts what is not kept.
        var byteCount = 0
        var requests: [RawRequest] = []
        var isClosed = false
    }

    let connections = Watched<[Connection]>([])
    private let scripts = Mutex<[String: [Step]]>([:])
    private let listener: Mutex<(any Channel)?> = Mutex(nil)
    private let kind: Kind

    private init(kind: Kind) { self.kind = kind }

    /// Starts it on a port the kernel chooses.
    static func start(_ kind: Kind) async throws -> RecordingBackend {
        let backend = RecordingBackend(kind: kind)
        var context: TLSServerContext?
        if case .mutualTLS(let files, let root) = kind {
            context = try TLSServerContext(
                TLSServerConfiguration(
                    certificates: [files], clientAuthentication: .required,
                    clientTrustRoots: root, purpose: .internal),
                resources: TestLoop.resources.get(), ticketKeys: TLSTicketKeys())
        }
        let bootstrap = ServerBootstrap(group: TestLoop.eventLoop)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { [context] channel in
                channel.eventLoop.makeCompletedFuture {
                    if let context {
                        try channel.pipeline.syncOperations.addHandler(
                            TLSHandler(server: context, counters: TLSCounters()))
                    }
                    try channel.pipeline.syncOperations.addHandler(
                        BackendConnection(backend: backend, isTLS: context != nil))
                }
            }
        let listener: any Channel
        if case .unix(let path) = kind {
            listener = try await bootstrap.bind(unixDomainSocketPath: path).get()
        } else {
            listener = try await bootstrap.bind(host: "127.0.0.1", port: 0).get()
        }
        backend.listener.withLock { $0 = listener }
        return backend
    }

    /// As it stands under `backends`.
    var url: String {
        let port = self.listener.withLock { $0?.localAddress?.port ?? 0 }
        return switch self.kind {
        case .mutualTLS: "https://127.0.0.1:\(port)"
        case .loopback: "http://127.0.0.1:\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }

    func stop() async {
        let listener = self.listener.withLock { $0.take() }
        try? await listener?.close().get()
    }

    /// What it does for requests of `path`, after their heads; else it answers as usual.
    func script(_ path: String, _ steps: [Step]) {
        self.scripts.withLock { $0[path] = steps }
    }

    func steps(for path: String) -> [Step] {
        self.scripts.withLock { $0[path] } ?? [.receiveRequest, .answer]
    }

    /// Bytes of all connections so far.
    var byteCount: Int { self.connections.value.reduce(0) { $0 + $1.byteCount } }

    /// Whole requests of all connections so far, in the order they came.
    var requests: [RawRequest] {
        self.connections.value.flatMap(\.requests).sorted { $0.number < $1.number }
    }

    /// The whole requests of this path, once there are so many.
    func requests(path: String, count: Int = 1) async -> [RawRequest] {
        await self.connections.wait {
            $0.flatMap(\.requests).filter { $0.path == path }.count >= count
        }
        return self.requests.filter { $0.path == path }
    }
}

/// One connection of the backend, following its script.
private final class BackendConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let backend: RecordingBackend
    private let isTLS: Bool
    private var index = 0
    private var input: [UInt8] = []
    private var received = 0
    private var current: RawRequest?
    private var steps: ArraySlice<RecordingBackend.Step> = []
    private var streaming = 0
    private var isEnded = false

    init(backend: RecordingBackend, isTLS: Bool) {
        self.backend = backend
        self.isTLS = isTLS
    }

    func channelActive(context: ChannelHandlerContext) {
        self.backend.connections.update {
            self.index = $0.count
            $0.append(RecordingBackend.Connection())
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = Array(Self.unwrapInboundIn(data).readableBytesView)
        self.received += bytes.count
        self.input += bytes
        self.backend.connections.update {
            $0[self.index].byteCount += bytes.count
            if $0[self.index].bytes.count < 1 << 20 { $0[self.index].bytes += bytes }
        }
        self.advance(context)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) { self.advance(context) }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event as? ChannelEvent == .inputClosed { self.ended(context) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { self.ended(context) }

    func channelInactive(context: ChannelHandlerContext) { self.ended(context) }

    private func ended(_ context: ChannelHandlerContext) {
        guard !self.isEnded else { return }
        self.isEnded = true
        self.backend.connections.update { $0[self.index].isClosed = true }
        context.close(promise: nil)
    }

    private func advance(_ context: ChannelHandlerContext) {
        while !self.isEnded {
            if self.current == nil {
                guard let head = RawRequest.head(of: self.input[...]) else { return }
                self.current = head
                self.steps = self.backend.steps(for: head.path)[...]
            }
            guard let step = self.steps.first else {
                self.current = nil
                continue
            }
            guard self.perform(step, context) else { return }
            self.steps = self.steps.dropFirst()
        }
    }

    /// Does one step; false while it is not done.
    private func perform(_ step: RecordingBackend.Step, _ context: ChannelHandlerContext) -> Bool {
        switch step {
        case .receiveRequest:
            guard var request = RawRequest.whole(of: self.input[...]) else { return false }
            self.input.removeFirst(request.byteCount)
            self.backend.connections.update { connections in
                request.number = connections.reduce(0) { $0 + $1.requests.count }
                connections[self.index].requests.append(request)
            }
            self.current = request
        case .receive(let count):
            return self.received >= count
        case .send(let bytes):
            self.write(bytes, context)
        case .answer:
            let isHead = self.current?.method == "HEAD"
            let body = #"{"received":\#(self.current?.body.count ?? 0)}"#
            self.write(
                Array(
                    """
                    HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                    content-length: \(body.utf8.count)\r\n\r\n\(isHead ? "" : body)
                    """.utf8), context)
        case .stream(let count):
            let piece = [UInt8](repeating: 0x61, count: 65_536)
            while self.streaming < count {
                guard context.channel.isWritable, context.channel.isActive else { return false }
                let size = min(piece.count, count - self.streaming)
                self.streaming += size
                self.write(Array(piece.prefix(size)), context)
            }
            self.streaming = 0
        case .stopReading:
            try? context.channel.syncOptions?.setOption(.autoRead, value: false)
        case .close:
            self.isEnded = true
            self.backend.connections.update { $0[self.index].isClosed = true }
            context.close(promise: nil)
        case .cut:
            self.isEnded = true
            self.backend.connections.update { $0[self.index].isClosed = true }
            let tls = try? context.pipeline.syncOperations.context(handlerType: TLSHandler.self)
            (self.isTLS ? tls : context)?.close(promise: nil)
        case .hang:
            return false
        }
        return true
    }

    private func write(_ bytes: [UInt8], _ context: ChannelHandlerContext) {
        context.writeAndFlush(Self.wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
    }
}
