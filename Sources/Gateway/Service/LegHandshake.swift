internal import HTTPTransport
internal import NIOCore
internal import NIOPosix
internal import NIOTLS
internal import TLS

/// Handshakes of a leg and nothing more: a whole one, and one with the ticket it gave.
struct LegHandshake {
    let address: ConnectionPool.Address
    let tls: TLSClientConfiguration

    /// What came of it.
    struct Outcome {
        /// What the whole handshake agreed on.
        let session: TLSSessionInfo
        /// From the ticket's arrival to when it was taken in place of certificates; nil if none came, or
        /// it was not taken.
        let ticketAgeMilliseconds: Int?
    }

    /// - Throws: ``TLSError``, or why nobody can be reached.
    func run() async throws -> Outcome {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.next()
        do {
            let outcome = try await self.run(on: loop)
            try? await group.shutdownGracefully()
            return outcome
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }

    private func run(on loop: any EventLoop) async throws -> Outcome {
        var tls = self.tls
        tls.wantsTickets = true
        let client = try await loop.submit { [tls] in
            NIOLoopBound(try Client(tls), eventLoop: loop)
        }.get()
        let first = try await self.shake(client, on: loop)
        guard let granted = first.ticketArrival,
            let second = try? await self.shake(client, on: loop), second.session.isResumed
        else { return Outcome(session: first.session, ticketAgeMilliseconds: nil) }
        let age = second.began - granted
        return Outcome(
            session: first.session, ticketAgeMilliseconds: Int(age.nanoseconds / 1_000_000))
    }

    private func shake(
        _ client: NIOLoopBound<Client>, on loop: any EventLoop
    ) async throws -> Handshake {
        let promise = loop.makePromise(of: Handshake.self)
        let bootstrap = ClientBootstrap(group: loop).connectTimeout(Self.timeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let client = client.value
                    let tls = TLSHandler(client: client.context, counters: TLSCounters())
                    try channel.pipeline.syncOperations.addHandlers([
                        tls, HandshakeEnd(tls, client.sessions, promise),
                    ])
                }
            }
        let connected =
            switch self.address {
            case .host(let host, let port): bootstrap.connect(host: host, port: port)
            case .unix(let path): bootstrap.connect(unixDomainSocketPath: path)
            }
        let address = self.address
        connected.whenFailure { promise.fail(StreamError.unreachable(address, $0)) }
        return try await promise.futureResult.get()
    }

    /// What both handshakes share; bound to their loop.
    private final class Client {
        let sessions = TLSClientSessions(resumedShare: 1)
        let context: TLSClientContext

        init(_ tls: TLSClientConfiguration) throws(TLSError) {
            self.context = try TLSClientContext(
                tls, resources: TLSWorkerResources.forSingleUse(), sessions: self.sessions)
        }
    }

    /// One handshake that is done.
    fileprivate struct Handshake: Sendable {
        let began: NIODeadline
        let session: TLSSessionInfo
        let ticketArrival: NIODeadline?
    }

    /// 5 s: for a person who waits.
    private static let timeout = TimeAmount.seconds(5)
}

/// Waits for the end of a handshake, and a moment longer for the ticket that TLS 1.3 sends after it.
private final class HandshakeEnd: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let tls: TLSHandler
    private let sessions: TLSClientSessions
    private let sessionsBefore: Int
    private let began = NIODeadline.now()
    private var promise: EventLoopPromise<LegHandshake.Handshake>?
    private var wait: Scheduled<Void>?

    init(
        _ tls: TLSHandler, _ sessions: TLSClientSessions,
        _ promise: EventLoopPromise<LegHandshake.Handshake>
    ) {
        self.tls = tls
        self.sessions = sessions
        self.sessionsBefore = sessions.count
        self.promise = promise
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event is TLSUserEvent else { return }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        self.wait = context.eventLoop.scheduleTask(in: Self.ticketTime) {
            let (handler, context) = bound.value
            handler.end(context)
        }
        self.lookForTicket(context)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        self.lookForTicket(context)
        context.fireChannelReadComplete()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.promise?.fail(error)
        self.promise = nil
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.wait?.cancel()
        self.promise?.fail(TLSError.closedDuringHandshake)
        self.promise = nil
    }

    private func lookForTicket(_ context: ChannelHandlerContext) {
        if self.tls.session != nil, self.sessions.count > self.sessionsBefore { self.end(context) }
    }

    private func end(_ context: ChannelHandlerContext) {
        guard let promise, let session = self.tls.session else { return }
        self.promise = nil
        let hasTicket = self.sessions.count > self.sessionsBefore
        promise.succeed(
            LegHandshake.Handshake(
                began: self.began, session: session, ticketArrival: hasTicket ? .now() : nil))
        context.close(promise: nil)
    }

    /// 300 ms: a ticket comes a round trip after the handshake.
    private static let ticketTime = TimeAmount.milliseconds(300)
}
