internal import Cryptography

/// Writes one segment, from its header to its final frame.
///
/// Must be used on one thread. The first failure ends it: what follows a write or a synchronisation
/// that failed is unknown, so nothing more is written and the file stays without an end. The next
/// segment says what was found of it.
package final class SegmentWriter {
    /// The header it wrote.
    package let header: SegmentHeader
    /// Where it is.
    package let path: String
    /// The chain's head after all frames so far.
    package private(set) var head: ChainHead
    /// Frames so far.
    package private(set) var frames: UInt64 = 0
    /// Bytes so far, header included.
    package private(set) var bytes: Int
    /// Where it stood when it was last synchronised: frames, bytes and chain head of which nothing
    /// can be lost any more.
    package private(set) var durable: (frames: UInt64, bytes: Int, head: ChainHead)

    private let files: any LogFileSystem
    private let file: LogFile
    private let ciphers: SegmentCiphers
    private var index = SegmentIndex()
    private var lastIndexFrame: UInt64 = 0
    private var entries: UInt64 = 0
    private var plaintextBytes: UInt64 = 0
    private var times: ClosedRange<UInt64>?
    private var isOpen = true
    /// The last frames, sealed and not written; nil unless they are sealed apart.
    private var sealedEnd: [[UInt8]]?
    /// Where the segment stands before its final frame, where that is sealed apart.
    private var positionBeforeFinal: (frames: UInt64, bytes: Int, head: ChainHead)?
    private var padded: [UInt8] = []
    private var frame: [UInt8]

    /// Creates the segment and writes its header.
    ///
    /// - Parameters:
    ///   - path: Must not be there; its folder's name must still be made durable.
    ///   - header: What stands in it; the salt must be new.
    ///   - key: The log key at the header's step.
    ///   - ciphers: Taken up for this segment; nothing else may use them until it ends.
    ///   - files: The file system.
    /// - Throws: `.file` or `.cryptography`; a file without an end may then be there.
    package init(
        _ path: String, _ header: SegmentHeader, _ key: borrowing LogKey,
        _ ciphers: SegmentCiphers, _ files: any LogFileSystem
    ) throws(SealedLogError) {
        precondition(
            header.step == key.step && header.logKeyID == key.id
                && header.streamID == key.streamID, "the key is the header's")
        precondition(
            (Self.smallestFrameBytes...SegmentLimits.largestFrameBytes)
                .contains(header.largestFrameBytes), "index and final frame fit into a frame")
        let committed = header.committed
        let commitment = try ciphers.beginSegment(committed: committed, key)
        var bytes = committed
        bytes.append(commitment.bytes)
        self.header = header
        self.path = path
        self.files = files
        self.ciphers = ciphers
        self.head = ciphers.chainStart(header: bytes.rawSpan)
        self.bytes = bytes.count
        self.durable = (0, 0, .zero)
        self.frame = [UInt8](
            repeating: 0,
            count: FrameHeader.frameBytes(plaintextBytes: header.largestFrameBytes))
        self.file = try files.create(path)
        do throws(SealedLogError) {
            try files.append(bytes.rawSpan, to: self.file)
        } catch {
            self.abandon()
            throw error
        }
    }

    /// Whether an entry began in it.
    package var hasEntries: Bool { self.entries > 0 }

    /// How many bytes of payload a frame takes.
    package var payloadCapacity: Int {
        self.header.largestFrameBytes
            - (self.header.flags.contains(.padded) ? Padding.lengthBytes : 0)
    }

    /// Whether that many more bytes of payload fit, in at least so many frames, with index and final
    /// frame after them.
    package func hasRoom(forPayload bytes: Int, inFrames count: Int = 0) -> Bool {
        let full = bytes / self.payloadCapacity
        let frames = max(full, count) + Self.framesInReserve
        let frameBytes = FrameHeader.frameBytes(plaintextBytes: self.header.largestFrameBytes)
        // A frame that is not full is filled up, or has little more than its payload.
        let isPadded = self.header.flags.contains(.padded)
        let needed =
            isPadded
            ? frames * frameBytes
            : (full + Self.framesInReserve) * frameBytes + count * Self.smallestFrameBytes
        return self.frames + UInt64(frames) <= SegmentLimits.frames
            && self.bytes + needed <= SegmentLimits.bytes
    }

    /// Seals a frame of entries and writes it, and an index where one is due.
    ///
    /// - Parameters:
    ///   - payload: At most ``payloadCapacity`` bytes.
    ///   - flags: How the entries run over its edges.
    ///   - firstSequence: The number of the first entry in it.
    ///   - entries: How many begin in it.
    /// - Throws: `.file` or `.cryptography`; the segment is then closed as it is.
    package func appendEntries(
        _ payload: [UInt8], _ flags: FrameHeader.Flags, firstSequence: UInt64, entries: UInt32
    ) throws(SealedLogError) {
        if self.index.byteCount + SegmentIndex.bytes(forEntries: Int(entries))
            > self.payloadCapacity
            || self.frames - self.lastIndexFrame >= SegmentLimits.framesBetweenIndexes - 1
        {
            try self.appendIndex(nextSequence: firstSequence)
        }
        if entries > 0 {
            self.index.add(payload.rawSpan, at: self.bytes, firstSequence, entries)
            if let frame = self.index.frames.last {
                let range = frame.firstNanoseconds...frame.lastNanoseconds
                self.times =
                    self.times.map {
                        min($0.lowerBound, range.lowerBound)...max($0.upperBound, range.upperBound)
                    } ?? range
            }
        }
        try self.append(
            .entries, payload.rawSpan, flags, firstSequence: firstSequence, entries: entries)
    }

    /// Seals and writes what was found of a segment before; must come before all entries.
    package func append(
        _ recovery: RecoveryPayload, nextSequence: UInt64
    ) throws(SealedLogError) {
        precondition(self.entries == 0, "what was found comes first")
        try self.append(.recovery, recovery.encoded.rawSpan, [], firstSequence: nextSequence)
    }

    /// Seals and writes a count of lost entries.
    package func append(_ gap: GapPayload) throws(SealedLogError) {
        // Whoever scans without a key after a kill learns from the header alone where to go on.
        try self.append(
            .gap, gap.encoded.rawSpan, [], firstSequence: gap.firstSequence + gap.entries)
    }

    /// Returns once all that was written outlives a loss of power.
    package func synchronize() throws(SealedLogError) {
        precondition(self.isOpen, "a segment that failed or ended is left alone")
        do throws(SealedLogError) {
            try self.files.synchronize(self.file)
        } catch {
            self.abandon()
            throw error
        }
        self.durable = (self.frames, self.bytes, self.head)
    }

    /// Writes the index that is due, and returns once all that was written is durable.
    ///
    /// Comes before ``finish(_:nextSequence:)``: where a final frame is on disk, all before it must
    /// be, because whoever scans without a key sees only that it is there.
    package func prepareToFinish(nextSequence: UInt64) throws(SealedLogError) {
        if !self.index.frames.isEmpty { try self.appendIndex(nextSequence: nextSequence) }
        try self.synchronize()
    }

    /// Writes the final frame, and makes the file durable and read-only.
    package func finish(
        _ reason: FinalPayload.Reason, nextSequence: UInt64
    ) throws(SealedLogError) {
        precondition(self.durable.frames == self.frames, "a segment is prepared for its end")
        try self.appendFinal(self.final(reason), nextSequence: nextSequence)
        try self.close()
    }

    /// Writes nothing any more that is appended, so that the key can be wiped before the disk is waited
    /// for; ``writeSealedEnd()`` does.
    package func holdEnd() { self.sealedEnd = [] }

    /// Seals the last frames after ``holdEnd()``; nothing may be appended after them.
    package func sealEnd(
        _ reason: FinalPayload.Reason, nextSequence: UInt64
    ) throws(SealedLogError) {
        if !self.index.frames.isEmpty { try self.appendIndex(nextSequence: nextSequence) }
        self.positionBeforeFinal = (self.frames, self.bytes, self.head)
        try self.appendFinal(self.final(reason), nextSequence: nextSequence)
    }

    /// Writes what ``sealEnd(_:nextSequence:)`` sealed before the final frame, and returns once all that
    /// was written is durable.
    ///
    /// - Throws: `.file`; `.revoked` if nothing was sealed. The segment is then closed as it is.
    package func writeSealedEnd() throws(SealedLogError) {
        guard self.isOpen, let frames = self.sealedEnd, let position = self.positionBeforeFinal
        else { throw .revoked }
        do throws(SealedLogError) {
            for frame in frames.dropLast() {
                try self.files.append(frame.rawSpan, to: self.file)
            }
            try self.files.synchronize(self.file)
        } catch {
            self.abandon()
            throw error
        }
        self.durable = position
    }

    /// Writes the final frame that was sealed, after ``writeSealedEnd()``, and makes the file durable and
    /// read-only.
    package func writeSealedFinal() throws(SealedLogError) {
        guard let frame = self.sealedEnd?.last else { throw .revoked }
        do throws(SealedLogError) {
            try self.files.append(frame.rawSpan, to: self.file)
        } catch {
            self.abandon()
            throw error
        }
        try self.close()
    }

    private func final(_ reason: FinalPayload.Reason) -> FinalPayload {
        let times = self.times ?? 0...0
        return FinalPayload(
            frames: self.frames, entries: self.entries, plaintextBytes: self.plaintextBytes,
            firstMilliseconds: times.lowerBound / 1_000_000,
            lastMilliseconds: times.upperBound / 1_000_000, head: self.head,
            reason: reason.rawValue)
    }

    /// After the final frame.
    private func close() throws(SealedLogError) {
        do throws(SealedLogError) {
            try self.files.makeReadOnly(self.file)
        } catch {
            self.abandon()
            throw error
        }
        try self.synchronize()
        self.abandon()
    }

    /// Closes the file as it is; without a final frame if ``finish(_:nextSequence:)`` was not called.
    package func abandon() {
        guard self.isOpen else { return }
        self.isOpen = false
        self.files.close(self.file)
    }

    /// Writes the final frame; for tests with a salt that is given.
    func appendFinal(
        _ final: FinalPayload, nextSequence: UInt64, salt: [UInt8]? = nil
    ) throws(SealedLogError) {
        try self.append(
            .final, final.encoded.rawSpan, [], firstSequence: nextSequence, salt: salt)
    }

    /// Seals a frame and writes it; for tests with a salt that is given.
    func append(
        _ type: FrameType, _ payload: RawSpan, _ flags: FrameHeader.Flags, firstSequence: UInt64,
        entries: UInt32 = 0, salt: [UInt8]? = nil
    ) throws(SealedLogError) {
        precondition(self.isOpen, "a segment that failed or ended is left alone")
        precondition(payload.byteCount <= self.payloadCapacity, "the payload fits into a frame")
        guard self.header.flags.contains(.padded) else {
            return try self.write(type, payload, flags, firstSequence, entries, salt)
        }
        self.padded.removeAll(keepingCapacity: true)
        self.padded.append(bigEndian: UInt32(payload.byteCount))
        self.padded.append(payload)
        self.padded.setCount(
            Padding.filledBytes(
                payloadBytes: payload.byteCount, largest: self.header.largestFrameBytes))
        let padded = self.padded
        try self.write(type, padded.rawSpan, flags, firstSequence, entries, salt)
    }

    private func write(
        _ type: FrameType, _ plaintext: RawSpan, _ flags: FrameHeader.Flags,
        _ firstSequence: UInt64, _ entries: UInt32, _ salt: [UInt8]?
    ) throws(SealedLogError) {
        let header = FrameHeader(
            type: type, flags: flags, index: self.frames, firstSequence: firstSequence,
            entries: entries, plaintextBytes: plaintext.byteCount)
        let sealedBytes = FrameHeader.byteCount + plaintext.byteCount + XAES256GCM.tagBytes
        let count = header.frameBytes
        do throws(SealedLogError) {
            try self.setSalt(salt)
            header.encode(into: &self.frame)
            try self.ciphers.seal(plaintext, into: &self.frame, self.head)
            for index in sealedBytes..<count { self.frame[index] = 0 }
            try self.appendFrame(count)
        } catch {
            self.abandon()
            throw error
        }
        self.advanceChain(sealedBytes)
        self.frames += 1
        self.bytes += count
        self.entries += UInt64(entries)
        self.plaintextBytes += UInt64(plaintext.byteCount)
    }

    private func appendFrame(_ count: Int) throws(SealedLogError) {
        let frame = self.frame
        let bytes = frame.rawSpan.extracting(first: count)
        if self.sealedEnd != nil {
            self.sealedEnd?.append(bytes.array)
        } else {
            try self.files.append(bytes, to: self.file)
        }
    }

    private func advanceChain(_ sealedBytes: Int) {
        let frame = self.frame
        self.head = self.ciphers.chain(
            after: self.head, frame: frame.rawSpan.extracting(first: sealedBytes))
    }

    /// The frame's salt comes from the kernel, one call each, never from a buffer: a process that
    /// was cloned must not use a nonce twice.
    private func setSalt(_ salt: [UInt8]?) throws(SealedLogError) {
        let range = FrameHeader.saltOffset..<FrameHeader.saltOffset + FrameHeader.saltBytes
        if let salt {
            self.frame.replaceSubrange(range, with: salt)
            return
        }
        do throws(CryptographyError) {
            try SystemRandom.fill(&self.frame, in: range)
        } catch {
            throw .cryptography(error)
        }
    }

    private func appendIndex(nextSequence: UInt64) throws(SealedLogError) {
        let payload = self.index.encoded
        self.index.removeAll()
        try self.append(.index, payload.rawSpan, [], firstSequence: nextSequence)
        self.lastIndexFrame = self.frames
    }

    deinit {
        self.abandon()
    }

    /// 1 KiB: a final frame, filled, and the index of a frame full of the smallest entries.
    static let smallestFrameBytes = 1024
    /// Frames that room is kept for: a split entry's last piece, two indexes, a gap, the event of a
    /// revocation, the final one.
    private static let framesInReserve = 7
}
