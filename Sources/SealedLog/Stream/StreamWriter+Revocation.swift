internal import Cryptography

// What becomes of a stream whose wrapping key was revoked.
extension StreamWriter {
    /// Drops all that is not sealed yet, counts it as lost, wipes all keys, and ends the segment.
    ///
    /// The segment tells the loss before it ends, for this process may end before it has a key again.
    /// What is lost from then on is told by the first segment after ``supply(_:_:isAtOnce:now:)``, or by
    /// the anchor.
    ///
    /// - Parameters:
    ///   - now: The present time.
    ///   - event: One entry, which tells of it; lost if the segment cannot be ended.
    ///   - wiped: Called once the keys are gone, before the disk is touched, which may be slow.
    package func revoke(now: LogTime, event: EntryBatch? = nil, wiped: () -> Void = {}) {
        guard self.failure != .revoked else { return wiped() }
        self.dropUnsealed(now)
        if self.failure == nil, let segment = self.segment {
            self.retainGap()
            if let event { self.take(event.bytes) }
            segment.holdEnd()
            // A segment whose end cannot be sealed is left without, as one that cannot be written.
            do throws(SealedLogError) {
                try self.writePending()
                try segment.sealEnd(.revoked, nextSequence: self.nextSequence)
            } catch {
                segment.abandon()
            }
        }
        self.key = nil
        self.nextKey = nil
        self.ciphers.forgetKey()
        self.failure = .revoked
        wiped()
        if let segment = self.segment { self.writeEnd(of: segment, now) }
    }

    private func writeEnd(of segment: SegmentWriter, _ now: LogTime) {
        let name = SegmentName(number: segment.header.number, segmentID: segment.header.segmentID)
        self.segment = nil
        do throws(SealedLogError) {
            try segment.writeSealedEnd()
            self.forgetDurable()
            try segment.writeSealedFinal()
            self.previous = (name, segment.head)
            self.noteAnchor(segment)
        } catch {
            segment.abandon()
            self.failed = (name, segment.durable)
            // Nobody knows what of the rest is on disk; it may not stay in memory either.
            self.unwritten = 0
            self.dropUnsealed(now)
        }
    }
}
