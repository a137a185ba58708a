package import NIOCore
internal import NIOTLS

/// Waits for TLS to agree on a protocol, then puts the right connection in its own place.
package final class ProtocolSelection: ChannelInboundHandler, RemovableChannelHandler {
    /// Nothing arrives before TLS is there.
    package typealias InboundIn = ByteBuffer

    private var select: ((String?) -> (any ChannelHandler)?)?
    private var failed: ((any Error) -> Void)?

    /// Calls `select` with the name that ALPN agreed on, nil if there is none.
    ///
    /// What it returns takes this place; where that is nil the connection closes. Where there will
    /// be no TLS, `failed` is told why.
    package init(
        failed: ((any Error) -> Void)? = nil, _ select: @escaping (String?) -> (any ChannelHandler)?
    ) {
        self.failed = failed
        self.select = select
    }

    /// TLS is there, among what others tell.
    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case TLSUserEvent.handshakeCompleted(negotiatedProtocol: let name) = event else {
            context.fireUserInboundEventTriggered(event)
            return
        }
        let operations = context.pipeline.syncOperations
        guard let handler = self.select.take()?(name),
            (try? operations.addHandler(handler, position: .after(self))) != nil
        else {
            context.close(promise: nil)
            return
        }
        operations.removeHandler(context: context, promise: nil)
    }

    /// TLS failed.
    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.failed.take()?(error)
        context.close(promise: nil)
    }

    /// The connection is over.
    package func handlerRemoved(context: ChannelHandlerContext) {
        self.select = nil
        self.failed = nil
    }
}
