package import NIOCore

// How long a client may take: for its head, its body, and for reading its answer.
extension HTTP1ServerConnection: DeadlineOwner {
    /// The client took too long for what it was to do.
    package func deadlinePassed(_ timer: DeadlineTimer, now: NIODeadline) {
        switch self.reading {
        case .head where !self.isWritable:
            self.checkReader(now: now)
        case .head where self.isHeadBegun:
            self.refuse(.timedOut)
        case .discarding(var budget) where budget.keepsPace(at: now):
            self.reading = .discarding(budget)
            self.timer.set(budget.due)
        case .head, .discarding:
            self.channelContext?.close(promise: nil)
        case .body:
            self.checkPace(now: now)
        case .complete, .tunnel, .refused:
            self.checkReader(now: now)
        }
        self.flush()
    }

    private func checkPace(now: NIODeadline) {
        let hasRoom = !self.isReadingPaused && !self.continuePending
        if hasRoom,
            self.pace.isBelow(self.timeouts.minimumPace, at: now, bytes: self.requestBodyBytes)
        {
            self.refuse(.timedOut)
        } else {
            self.pace.restart(at: now, bytes: self.requestBodyBytes)
            self.timer.set(now + self.timeouts.paceInterval)
        }
    }

    /// A client that does not take its answer is let go after a stall without progress.
    private func checkReader(now: NIODeadline) {
        guard let channelContext else { return }
        if self.isWritable {
            self.timer.set(now + self.timeouts.idle)
        } else if self.drainedBytes - self.answerPace.bytes < Self.minimumProgressBytes {
            self.receiver?.requestFailed(.tooSlow)
            self.writing = .complete
            channelContext.close(promise: nil)
        } else {
            self.answerPace.restart(at: now, bytes: self.drainedBytes)
            self.timer.set(now + self.timeouts.stall)
        }
    }

    /// Goes on with requests that waited for answers to leave.
    func resumeRequests() {
        guard case .head = self.reading else { return }
        self.timer.set(.now() + (self.isHeadBegun ? self.timeouts.head : self.timeouts.idle))
        if self.isReadingPaused { self.setReading(true) }
        guard self.input.bytes.readableBytes > 0 else { return }
        self.process()
        self.receiver?.requestReadComplete()
    }

    /// Bytes that left the channel's queue since the connection began.
    var drainedBytes: Int {
        guard let options = self.channelContext?.channel.syncOptions,
            let buffered = try? options.getOption(.bufferedWritableBytes)
        else { return self.output.writtenBytes }
        return self.output.writtenBytes - buffered
    }

    /// 1 KiB a stall interval: a reader slower than this holds memory for nothing.
    private static let minimumProgressBytes = 1024
}
