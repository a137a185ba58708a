internal import NIOCore

/// The place in a connection's pipeline, below HTTP, from where a client is told to go on with its body
/// (RFC 9110, 10.1.1): Hummingbird has no word for that.
final class InterimAnswer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Says "100 Continue" on `channel`; from any thread.
    ///
    /// Nothing else is on its way there: a request is read when the answer to the one before it is given.
    static func sendContinue(on channel: any Channel) {
        channel.eventLoop.execute {
            let context = try? channel.pipeline.syncOperations.context(handlerType: Self.self)
            let text = ByteBuffer(string: "HTTP/1.1 100 Continue\r\n\r\n")
            context?.writeAndFlush(NIOAny(text), promise: nil)
        }
    }
}
