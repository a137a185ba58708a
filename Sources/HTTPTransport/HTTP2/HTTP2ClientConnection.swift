package import NIOCore
internal import NIOTLS
internal import TLS

/// One HTTP/2 connection to a backend, shared by the exchanges of a worker.
///
/// Loop-bound; the last handler of its channel, after TLS. Its ``HTTP2ConnectionPool`` owns it. A
/// backend that breaks the protocol once gets no further streams on this connection.
package final class HTTP2ClientConnection: ChannelInboundHandler {
    /// What TLS decrypted.
    package typealias InboundIn = ByteBuffer
    /// What TLS is to encrypt.
    package typealias OutboundOut = ByteBuffer

    private enum Phase {
        case opening
        case open
        /// No further streams; closes after the last one.
        case closing
        case closed
    }

    private let loop: LoopContext
    private let limits: HTTPLimits
    private let pool: HTTP2ConnectionPool
    /// Whether TLS comes first.
    let isEncrypted: Bool
    let session: HTTP2Session
    let output: HTTP2Output
    private let timer: DeadlineTimer
    private var channelContext: ChannelHandlerContext?
    private var phase = Phase.opening
    private var streams: [HTTP2ClientStream] = []
    private var spare: [HTTP2ClientStream] = []
    /// Streams to which something came in the present read.
    var touched: [HTTP2ClientStream] = []
    private var lastRead = NIODeadline.now()
    private var pingSent: NIODeadline?
    private var hasSettings = false
    /// Whether the backend has answered a request.
    private var hasAnswered = false
    /// When the backend's certificate runs out.
    private var end = NIODeadline.distantFuture
    /// Streams leased so far.
    private(set) var requests = 0
    /// Since when no stream is in use.
    private(set) var idleSince = NIODeadline.now()

    /// A connection that is still to be opened.
    init(loop: LoopContext, limits: HTTPLimits, pool: HTTP2ConnectionPool, isEncrypted: Bool) {
        let session = HTTP2Session(isServer: false, loop: loop)
        self.loop = loop
        self.limits = limits
        self.pool = pool
        self.isEncrypted = isEncrypted
        self.session = session
        self.output = HTTP2Output(loop: loop, session: session)
        self.timer = DeadlineTimer(wheel: loop.deadlines)
    }

    /// How many streams are in use.
    var activeStreams: Int { self.streams.count }

    /// Whether another stream may be opened.
    var hasRoom: Bool { self.mayOpenStreams && self.streams.count < self.streamLimit }

    /// Whether the backend takes no stream for now, and will say when it does (RFC 9113 6.5.2).
    var isHeldBack: Bool { self.mayOpenStreams && self.streamLimit == 0 }

    private var mayOpenStreams: Bool {
        guard case .open = self.phase else { return false }
        return self.session.mayOpenStreams
    }

    /// Before this connection's settings came, the backend's last ones on another are the best guess.
    private var streamLimit: Int {
        self.hasSettings
            ? min(self.session.peerStreamLimit, Self.maximumStreams) : self.pool.streamLimit
    }

    /// Gives `receiver` a stream.
    func lease(to receiver: any ResponseReceiver) {
        let stream =
            self.spare.popLast()
            ?? HTTP2ClientStream(connection: self, session: self.session, limits: self.limits)
        stream.place = self.streams.count
        self.streams.append(stream)
        self.requests += 1
        stream.lease(to: receiver, isConnectionUsed: self.hasAnswered)
        receiver.connectionReady(stream)
        if self.requests >= self.pool.limits.requestsPerConnection { self.retire() }
    }

    /// Takes a stream back that is over for its exchange.
    func release(_ stream: HTTP2ClientStream) {
        guard stream.place < self.streams.count, self.streams[stream.place] === stream else {
            return
        }
        let last = self.streams.removeLast()
        if last !== stream {
            self.streams[stream.place] = last
            last.place = stream.place
        }
        if self.spare.count < Self.maximumSpare,
            stream.head.bytes.capacity <= Self.maximumKeptHeadBytes
        {
            stream.recycle()
            self.spare.append(stream)
        } else {
            stream.id = 0
            stream.connection = nil
        }
        if self.streams.isEmpty {
            self.idleSince = self.lastRead
            if case .closing = self.phase { self.output.schedule() }
        }
        self.pool.streamReleased()
    }

    /// Opens no further streams: what the backend sends is not to be trusted.
    func distrust() { self.retire() }

    /// Opens no further streams, and closes after those there are.
    func retire() {
        switch self.phase {
        case .open: self.phase = .closing
        case .opening, .closing, .closed: break
        }
        if self.streams.isEmpty { self.output.schedule() }
    }

    /// What TLS agreed on; nil without TLS.
    var tlsSession: TLSSessionInfo? {
        let pipeline = self.channelContext?.pipeline.syncOperations
        return (try? pipeline?.handler(type: TLSHandler.self))?.session
    }

    /// 1,000: HTTP/1.1 would be as many connections.
    private static let maximumStreams = 1000
    private static let maximumSpare = 128
    private static let maximumKeptHeadBytes = 16_384
    /// 30 s without a byte of the backend: it is asked whether it is still there.
    private static let pingAfter = TimeAmount.seconds(30)
    /// 10 s for the answer.
    private static let pingTimeout = TimeAmount.seconds(10)
    /// 5 min without a stream.
    private static let idleTimeout = TimeAmount.minutes(5)
}

// MARK: - Channel events

extension HTTP2ClientConnection {
    /// Takes its place in the channel.
    package func handlerAdded(context: ChannelHandlerContext) {
        self.channelContext = context
        self.output.context = context
    }

    /// Leaves the channel, which is over.
    package func handlerRemoved(context: ChannelHandlerContext) {
        self.ended(.closed)
        self.channelContext = nil
        self.output.context = nil
    }

    /// TCP is connected.
    package func channelActive(context: ChannelHandlerContext) {
        // Without TLS both sides know beforehand (RFC 9113 3.3).
        if !self.isEncrypted { self.opened() }
    }

    private func opened() {
        guard case .opening = self.phase else { return }
        self.phase = .open
        self.session.owner = self
        self.session.announce(headBytes: self.limits.headBytes)
        self.output.schedule()
        self.timer.bind(to: self)
        self.lastRead = .now()
        self.timer.set(self.lastRead + Self.pingAfter)
        self.end = .ofCertificate(self.tlsSession)
        self.pool.openingEnded(.success(self))
    }

    /// Called by the pool when TCP fails, and here when TLS does.
    func openingFailed(_ error: StreamError) {
        guard case .opening = self.phase else { return }
        self.phase = .closed
        self.pool.openingEnded(.failure(error))
        self.channelContext?.close(promise: nil)
    }

    /// Bytes of the peer.
    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch self.phase {
        case .opening, .closed: return
        case .open, .closing: break
        }
        self.lastRead = self.loop.deadlines.coarseNow
        self.pingSent = nil
        switch self.session.receive(Self.unwrapInboundIn(data)) {
        case .all: break
        case .notHTTP2: self.distrust()
        }
        if self.session.wantsWrite || !self.session.wantsRead { self.output.schedule() }
    }

    /// No more has arrived for now.
    package func channelReadComplete(context: ChannelHandlerContext) {
        guard !self.touched.isEmpty else { return }
        var touched: [HTTP2ClientStream] = []
        swap(&touched, &self.touched)
        for stream in touched { stream.readComplete() }
        touched.removeAll(keepingCapacity: true)
        if self.touched.isEmpty { swap(&touched, &self.touched) }
        if self.session.wantsWrite { self.output.schedule() }
    }

    /// The channel's queue is full, or has room again.
    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { self.output.schedule() }
    }

    /// TLS is there, or the peer's end of sending.
    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case TLSUserEvent.handshakeCompleted(negotiatedProtocol: let name):
            if name == "h2" {
                self.opened()
            } else {
                self.openingFailed(.tls("the backend does not speak HTTP/2 (no ALPN h2)"))
            }
        case ChannelEvent.inputClosed:
            self.ended(.closed)
            context.close(promise: nil)
        default: context.fireUserInboundEventTriggered(event)
        }
    }

    /// TCP or TLS broke.
    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if case .opening = self.phase {
            self.openingFailed(.tls("\(error)"))
        } else {
            self.ended(.ofTLS(error))
        }
        context.close(promise: nil)
    }

    /// The connection is over.
    package func channelInactive(context: ChannelHandlerContext) {
        self.ended(.closed)
    }

    private func ended(_ error: StreamError) {
        switch self.phase {
        case .closed: return
        case .opening:
            self.openingFailed(error)
            return
        case .open, .closing: break
        }
        self.phase = .closed
        let isBroken = self.session.isTerminated
        self.session.abandon()
        self.timer.invalidate()
        // Out of the pool first: who asks again must not get this one.
        self.pool.connectionClosed(self)
        let streams = self.streams
        self.streams = []
        self.touched = []
        for stream in streams {
            stream.connectionEnded(error, isBroken: isBroken)
        }
        for stream in self.spare { stream.connection = nil }
        self.spare = []
    }
}

// MARK: - What the session tells

extension HTTP2ClientConnection: HTTP2SessionOwner {
    func frameBegan(_ frame: HTTP2FrameHeader) {
        guard frame.type == .pushPromise else { return }
        // Push is off from our first frame on, which came before any request.
        self.distrust()
        self.session.terminate(code: HTTP2ErrorCode.protocolError)
    }

    /// Backends open no streams: push is off.
    func openStream(_ id: Int32) -> HTTP2Stream? { nil }

    func unknownFrameReceived() {}

    func fieldRefused() { self.distrust() }

    func frameRefused(_ streamID: Int32) { self.distrust() }

    func frameReceived(_ frame: HTTP2FrameHeader, windowIncrement: Int32) {
        switch frame.type {
        case .settings where !frame.isAcknowledgement:
            self.hasSettings = true
            self.pool.limitChanged(self, to: self.streamLimit)
        case .goAway:
            self.retire()
        case .headers: self.hasAnswered = true
        default: break
        }
    }

    func resetSent(_ streamID: Int32, code: UInt32) {
        if code == HTTP2ErrorCode.protocolError { self.distrust() }
    }

    func streamClosed(_ stream: HTTP2Stream, code: UInt32) {
        guard let stream = stream as? HTTP2ClientStream else { return }
        let error: StreamError =
            switch code {
            case HTTP2ErrorCode.refusedStream: .refused
            case HTTP2ErrorCode.protocolError: .malformed(.malformedField)
            default: .closed
            }
        stream.closed(error)
        self.release(stream)
    }

    func outputLeft() {
        guard let channelContext else { return }
        let isOver: Bool
        switch self.phase {
        case .opening, .closed: return
        case .closing where self.streams.isEmpty && !self.session.wantsWrite: isOver = true
        case .open, .closing: isOver = !self.session.wantsRead && !self.session.wantsWrite
        }
        guard isOver else { return }
        self.ended(.closed)
        channelContext.close(promise: nil)
    }
}

extension HTTP2ClientConnection: DeadlineOwner {
    /// Asks a silent backend whether it is still there, and closes what nobody uses.
    package func deadlinePassed(_ timer: DeadlineTimer, now: NIODeadline) {
        if let pingSent {
            guard now - pingSent < Self.pingTimeout else {
                let context = self.channelContext
                self.ended(.closed)
                context?.close(promise: nil)
                return
            }
        } else if now - self.lastRead >= Self.pingAfter {
            self.pingSent = now
            self.session.ping()
            self.output.schedule()
        }
        if now > self.end || self.streams.isEmpty && now - self.idleSince >= Self.idleTimeout {
            self.retire()
        }
        self.timer.set(
            self.pingSent.map { $0 + Self.pingTimeout } ?? self.lastRead + Self.pingAfter)
    }
}
