import NIOCore

/// Stands before a channel whose socket takes nothing until told: what is written stays queued.
final class HoldingSocket: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var context: ChannelHandlerContext?
    private var isHolding = false

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func flush(context: ChannelHandlerContext) {
        if !self.isHolding { context.flush() }
    }

    func hold() { self.isHolding = true }

    /// Takes all that is queued.
    func take() {
        self.isHolding = false
        self.context?.flush()
    }
}
