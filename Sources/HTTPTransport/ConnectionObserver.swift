package import NIOCore
internal import NIOTLS
package import TLS

/// Told how the connections of a pool come about, for those who measure that.
///
/// Loop-bound. Nobody else pays: without an observer a channel has no handler more.
package protocol ConnectionObserver: AnyObject {
    /// TCP, or the Unix socket, is connected, that long after it was begun.
    func connectionMade(after time: TimeAmount)
    /// TLS is there too.
    func handshakeCompleted(_ session: TLSSessionInfo)
    /// There is no connection; a ``TLSError`` if TCP was there and TLS failed.
    func connectionFailed(_ error: any Error)
}

/// Looks on while a channel opens, then leaves it.
///
/// After TLS: it sees what TLS says and is out of the way of what TLS decrypts.
final class ConnectionWatch: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private var observer: (any ConnectionObserver)?
    private let tls: TLSHandler?
    private let began = NIODeadline.now()

    init(_ observer: any ConnectionObserver, tls: TLSHandler?) {
        self.observer = observer
        self.tls = tls
    }

    func channelActive(context: ChannelHandlerContext) {
        self.observer?.connectionMade(after: .now() - self.began)
        context.fireChannelActive()
        if self.tls == nil { self.leave(context) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case TLSUserEvent.handshakeCompleted = event, let session = self.tls?.session else {
            context.fireUserInboundEventTriggered(event)
            return
        }
        self.observer?.handshakeCompleted(session)
        context.fireUserInboundEventTriggered(event)
        self.leave(context)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.fail(error)
        context.fireErrorCaught(error)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.fail(ChannelError.eof)
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.observer = nil }

    private func fail(_ error: any Error) {
        self.observer.take()?.connectionFailed(error)
    }

    private func leave(_ context: ChannelHandlerContext) {
        self.observer = nil
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }
}
