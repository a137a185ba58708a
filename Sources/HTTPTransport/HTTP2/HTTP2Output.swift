internal import NIOCore

/// The way of one session's bytes to its channel: all of a turn in one write.
final class HTTP2Output: TurnWriter {
    /// The channel written to; unset before and after the connection's life in it.
    var context: ChannelHandlerContext?
    private let loop: LoopContext
    private let session: HTTP2Session
    private var isScheduled = false
    /// Bytes given to the channel so far.
    private(set) var writtenBytes = 0

    init(loop: LoopContext, session: HTTP2Session) {
        self.loop = loop
        self.session = session
    }

    /// Sends what there is once this turn is over.
    func schedule() {
        guard !self.isScheduled, self.context != nil else { return }
        self.isScheduled = true
        self.loop.turn.append(self)
    }

    func turnEnded() {
        self.isScheduled = false
        var isMore = true
        while isMore, let context, context.channel.isWritable {
            var buffer = self.loop.borrowBuffer()
            isMore = self.session.drain(into: &buffer, limit: Self.writeBytes)
            if buffer.readableBytes > 0 {
                self.writtenBytes += buffer.readableBytes
                context.writeAndFlush(NIOAny(buffer), promise: nil)
            }
            self.loop.reclaim(buffer)
        }
        if !self.session.unblocked.isEmpty {
            var unblocked: [HTTP2Stream] = []
            swap(&unblocked, &self.session.unblocked)
            for stream in unblocked where stream.id != 0 { stream.mayContinueSending() }
            unblocked.removeAll(keepingCapacity: true)
            if self.session.unblocked.isEmpty { swap(&unblocked, &self.session.unblocked) }
        }
        self.session.owner?.outputLeft()
    }

    /// Bytes that left the channel's queue since the connection began.
    var drainedBytes: Int {
        guard let options = self.context?.channel.syncOptions,
            let buffered = try? options.getOption(.bufferedWritableBytes)
        else { return self.writtenBytes }
        return self.writtenBytes - buffered
    }

    /// 48 KiB: with the frame that goes over it still a buffer that is used again.
    private static let writeBytes = 49_000
}
