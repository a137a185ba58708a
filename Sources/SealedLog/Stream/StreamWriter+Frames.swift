internal import Cryptography

// From entries to frames, and what is kept of them until they are durable.
extension StreamWriter {
    func append(_ entry: RawSpan, _ now: LogTime) {
        self.take(entry)
        self.writeFrames(now)
    }

    /// Gives an entry its number, and keeps it until it is written.
    func take(_ entry: RawSpan) {
        let capacity = self.payloadCapacity
        if self.pending.count + entry.byteCount > capacity { self.framePending() }
        let start = self.pending.count
        self.pending.append(entry)
        self.pending.replace(
            at: start + LogEntry.sequenceOffset, withBigEndian: self.nextSequence)
        self.pendingEntries += 1
        self.nextSequence += 1
        if entry.byteCount > capacity { self.splitPending(capacity) }
    }

    /// Whether a batch becomes a frame by itself: one that is more than half full, if what waits does
    /// not fit in with it.
    func isFrame(_ batch: EntryBatch) -> Bool {
        let capacity = self.payloadCapacity
        guard self.gap == nil, self.failure == nil, batch.byteCount <= capacity else {
            return false
        }
        return batch.byteCount > capacity / 2
            && (self.pending.isEmpty || self.pending.count + batch.byteCount > capacity)
    }

    /// Writes the frames there are.
    func writeFrames(_ now: LogTime) {
        guard self.unwritten < self.retained.count else { return }
        self.attempt(now) { () throws(SealedLogError) in
            try self.makeRoom(now)
            try self.writeRetained()
            // Whoever asks too seldom has it done, so that what is kept stays bounded.
            if self.retainedBytes >= self.settings.retainedBytes { try self.synchronize() }
        }
    }

    /// Drops what no frame was sealed of, and counts it as lost with what was lost before.
    func dropUnsealed(_ now: LogTime) { self.drop(from: self.unwritten, .revoked, now) }

    /// Keeps of what is not durable what surely fits into so many bytes of a segment of its own, and
    /// counts the rest as lost.
    func drop(beyond room: Int, _ now: LogTime) {
        self.framePending()
        self.retainGap()
        let isPadded = self.settings.flags.contains(.padded)
        // What is padded has at most twice its bytes, and a frame 1 KiB.
        let factor = isPadded ? 2 : 1
        let smallest = isPadded ? 1024 : 0
        // The segment that failed is named besides those that are known to have no end.
        var used = Self.segmentBytes + (self.recoveries.count + 1) * (Self.recoveryBytes + smallest)
        var kept = 0
        for index in self.retained.indices {
            let frame = self.retained[index]
            used += max(frame.payload.count * factor, smallest)
            used += (Int(frame.entries) * Self.indexBytes + Self.frameBytes) * factor
            guard used <= room else { break }
            // Of an entry of several frames all are kept, or none.
            if !frame.flags.contains(.continues) { kept = index + 1 }
        }
        self.drop(from: kept, self.lossReason, now)
    }

    /// Drops the frames from `index` on, and counts what is in them as lost with what was lost before.
    func drop(from index: Int, _ reason: GapPayload.Reason, _ now: LogTime) {
        self.framePending()
        self.retainGap()
        let dropped = self.retained[index...]
        guard let first = dropped.first?.firstSequence else { return }
        let milliseconds = self.settings.flags.contains(.hbi) ? 0 : now.unixMilliseconds
        var gap = GapPayload(
            firstSequence: first, entries: self.nextSequence - first, bodies: 0,
            firstMilliseconds: milliseconds, lastMilliseconds: milliseconds, reason: reason)
        for frame in dropped {
            gap.bodies += frame.gap?.bodies ?? 0
            gap.firstMilliseconds = min(
                gap.firstMilliseconds, frame.gap?.firstMilliseconds ?? milliseconds)
            self.lostEntries += UInt64(frame.entries)
            self.retainedBytes -= frame.payload.count
        }
        self.retained.removeSubrange(index...)
        self.unwritten = min(self.unwritten, index)
        self.gap = gap
    }

    /// Takes over what an anchor tells of losses that no segment tells of.
    func takeLoss(_ anchor: StreamAnchor, _ now: LogTime) {
        guard anchor.nextSequence > self.nextSequence, self.lostEnd == nil else { return }
        let milliseconds = self.settings.flags.contains(.hbi) ? 0 : now.unixMilliseconds
        self.gap = GapPayload(
            firstSequence: self.nextSequence, entries: anchor.nextSequence - self.nextSequence,
            bodies: 0, firstMilliseconds: milliseconds, lastMilliseconds: milliseconds,
            reason: anchor.lossReason)
        self.nextSequence = anchor.nextSequence
    }

    /// Makes a frame of the entries that wait.
    func framePending() {
        guard !self.pending.isEmpty else { return }
        self.retain(
            RetainedFrame(
                payload: self.pending, flags: [],
                firstSequence: self.nextSequence - UInt64(self.pendingEntries),
                entries: self.pendingEntries))
        self.pending = self.spare.popLast() ?? []
        self.pendingEntries = 0
    }

    func writePending() throws(SealedLogError) {
        self.framePending()
        try self.writeRetained()
    }

    /// Writes the frames that the present segment does not have, and the gap after them.
    func writeRetained() throws(SealedLogError) {
        self.retainGap()
        guard self.unwritten < self.retained.count else { return }
        guard let segment = self.segment else {
            preconditionFailure("a stream without a failure has a segment")
        }
        while self.unwritten < self.retained.count {
            let frame = self.retained[self.unwritten]
            if let gap = frame.gap {
                try segment.append(gap)
            } else {
                try segment.appendEntries(
                    frame.payload, frame.flags, firstSequence: frame.firstSequence,
                    entries: frame.entries)
            }
            self.unwritten += 1
        }
    }

    func synchronize() throws(SealedLogError) {
        guard let segment = self.segment else {
            preconditionFailure("a stream without a failure has a segment")
        }
        try segment.synchronize()
        self.forgetDurable()
    }

    /// Lets go of all that the present segment has.
    func forgetDurable() {
        self.recoveries.removeAll()
        self.durableSequence = self.unwrittenSequence
        for index in 0..<self.unwritten {
            self.retainedBytes -= self.retained[index].payload.count
            guard self.spare.count < Self.spareBuffers, self.retained[index].gap == nil else {
                continue
            }
            var buffer: [UInt8] = []
            swap(&buffer, &self.retained[index].payload)
            buffer.removeAll(keepingCapacity: true)
            self.spare.append(buffer)
        }
        self.retained.removeFirst(self.unwritten)
        self.unwritten = 0
    }

    /// The number of the first entry, or loss, that the present segment does not have.
    var unwrittenSequence: UInt64 {
        self.unwritten < self.retained.count
            ? self.retained[self.unwritten].firstSequence
            : self.gap?.firstSequence ?? self.nextSequence - UInt64(self.pendingEntries)
    }

    var payloadCapacity: Int {
        self.settings.largestFrameBytes
            - (self.settings.flags.contains(.padded) ? Padding.lengthBytes : 0)
    }

    func retainGap() {
        guard let gap = self.gap else { return }
        self.retain(
            RetainedFrame(
                payload: [], flags: [], firstSequence: gap.firstSequence, entries: 0, gap: gap))
        self.gap = nil
    }

    private func retain(_ frame: RetainedFrame) {
        self.retainedBytes += frame.payload.count
        self.retained.append(frame)
    }

    /// Cuts one entry that is larger than a frame into frames of its own.
    private func splitPending(_ capacity: Int) {
        let entry = self.pending
        var offset = 0
        while offset < entry.count {
            let end = min(offset + capacity, entry.count)
            var flags: FrameHeader.Flags = offset > 0 ? .continuation : []
            if end < entry.count { flags.insert(.continues) }
            self.retain(
                RetainedFrame(
                    payload: Array(entry[offset..<end]), flags: flags,
                    firstSequence: self.nextSequence - 1, entries: offset == 0 ? 1 : 0))
            offset = end
        }
        self.pending = self.spare.popLast() ?? []
        self.pendingEntries = 0
    }

    /// 16: as many frames of 64 KiB as `bounded` leaves unsynchronised.
    private static let spareBuffers = 16
    /// 12 KiB: header, gap, index and final frame, and what a file system loses by whole blocks.
    private static let segmentBytes = 12_288
    /// 192 bytes: a frame that names a segment without an end.
    private static let recoveryBytes = 192
    /// 160 bytes: header, tag and filling of a frame, and its place in the index.
    private static let frameBytes = 160
    /// 24 bytes: an entry's request id and place in the index, filling included.
    private static let indexBytes = 24
}
