internal import Hummingbird
internal import HummingbirdCore
package import Logging
package import NIOCore
internal import NIOPosix
internal import ServiceLifecycle
internal import TLS

/// A server for what is asked rarely: health, metrics, administration, keys.
///
/// Hummingbird over our own TLS, on a thread of its own, away from the data path.
package struct ControlServer: Sendable {
    /// Where it listens, which decides who may ask.
    package enum Address: Sendable {
        /// Whoever may open the socket, which is made with mode 0600.
        case unix(SocketFile)
        /// Whoever has a certificate of the trust domain.
        case mutualTLS(host: String, port: Int, ControlTLS)
        /// Anybody: only the server shows a certificate. For those who have none yet.
        case serverTLS(host: String, port: Int, ControlTLS)

        /// The file of a Unix socket; nil for another address.
        var socket: SocketFile? { if case .unix(let file) = self { file } else { nil } }
    }

    private let address: Address
    private let routes: [ControlRoute]
    private let limits: ControlLimits
    private let connections: ControlConnections
    private let logger: Logger

    /// A server of `routes` at `address`; nothing listens before ``run(onListening:drain:)``.
    ///
    /// Its connections are kept in `connections`, or in a place of their own.
    package init(
        address: Address, routes: [ControlRoute], limits: ControlLimits = ControlLimits(),
        connections: ControlConnections? = nil, logger: Logger
    ) {
        if case .mutualTLS(_, _, let tls) = address {
            precondition(tls.asksForCertificates, "mutual TLS asks every client for a certificate")
        }
        self.address = address
        self.routes = routes
        self.limits = limits
        self.connections = connections ?? ControlConnections(logger: logger)
        var logger = logger
        // Hummingbird tells of every start and connection at info.
        logger.logLevel = max(logger.logLevel, .warning)
        self.logger = logger
    }

    /// Serves until the task is cancelled, or `drain` returns and the answers under way are given.
    ///
    /// The file of a Unix socket is removed at the end.
    ///
    /// - Parameters:
    ///   - onListening: Is called once with the address bound.
    ///   - drain: Returns when no more is to be accepted.
    /// - Throws: What binding or TLS fails with; IOError with EADDRINUSE where another process listens at
    ///   the Unix socket.
    package func run(
        onListening: @escaping @Sendable (SocketAddress?) -> Void = { _ in },
        drain: (@Sendable () async -> Void)? = nil
    ) async throws {
        let socket = self.address.socket
        // Hummingbird removes whatever socket is there.
        try socket?.probe()
        defer { socket?.remove() }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        do {
            let application = self.application(group, onListening: onListening)
            var configuration = ServiceGroupConfiguration(
                services: [.init(service: application)], logger: self.logger)
            configuration.maximumGracefulShutdownDuration = self.limits.drainTimeout
            let services = ServiceGroup(configuration: configuration)
            let draining = drain.map { drain in
                Task {
                    await drain()
                    await services.triggerGracefulShutdown()
                }
            }
            defer { draining?.cancel() }
            try await services.run()
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
        try await group.shutdownGracefully()
    }

    private func application(
        _ group: MultiThreadedEventLoopGroup,
        onListening: @escaping @Sendable (SocketAddress?) -> Void
    ) -> Application<RouterResponder<ControlContext>> {
        let socket = self.address.socket
        let bind: BindAddress
        let tls: ControlTLS?
        switch self.address {
        case .unix(let file):
            (bind, tls) = (.unixDomainSocket(path: file.path), nil)
        case .mutualTLS(let host, let port, let own), .serverTLS(let host, let port, let own):
            (bind, tls) = (.hostname(host, port: port), own)
        }
        let connections = self.connections
        let bound = self.limits.connectionsPerSource.map {
            SourceBound($0, of: self.limits.source)
        }
        let configuration = HTTP1Channel.Configuration(
            idleTimeout: self.limits.idleTimeout,
            httpDecoderConfiguration: .init(
                maxHeaderFieldSize: Self.maximumHeaderBytes,
                maxHeaderListSize: Self.maximumHeaderBytes,
                maxHeaderFieldCount: Self.maximumHeaderFields))
        return Application(
            router: self.router(),
            server: HTTPServerBuilder { responder in
                ControlChannel(
                    tls: tls, connections: connections, bound: bound,
                    base: HTTP1Channel(responder: responder, configuration: configuration))
            },
            configuration: ApplicationConfiguration(
                address: bind, serverName: nil,
                availableConnectionsDelegate: .maximum(
                    self.limits.connections, logger: self.logger)),
            onServerRunning: { channel in
                socket?.restrict()
                onListening(channel.localAddress)
            },
            eventLoopGroupProvider: .shared(group), logger: self.logger)
    }

    private func router() -> Router<ControlContext> {
        let router = Router(context: ControlContext.self)
        router.add(
            middleware: BodyLimit(
                bytes: max(
                    self.limits.bodyBytes, self.routes.compactMap(\.bodyBytes).max() ?? 0),
                timeout: self.limits.requestTimeout))
        router.add(middleware: UnknownRoute(routes: self.routes))
        for route in self.routes {
            router.on(
                RouterPath(route.path), method: .init(route.method.rawValue) ?? .get
            ) { request, context in
                try await self.answer(request, context, route)
            }
        }
        return router
    }

    private func answer(
        _ request: Request, _ context: ControlContext, _ route: ControlRoute
    ) async throws -> Response {
        let channel = context.channel
        let peer = self.connections.peer(of: channel)
        switch self.address {
        case .mutualTLS:
            guard let peer, self.connections.admits(peer) else {
                return .refusal(403, "Forbidden", "Access is denied.")
            }
        case .unix, .serverTLS: break
        }
        let body = try await request.body.collect(upTo: Self.maximumBodyBytes)
        guard body.readableBytes <= route.bodyBytes ?? self.limits.bodyBytes else {
            return BodyLimit.refusal
        }
        let answer = try await route.answer(
            ControlRequest(
                request, parameters: context.parameters, peer: peer,
                address: channel.remoteAddress?.ipAddress, body: body))
        return self.response(answer, channel)
    }

    private func response(_ answer: ControlAnswer, _ channel: any Channel) -> Response {
        let limit = self.limits.writeTimeout
        let body: ResponseBody
        switch answer.body {
        case .bytes(let bytes):
            body = ResponseBody(contentLength: bytes.count) { writer in
                let timeout = channel.close(in: limit)
                defer { timeout.cancel() }
                try await writer.write(ByteBuffer(bytes: bytes))
                try await writer.finish(nil)
            }
        case .stream(let pieces):
            body = ResponseBody { writer in
                for await piece in pieces {
                    let timeout = channel.close(in: limit)
                    defer { timeout.cancel() }
                    try await writer.write(ByteBuffer(bytes: piece))
                }
                try await writer.finish(nil)
            }
        }
        var headers: HTTPFields = [.contentType: answer.contentType, .cacheControl: "no-store"]
        for (name, value) in answer.fields {
            if let name = HTTPFields.Element.Name(name) { headers[name] = value }
        }
        return Response(status: .init(code: answer.status), headers: headers, body: body)
    }

    /// 16 KiB and 64 fields: the official SDKs send some 2 KiB in 12.
    private static let maximumHeaderBytes = 16_384
    private static let maximumHeaderFields = 64
    /// More than ``BodyLimit`` ever lets through.
    private static let maximumBodyBytes = 16 << 20
}

/// What Hummingbird hands from the connection to the route.
struct ControlContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let channel: any Channel

    init(source: ApplicationRequestContextSource) {
        self.coreContext = CoreRequestContextStorage(source: source)
        self.channel = source.channel
    }
}

/// Puts our TLS before Hummingbird's HTTP/1.1.
private struct ControlChannel: ServerChildChannel, HTTPChannelHandler {
    let tls: ControlTLS?
    let connections: ControlConnections
    let bound: SourceBound?
    let base: HTTP1Channel

    var responder: HTTPChannelHandler.Responder { self.base.responder }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<HTTP1Channel.Value> {
        channel.eventLoop.makeCompletedFuture {
            if let bound, !bound.admits(channel) {
                try channel.pipeline.syncOperations.addHandler(RefusedConnection())
                return
            }
            if let tls {
                let handler = TLSHandler(server: tls.current, counters: TLSCounters())
                try channel.pipeline.syncOperations.addHandlers([
                    handler, ControlPeerHandler(handler, self.connections),
                ])
            }
            try channel.pipeline.syncOperations.addHandler(InterimAnswer())
        }.flatMap {
            self.base.setup(channel: channel, logger: logger)
        }
    }

    func handle(value: HTTP1Channel.Value, logger: Logger) async {
        await self.base.handle(value: value, logger: logger)
    }
}
