internal import NIOCore

// The end of a connection: close_notify, and time for a slow reader to take what is before it.
extension TLSHandler {
    /// Sends close_notify, once; `promise` is kept when all that was sealed is written.
    func sendCloseNotify(
        _ context: ChannelHandlerContext, promise: EventLoopPromise<Void>?
    ) {
        if !self.hasSentCloseNotify, let connection = self.connection {
            self.hasSentCloseNotify = true
            connection.shutDownWriting()
            self.collectControlBytes(connection)
        }
        switch (promise, self.ciphertext) {
        case (let promise?, nil): promise.succeed()
        case (let promise?, _?): self.writePromise.setOrCascade(to: promise)
        case (nil, _): break
        }
        self.send(context)
    }

    /// Sends close_notify and closes once it, and all before it, was taken.
    func closeWhenWritten(_ context: ChannelHandlerContext) {
        self.sendCloseNotify(context, promise: nil)
        self.finishWhenTaken(context, since: context.eventLoop.now, atMost: .max)
    }

    /// Closes once the socket has taken everything, or the peer is too slow a reader: `start` is when
    /// its time began, `limit` how much the queue may hold when it is over.
    private func finishWhenTaken(
        _ context: ChannelHandlerContext, since start: NIODeadline, atMost limit: Int
    ) {
        guard case .closing = self.state else { return }
        let queued = (try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
        let now = context.eventLoop.now
        var (start, limit) = (start, limit)
        if limit == .max || now - start >= Self.closeStall {
            guard limit == .max || queued <= limit else { return self.finishClosing(context) }
            (start, limit) = (now, queued - Self.minimumProgressBytes)
        }
        // Usually the socket has taken the bytes at once.
        guard queued > 0 else { return self.finishClosing(context) }
        context.eventLoop.assumeIsolated().scheduleTask(in: Self.closePoll) { [start, limit] in
            self.finishWhenTaken(context, since: start, atMost: limit)
        }
    }

    /// Closes the channel.
    func finishClosing(_ context: ChannelHandlerContext) {
        self.state = .closed
        context.close(mode: .all, promise: self.closePromise.take())
    }

    /// 30 s without 1 KiB: a peer that takes the last bytes slower than this is let go.
    private static let closeStall = TimeAmount.seconds(30)
    private static let minimumProgressBytes = 1024
    private static let closePoll = TimeAmount.milliseconds(100)
}
