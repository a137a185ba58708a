internal import HTTPTransport
internal import NIOCore

/// Tells HTTP/2 from HTTP/1.1 by a connection's first bytes, then makes way for the one it is.
///
/// HTTP/2 without TLS begins with a preface that is no request of HTTP/1.1 (RFC 9113 3.4).
final class PrefaceDetection: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let loop: LoopContext
    private let behaviour: ModelBehaviour
    private var input = ByteBuffer()

    init(loop: LoopContext, behaviour: ModelBehaviour) {
        self.loop = loop
        self.behaviour = behaviour
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = Self.unwrapInboundIn(data)
        self.input.writeBuffer(&bytes)
        let preface = Array("PRI ".utf8)
        let start = self.input.readableBytesView.prefix(preface.count)
        guard start.count == preface.count || !preface.starts(with: start) else { return }
        let timeouts = ServerTimeouts(head: .seconds(3600), idle: .seconds(3600))
        let (behaviour, eventLoop) = (self.behaviour, self.loop.eventLoop)
        let makeReceiver = { (stream: any ServerStream) in
            ModelExchange(connection: stream, behaviour: behaviour, eventLoop: eventLoop)
        }
        let connection: any ChannelHandler =
            start.elementsEqual(preface)
            ? HTTP2ServerConnection(
                loop: self.loop, limits: HTTPLimits(), timeouts: timeouts, isEncrypted: false,
                makeReceiver: makeReceiver)
            : HTTP1ServerConnection(
                loop: self.loop, limits: HTTPLimits(), timeouts: timeouts,
                makeReceiver: makeReceiver)
        let operations = context.pipeline.syncOperations
        guard (try? operations.addHandler(connection, position: .after(self))) != nil else {
            context.close(promise: nil)
            return
        }
        context.fireChannelRead(Self.wrapInboundOut(self.input))
        context.fireChannelReadComplete()
        self.input = ByteBuffer()
        operations.removeHandler(context: context, promise: nil)
    }
}
