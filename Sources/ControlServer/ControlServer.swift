internal import Hummingbird
internal import HummingbirdCore
package import Logging
package import NIOCore
internal import NIOPosix
internal import TLS

/// A server for what is asked rarely: health, metrics, administration.
///
/// Hummingbird over our own TLS, on a thread of its own, away from the data path.
package struct ControlServer: Sendable {
    /// Where it listens, which decides who may ask.
    package enum Address: Sendable {
        /// Whoever may open the socket, which is made with mode 0600.
        case unix(path: String)
        /// Whoever has a certificate of the trust domain.
        case mutualTLS(host: String, port: Int, ControlTLS)
    }

    /// One thing that can be asked with GET.
    package struct Route: Sendable {
        /// The path, which begins with `/`.
        package let path: String
        /// Answers one request.
        package let answer: @Sendable () async throws -> Answer

        /// A route that `answer` serves.
        package init(_ path: String, answer: @escaping @Sendable () async throws -> Answer) {
            self.path = path
            self.answer = answer
        }
    }

    /// What is answered.
    package struct Answer: Sendable {
        /// The status.
        package var status: Int
        /// The value of Content-Type.
        package var contentType: String
        /// The body.
        package var text: String

        /// An answer with these parts.
        package init(status: Int, contentType: String, text: String) {
            self.status = status
            self.contentType = contentType
            self.text = text
        }
    }

    private let address: Address
    private let routes: [Route]
    private let logger: Logger

    /// A server of `routes` at `address`; nothing listens before ``run(onListening:)``.
    package init(address: Address, routes: [Route], logger: Logger) {
        self.address = address
        self.routes = routes
        var logger = logger
        // Hummingbird tells of every start and connection at info.
        logger.logLevel = max(logger.logLevel, .warning)
        self.logger = logger
    }

    /// Serves until the task is cancelled.
    ///
    /// - Parameter onListening: Is called once with the address bound.
    /// - Throws: What binding or TLS fails with.
    package func run(
        onListening: @escaping @Sendable (SocketAddress?) -> Void = { _ in }
    ) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        do {
            try await self.application(group, onListening: onListening).run()
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
        try await group.shutdownGracefully()
    }

    private func application(
        _ group: MultiThreadedEventLoopGroup,
        onListening: @escaping @Sendable (SocketAddress?) -> Void
    ) throws -> Application<Router<BasicRequestContext>.Responder> {
        let server: HTTPServerBuilder
        let bind: BindAddress
        switch self.address {
        case .unix(let path):
            server = .http1()
            bind = .unixDomainSocket(path: path)
        case .mutualTLS(let host, let port, let tls):
            server = HTTPServerBuilder { responder in
                ControlChannel(tls: tls, base: HTTP1Channel(responder: responder))
            }
            bind = .hostname(host, port: port)
        }
        let path: String? = if case .unix(let path) = self.address { path } else { nil }
        return Application(
            router: self.router(), server: server,
            configuration: ApplicationConfiguration(address: bind, serverName: nil),
            onServerRunning: { channel in
                if let path { SocketFile.restrict(path) }
                onListening(channel.localAddress)
            },
            eventLoopGroupProvider: .shared(group), logger: self.logger)
    }

    private func router() -> Router<BasicRequestContext> {
        let router = Router()
        for route in self.routes {
            router.get(RouterPath(route.path)) { _, _ in
                let answer = try await route.answer()
                return Response(
                    status: .init(code: answer.status),
                    headers: [.contentType: answer.contentType, .cacheControl: "no-store"],
                    body: .init(byteBuffer: ByteBuffer(string: answer.text)))
            }
        }
        return router
    }
}

/// Puts our TLS before Hummingbird's HTTP/1.1.
private struct ControlChannel: ServerChildChannel, HTTPChannelHandler {
    let tls: ControlTLS
    let base: HTTP1Channel

    var responder: HTTPChannelHandler.Responder { self.base.responder }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<HTTP1Channel.Value> {
        channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(
                TLSHandler(server: self.tls.current, counters: TLSCounters()))
        }.flatMap {
            self.base.setup(channel: channel, logger: logger)
        }
    }

    func handle(value: HTTP1Channel.Value, logger: Logger) async {
        await self.base.handle(value: value, logger: logger)
    }
}
