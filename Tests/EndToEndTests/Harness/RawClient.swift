import NIOCore
import NIOPosix
import NIOTLS
import TLS

/// A client that sends exactly the bytes it is told over TLS, and keeps what comes back.
final class RawClient: Sendable {
    /// What came so far, and how it ended.
    struct Received: Sendable {
        var bytes: [UInt8] = []
        /// close_notify came.
        var isInputClosed = false
        var isClosed = false
        var hasHandshake = false
        /// Of the server's certificate, in hexadecimal.
        var serial: String?
        var error: String?
    }

    let received: Watched<Received>
    private let channel: any Channel

    private init(channel: any Channel, received: Watched<Received>) {
        self.channel = channel
        self.received = received
    }

    /// Connects and waits for the handshake.
    ///
    /// Without `serverName` there is no SNI, and the certificate is checked for 127.0.0.1. `preface`
    /// goes before TLS, as a proxy's header does.
    static func connect(
        port: Int, root: String, serverName: String? = nil, identity: TLSCertificateFiles? = nil,
        alpn: [String] = ["http/1.1"], preface: [UInt8] = [], readsAtOnce: Bool = true,
        source: String = "127.0.0.1"
    ) async throws -> RawClient {
        let client = try await self.begin(
            port: port, root: root, serverName: serverName, identity: identity, alpn: alpn,
            preface: preface, readsAtOnce: readsAtOnce, source: source)
        await client.received.wait { $0.hasHandshake || $0.isClosed }
        return client
    }

    /// Connects without waiting for more than TCP.
    static func begin(
        port: Int, root: String, serverName: String? = nil, identity: TLSCertificateFiles? = nil,
        alpn: [String] = ["http/1.1"], preface: [UInt8] = [], readsAtOnce: Bool = true,
        source: String = "127.0.0.1"
    ) async throws -> RawClient {
        let configuration = TLSClientConfiguration(
            trustRoots: root, identity: identity, peer: .dnsName(serverName ?? "127.0.0.1"),
            alpn: alpn, handshakeTimeoutMilliseconds: 120_000)
        let context = try TLSClientContext(configuration, resources: TestLoop.resources.get())
        let received = Watched(Received())
        let channel = try await ClientBootstrap(group: TestLoop.eventLoop)
            .bind(to: SocketAddress(ipAddress: source, port: 0))
            .connectTimeout(.seconds(60))
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if !preface.isEmpty {
                        try channel.pipeline.syncOperations.addHandler(Preface(bytes: preface))
                    }
                    try channel.pipeline.syncOperations.addHandlers([
                        TLSHandler(client: context, counters: TLSCounters()),
                        Collector(received: received),
                    ])
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
        return RawClient(channel: channel, received: received)
    }

    deinit { self.channel.close(promise: nil) }

    /// Sends bytes; what the peer does not take any more is its answer's matter.
    func send(_ bytes: [UInt8]) async {
        try? await self.channel.writeAndFlush(ByteBuffer(bytes: bytes)).get()
    }

    func send(_ text: String) async { await self.send(Array(text.utf8)) }

    /// Sends pieces, each in a record and a packet of its own.
    func send(pieces: [[UInt8]]) async {
        for piece in pieces { await self.send(piece) }
    }

    /// Hands over without waiting until the peer took it.
    func post(_ bytes: [UInt8]) {
        self.channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
    }

    /// close_notify and FIN.
    func close() async { try? await self.channel.close().get() }

    /// FIN alone, as a client that died.
    func cut() async {
        try? await self.channel.eventLoop.submit { [channel = self.channel] in
            try channel.pipeline.syncOperations.context(handlerType: TLSHandler.self)
                .close(promise: nil)
        }.get()
    }

    func setReading(_ isWanted: Bool) async {
        try? await self.channel.setOption(.autoRead, value: isWanted).get()
    }

    /// The bytes until the connection ends.
    ///
    /// - Returns: nil if it does not end in time.
    func untilClosed(_ timeout: TimeAmount = .seconds(60)) async -> [UInt8]? {
        let isEnded = await self.received.wait(timeout) { $0.isClosed || $0.isInputClosed }
        return isEnded ? self.received.value.bytes : nil
    }

    /// Waits for this many answers and gives them, or what there is by then.
    ///
    /// `methods`: of their requests, where one is HEAD.
    func answers(
        _ count: Int, methods: [String] = [], within timeout: TimeAmount = .seconds(60)
    ) async -> [RawAnswer] {
        await self.received.wait(timeout) { received in
            received.isClosed
                || RawAnswer.parse(
                    received.bytes, isEnded: received.isInputClosed, methods: methods
                ).count >= count
        }
        let value = self.received.value
        return RawAnswer.parse(
            value.bytes, isEnded: value.isClosed || value.isInputClosed, methods: methods)
    }

    /// The one next answer.
    func answer(method: String = "POST") async throws -> RawAnswer {
        guard let answer = await self.answers(1, methods: [method]).first else {
            throw HarnessError.noAnswer(self.received.value)
        }
        return answer
    }

    private final class Collector: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        let received: Watched<Received>

        init(received: Watched<Received>) { self.received = received }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = Self.unwrapInboundIn(data)
            self.received.update { $0.bytes += Array(bytes.readableBytesView) }
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if event is TLSUserEvent {
                let tls = try? context.pipeline.syncOperations.handler(type: TLSHandler.self)
                let serial = tls?.session?.peer?.serial
                self.received.update {
                    $0.serial = serial
                    $0.hasHandshake = true
                }
            }
            if event as? ChannelEvent == .inputClosed {
                self.received.update { $0.isInputClosed = true }
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            self.received.update { $0.error = $0.error ?? "\(error)" }
            context.close(promise: nil)
        }

        func channelInactive(context: ChannelHandlerContext) {
            self.received.update { $0.isClosed = true }
        }
    }

    /// Writes a proxy's header before TLS begins.
    private final class Preface: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        let bytes: [UInt8]

        init(bytes: [UInt8]) { self.bytes = bytes }

        func channelActive(context: ChannelHandlerContext) {
            context.writeAndFlush(Self.wrapOutboundOut(ByteBuffer(bytes: self.bytes)), promise: nil)
            context.fireChannelActive()
        }
    }
}
