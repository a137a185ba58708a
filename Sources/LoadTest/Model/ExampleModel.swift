internal import HTTPTransport
package import NIOCore
internal import NIOPosix
internal import Synchronization
internal import TLS

/// The built-in model: a small classifier behind the contract of Azure's inference server, for
/// demonstrations, tests, and as the floor of load tests.
///
/// Plain HTTP/1.1 or HTTP/2 on loopback or a Unix socket: it stands where a model container would.
package final class ExampleModel: Sendable {
    private let group: MultiThreadedEventLoopGroup
    private let channel: any Channel
    private let stopping = Mutex<Task<Void, Never>?>(nil)
    /// Where it listens.
    package let address: SocketAddress

    private init(group: MultiThreadedEventLoopGroup, channel: any Channel, address: SocketAddress) {
        self.group = group
        self.channel = channel
        self.address = address
    }

    /// Starts the model.
    ///
    /// - Parameters:
    ///   - address: A loopback address, port 0 for a free one, or a Unix socket.
    ///   - behaviour: How long it takes.
    /// - Returns: The model, listening.
    /// - Throws: IOError if `address` cannot be bound; nothing is left running then.
    package static func start(
        at address: SocketAddress, behaviour: ModelBehaviour = ModelBehaviour()
    ) async throws -> ExampleModel {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        do {
            let loop = group.next()
            let bound = try await loop.submit {
                let context = LoopContext(eventLoop: loop, tls: try TLSWorkerResources())
                context.deadlines.start()
                if behaviour.isBusyPolling { BusyPoll(loop).start() }
                return NIOLoopBound(context, eventLoop: loop)
            }.get()
            let channel = try await ServerBootstrap(group: loop)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(
                            PrefaceDetection(loop: bound.value, behaviour: behaviour))
                    }
                }
                .bind(to: address).get()
            return ExampleModel(
                group: group, channel: channel, address: channel.localAddress ?? address)
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }

    /// Returns when the model has been stopped.
    package func wait() async throws {
        try await self.channel.closeFuture.get()
    }

    /// Stops the model, and returns when it has been; further calls wait for the first.
    package func stop() async {
        // A loop that is shut down never answers: it may be asked only once.
        let stopped = self.stopping.withLock { task in
            let stopped =
                task
                ?? Task { [channel, group] in
                    try? await channel.close().get()
                    try? await group.shutdownGracefully()
                }
            task = stopped
            return stopped
        }
        await stopped.value
    }
}
