internal import NIOCore
internal import NIOPosix
internal import TLS

/// Makes channels to one backend: TCP or a Unix socket, then TLS, then the handler given.
struct BackendConnector {
    let loop: LoopContext
    let address: ConnectionPool.Address
    let tls: TLSClientContext?
    let timeout: TimeAmount
    var observer: (any ConnectionObserver)?

    /// Opens a channel with `handler` at its end; `failed` is called if TCP fails.
    func connect(_ handler: any ChannelHandler, failed: @escaping (any Error) -> Void) {
        let tls = self.tls.map { TLSHandler(client: $0, counters: self.loop.backendHandshakes) }
        let watch = self.observer.map { ConnectionWatch($0, tls: tls) }
        let bound = NIOLoopBound((handler, tls, watch), eventLoop: self.loop.eventLoop)
        let bootstrap = ClientBootstrap(group: self.loop.eventLoop)
            .connectTimeout(self.timeout)
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelOption(.recvAllocator, value: self.receiveAllocator)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let (handler, tls, watch) = bound.value
                    if let tls { try channel.pipeline.syncOperations.addHandler(tls) }
                    if let watch { try channel.pipeline.syncOperations.addHandler(watch) }
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
        let connected =
            switch self.address {
            case .host(let host, let port):
                bootstrap.channelOption(.tcpOption(.tcp_nodelay), value: 1)
                    .connect(host: host, port: port)
            case .unix(let path):
                bootstrap.connect(unixDomainSocketPath: path)
            }
        let observer = self.observer
        connected.assumeIsolated().whenFailure { error in
            observer?.connectionFailed(error)
            failed(error)
        }
    }

    /// The loop's buffer where TLS gives it back at once; without TLS, one of the channel's own.
    private var receiveAllocator: any RecvByteBufferAllocator {
        self.tls == nil ? AdaptiveRecvByteBufferAllocator() : self.loop.tls.receiveBuffer
    }
}
