import NIOCore
import NIOPosix

@testable import TLS

/// Answers the first bytes of a connection with a line, then closes.
private final class Answer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let isHalfClosing: Bool

    init(isHalfClosing: Bool) { self.isHalfClosing = isHalfClosing }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.write(self.wrapOutboundOut(ByteBuffer(string: "ANSWERED\n")), promise: nil)
        context.flush()
        context.close(mode: self.isHalfClosing ? .output : .all, promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event as? ChannelEvent == .inputClosed { context.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}

/// A TLS server on a free port of the loopback interface, of one event loop.
final class LoopbackServer {
    let port: Int
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let channel: any Channel

    init(
        _ configuration: TLSServerConfiguration, ticketKeys: TLSTicketKeys = TLSTicketKeys(),
        isHalfClosing: Bool = false
    ) throws {
        let context = try TLSServerContext(
            configuration, resources: TLSWorkerResources(), ticketKeys: ticketKeys)
        self.channel = try ServerBootstrap(group: self.group)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers([
                        TLSHandler(server: context, counters: TLSCounters()),
                        Answer(isHalfClosing: isHalfClosing),
                    ])
                }
            }
            .bind(host: "127.0.0.1", port: 0).wait()
        self.port = self.channel.localAddress?.port ?? 0
    }

    deinit {
        try? self.channel.close().wait()
        try? self.group.syncShutdownGracefully()
    }
}
