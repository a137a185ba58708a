internal import Cryptography

/// Writes one stream: entries into frames, frames into segments, one segment after another.
///
/// Used by one thread. An entry gets its number when it is appended. What is not yet durable is kept
/// in memory, so that when a write or synchronisation fails it is written again, into the next
/// segment; what cannot be kept is counted and the count is written as a gap frame.
package final class StreamWriter {
    /// What holds for all segments of a stream.
    package struct Settings: Sendable {
        /// The header's flags.
        package var flags: SegmentHeader.Flags
        /// The largest plaintext of a frame in bytes, 1,024 to 1,048,576.
        package var largestFrameBytes: Int
        /// How many bytes of entries may wait to become durable; beyond it entries are lost.
        package var retainedBytes: Int

        /// The usual ones: frames of 64 KiB and 8 MiB kept, eight times what `bounded` leaves
        /// unsynchronised.
        package init(
            flags: SegmentHeader.Flags = .bodies,
            largestFrameBytes: Int = SegmentLimits.usualFrameBytes, retainedBytes: Int = 8 << 20
        ) {
            self.flags = flags
            self.largestFrameBytes = largestFrameBytes
            self.retainedBytes = retainedBytes
        }
    }

    /// The stream.
    package let streamID: LogIdentifier
    /// The number the next entry gets.
    package internal(set) var nextSequence: UInt64 = 0
    /// All entries with a number below this one are durable, or counted as lost.
    package internal(set) var durableSequence: UInt64 = 0
    /// What was found of the stream when it was opened; nil for a new one.
    package internal(set) var found: SegmentScan?
    /// What was kept of the stream elsewhere, if it was opened and found to end before that: it was
    /// rolled back, or its end was cut off or changed.
    package internal(set) var lostEnd: StreamAnchor?
    /// Why the stream cannot be written now; nil while it can.
    ///
    /// ``resume(now:)`` tries again.
    package internal(set) var failure: SealedLogError?
    /// What to keep of the stream outside the log; changes at the begin and end of a segment.
    package internal(set) var anchor: StreamAnchor?
    /// How many entries were lost here, of those that came here.
    package internal(set) var lostEntries: UInt64 = 0

    var hasNewAnchor = false
    let log: LogFolder
    let settings: Settings
    let writerID: LogIdentifier
    let ciphers: SegmentCiphers

    var key: LogKey?
    /// Whether no segment was begun under the key yet.
    var isKeyFresh = true
    var keyCreatedMilliseconds: UInt64
    var nextKey: LogKey?
    /// Whether the next segment takes the next key, even if the present one is not used up.
    var isChangingKey = false
    var logKeys: [LogIdentifier: ChainHead]

    var segment: SegmentWriter?
    var segmentBegan: UInt64 = 0
    /// The last segment that was begun, and its chain's head as the next one's header has it.
    var previous: (name: SegmentName, head: ChainHead)?
    /// A segment that failed, or may not even be there, and what of it was durable.
    var failed: (name: SegmentName, durable: (frames: UInt64, bytes: Int, head: ChainHead))?
    /// Segments without an end that no durable frame names yet, newest first.
    var recoveries: [RecoveryPayload] = []

    /// Entries that are in no frame yet.
    var pending: [UInt8] = []
    var pendingEntries: UInt32 = 0
    /// Frames that are not durable yet, oldest first.
    var retained: [RetainedFrame] = []
    var retainedBytes = 0
    /// Where in ``retained`` those begin that the present segment does not have.
    var unwritten = 0
    /// Buffers that were used and are free.
    var spare: [[UInt8]] = []
    /// Losses that are in no frame yet.
    ///
    /// While there are some, more entries are lost too: their numbers follow each other.
    var gap: GapPayload?

    /// The payload of a frame, kept until it is durable.
    struct RetainedFrame {
        var payload: [UInt8]
        var flags: FrameHeader.Flags
        var firstSequence: UInt64
        var entries: UInt32
        var gap: GapPayload?
    }

    /// Opens a stream for writing: finds what was written last, and begins a new segment after it.
    ///
    /// - Parameters:
    ///   - streamID: Its folder is made where there is none.
    ///   - log: The log folder, whose lock the caller holds.
    ///   - settings: What holds for all its segments.
    ///   - entry: The key ring's entry of `key`; made durable before anything is sealed.
    ///   - key: At step 0.
    ///   - anchor: What was kept of the stream elsewhere; nil if nothing was.
    ///   - writerID: One a process start.
    ///   - now: The present time.
    /// - Throws: `.file` or `.cryptography`: nothing is logged where this fails.
    package init(
        _ streamID: LogIdentifier, in log: LogFolder, _ settings: Settings,
        _ entry: KeyRingEntry, _ key: consuming LogKey,
        anchor: StreamAnchor? = nil, writerID: LogIdentifier, now: LogTime
    ) throws(SealedLogError) {
        precondition(
            key.streamID == streamID && entry.logKeyID == key.id && entry.streamID == streamID,
            "the key is the stream's")
        self.streamID = streamID
        self.log = log
        self.settings = settings
        self.writerID = writerID
        self.ciphers = try SegmentCiphers()
        self.key = .some(key)
        self.keyCreatedMilliseconds = entry.createdMilliseconds
        self.logKeys = anchor?.logKeys ?? [:]
        self.logKeys[entry.logKeyID] = try entry.wrappedDigest()
        try log.files.makeFolder(self.folder)
        try log.files.synchronizeFolder(log.path)
        try log.keyRing.store(entry)
        try self.findLast(anchor)
        if let anchor { self.takeLoss(anchor, now) }
        try self.beginSegment(now)
        try self.synchronize()
    }

    /// Whether times betray and are left out.
    package var isHBI: Bool { self.settings.flags.contains(.hbi) }

    /// When the present segment must end, in monotonic nanoseconds; nil while it has no entries, so
    /// that a stream nobody uses makes no files.
    package var segmentDeadline: UInt64? {
        guard let segment = self.segment, segment.hasEntries else { return nil }
        return self.segmentBegan + SegmentLimits.nanoseconds
    }

    /// The anchor, if it changed since it was taken last.
    package func takeAnchor() -> StreamAnchor? {
        guard self.hasNewAnchor else { return nil }
        self.hasNewAnchor = false
        return self.anchor
    }

    /// How many bytes wait to become durable.
    package var unsynchronizedBytes: Int { self.retainedBytes + self.pending.count }

    /// Whether entries wait that no write was tried for.
    package var hasPending: Bool { !self.pending.isEmpty }

    /// Whether another log key should be supplied by now: an hour before the present one ends.
    package func wantsKey(now: LogTime) -> Bool {
        self.nextKey == nil && self.keyAge(now) + 3_600_000 >= SegmentLimits.logKeyMilliseconds
    }

    /// Takes another log key.
    ///
    /// - Parameters:
    ///   - key: At step 0; used as soon as the present one ends.
    ///   - entry: Its entry in the key ring; durable when this returns.
    ///   - isAtOnce: Ends the present segment, as after a rotation of the wrapping key; also how a
    ///     stream goes on after ``revoke(now:)``.
    ///   - now: The present time.
    /// - Throws: `.file` if the entry cannot be made durable; the key is then not taken.
    package func supply(
        _ key: consuming LogKey, _ entry: KeyRingEntry, isAtOnce: Bool, now: LogTime
    ) throws(SealedLogError) {
        precondition(
            key.streamID == self.streamID && entry.logKeyID == key.id, "the key is the stream's")
        try self.log.keyRing.store(entry)
        self.logKeys[entry.logKeyID] = try entry.wrappedDigest()
        self.nextKey = .some(key)
        guard isAtOnce else { return }
        self.isChangingKey = true
        if self.failure == nil {
            self.attempt(now) { () throws(SealedLogError) in
                try self.writePending()
                try self.turnOver(.keyChanged, now)
            }
        } else {
            self.resume(now: now)
        }
    }

    /// Gives all entries of a batch their numbers and takes them over.
    ///
    /// Whole frames are written, the rest waits for ``write(now:)``. Nothing is durable before
    /// ``synchronize(now:)``. While the stream cannot be written, entries are kept as far as there
    /// is room, and counted as lost beyond it. Never throws: what fails becomes ``failure``.
    ///
    /// - Returns: The numbers of the entries that were taken; those of the end of the batch that are
    ///   missing are lost.
    package func append(_ batch: EntryBatch, now: LogTime) -> Range<UInt64> {
        var batch = batch
        return self.append(taking: &batch, now: now)
    }

    /// The same, of a batch nobody else has: where it fills a frame, the frame has its memory, and the
    /// batch what another frame had.
    func append(taking batch: inout EntryBatch, now: LogTime) -> Range<UInt64> {
        let first = self.nextSequence
        if self.isFrame(batch) {
            self.framePending()
            batch.setSequence(from: first)
            self.nextSequence += UInt64(batch.entries)
            self.pendingEntries = UInt32(batch.entries)
            self.pending = batch.exchange(for: self.spare.popLast() ?? [])
            self.writeFrames(now)
            return first..<self.nextSequence
        }
        let bytes = batch.bytes
        var offset = 0
        for index in 0..<batch.entries {
            let count = 4 + Int(bytes.bigEndian(UInt32.self, at: offset))
            guard self.gap == nil, self.failure != .revoked,
                self.failure == nil
                    || self.unsynchronizedBytes + count <= self.settings.retainedBytes
            else {
                let end = self.nextSequence
                let lost = UInt64(batch.entries - index)
                self.lostEntries += lost
                self.count(lost: lost, bodies: 0, self.lossReason, now: now)
                return first..<end
            }
            self.append(bytes.extracting(offset..<offset + count), now)
            offset += count
        }
        return first..<self.nextSequence
    }

    /// Counts entries and bodies that were lost before they came here.
    package func count(
        lost entries: UInt64, bodies: UInt64, _ reason: GapPayload.Reason, now: LogTime
    ) {
        guard entries > 0 || bodies > 0 else { return }
        // What came before the loss goes into a frame before the gap's.
        self.framePending()
        let milliseconds = self.settings.flags.contains(.hbi) ? 0 : now.unixMilliseconds
        var gap =
            self.gap
            ?? GapPayload(
                firstSequence: self.nextSequence, entries: 0, bodies: 0,
                firstMilliseconds: milliseconds, lastMilliseconds: milliseconds, reason: reason)
        gap.entries += entries
        gap.bodies += bodies
        gap.lastMilliseconds = max(gap.lastMilliseconds, milliseconds)
        self.gap = gap
        self.nextSequence += entries
        self.attempt(now) { () throws(SealedLogError) in
            self.retainGap()
            try self.makeRoom(now)
            try self.writeRetained()
        }
    }

    /// Writes what waits, so that the end of this process does not lose it; begins another segment
    /// where the present one is 15 minutes old.
    package func write(now: LogTime) {
        self.attempt(now) { () throws(SealedLogError) in
            self.framePending()
            if let deadline = self.segmentDeadline, now.monotonicNanoseconds >= deadline {
                try self.turnOver(.limit, now)
            }
            try self.makeRoom(now)
            try self.writeRetained()
        }
    }

    /// Writes what waits and returns once it is durable; false if that failed, see ``failure``.
    package func synchronize(now: LogTime) -> Bool {
        self.attempt(now) { () throws(SealedLogError) in
            self.framePending()
            try self.makeRoom(now)
            try self.writeRetained()
            try self.synchronize()
        }
        return self.failure == nil && self.retained.isEmpty
    }

    /// Tries again after a failure: another segment, and into it all that is not durable.
    ///
    /// While the disk is full, first takes back the log's reserve, as a sign that there is room.
    package func resume(now: LogTime) {
        guard let failure = self.failure, failure != .revoked || self.nextKey != nil else {
            return
        }
        do throws(SealedLogError) {
            if failure.isDiskFull { try self.log.setReserveAside() }
            try self.restart(now)
            self.failure = nil
        } catch {
            self.failure = error
        }
    }

    /// Writes and ends all; the stream is not written any more.
    ///
    /// Where the disk is full, the log's reserve gives room for some of what waits, and for the count of
    /// the rest. Where not even that can be written, or the wrapping key was revoked, the anchor tells
    /// what was lost.
    ///
    /// - Returns: How many entries are lost that no segment tells of.
    @discardableResult
    package func close(now: LogTime) -> UInt64 {
        if self.failure != .revoked { self.resume(now: now) }
        self.end(now)
        if let failure = self.failure, failure.isDiskFull {
            do throws(SealedLogError) {
                self.drop(beyond: try self.log.takeRoom(), now)
                try self.restart(now)
                self.failure = nil
            } catch {
                self.failure = error
            }
            self.end(now)
        }
        self.segment?.abandon()
        self.segment = nil
        guard self.failure != nil else { return 0 }
        self.drop(from: 0, self.lossReason, now)
        guard let gap else { return 0 }
        self.anchor?.nextSequence = self.nextSequence
        self.anchor?.lossReason = gap.reason
        self.hasNewAnchor = true
        return gap.entries
    }

    private func end(_ now: LogTime) {
        self.attempt(now) { () throws(SealedLogError) in
            try self.writePending()
            try self.endSegment(.closed)
        }
    }

    /// Runs `body`; what it throws becomes the stream's failure, after one try to go on in another
    /// segment.
    ///
    /// That a disk is full or a key used up does not go away by trying.
    func attempt(_ now: LogTime, _ body: () throws(SealedLogError) -> Void) {
        guard self.failure == nil else { return }
        do throws(SealedLogError) {
            try body()
        } catch {
            self.failure = error
            guard !error.isDiskFull, error != .keyUsedUp else { return }
            do throws(SealedLogError) {
                try self.restart(now)
                self.failure = nil
            } catch {
                self.failure = error
            }
        }
    }

    /// Why what is lost now is lost.
    var lossReason: GapPayload.Reason {
        switch self.failure {
        case .some(.revoked): .revoked
        case .some(let failure) where failure.isDiskFull: .diskFull
        default: .writeFailed
        }
    }
}
