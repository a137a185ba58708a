internal import Cryptography

// From segment to segment.
extension StreamWriter {
    /// Where the stream's segments lie.
    package var folder: String { self.log.folder(of: self.streamID) }

    /// Begins another segment where what waits does not fit into the present one any more, or comes
    /// later than it may last.
    func makeRoom(_ now: LogTime) throws(SealedLogError) {
        guard let segment = self.segment, self.unwritten < self.retained.count else { return }
        let waiting = self.retained[self.unwritten...].reduce(0) { $0 + $1.payload.count }
        guard
            !segment.hasRoom(
                forPayload: waiting, inFrames: self.retained.count - self.unwritten)
                || now.monotonicNanoseconds &- self.segmentBegan >= SegmentLimits.nanoseconds
        else { return }
        try self.turnOver(.limit, now)
    }

    /// Ends the segment and begins the next.
    func turnOver(_ reason: FinalPayload.Reason, _ now: LogTime) throws(SealedLogError) {
        try self.endSegment(reason)
        try self.beginSegment(now)
    }

    /// Ends the segment; what was written to it is then durable.
    func endSegment(_ reason: FinalPayload.Reason) throws(SealedLogError) {
        guard let segment = self.segment else { return }
        try segment.prepareToFinish(nextSequence: self.unwrittenSequence)
        self.forgetDurable()
        try segment.finish(reason, nextSequence: self.unwrittenSequence)
        self.segment = nil
        self.previous = (
            SegmentName(number: segment.header.number, segmentID: segment.header.segmentID),
            segment.head
        )
        self.noteAnchor(segment)
    }

    /// Begins the next segment: names what has no end before it, then writes all that waits.
    func beginSegment(_ now: LogTime) throws(SealedLogError) {
        try self.turnKey(now)
        guard let key = self.key?.id, let step = self.key?.step else { throw .keyUsedUp }
        let salt = try withCryptography { () throws(CryptographyError) in
            try SystemRandom.bytes(count: SegmentHeader.saltBytes)
        }
        let header = SegmentHeader(
            segmentID: try .random(), streamID: self.streamID,
            number: self.previous.map { $0.name.number + 1 } ?? 0, writerID: self.writerID,
            createdMilliseconds: self.settings.flags.contains(.hbi) ? 0 : now.unixMilliseconds,
            previousID: self.previous?.name.segmentID ?? .zero,
            previousHead: self.previous?.head ?? .zero, salt: salt, logKeyID: key,
            largestFrameBytes: self.settings.largestFrameBytes, flags: self.settings.flags,
            step: step)
        let name = SegmentName(number: header.number, segmentID: header.segmentID)
        self.failed = (name, (0, 0, .zero))
        let segment = try self.makeSegment(name, header)
        try self.log.files.synchronizeFolder(self.folder)
        self.segment = segment
        self.segmentBegan = now.monotonicNanoseconds
        let next = self.unwrittenSequence
        for recovery in self.recoveries { try segment.append(recovery, nextSequence: next) }
        // The names of segments without an end are durable before anything comes after them.
        try segment.synchronize()
        self.failed = nil
        self.recoveries.removeAll()
        self.previous = (name, .zero)
        self.noteAnchor(segment)
        try self.writeRetained()
    }

    /// Leaves the segment that failed as it is, and writes all that is not durable into another.
    func restart(_ now: LogTime) throws(SealedLogError) {
        if let segment = self.segment {
            segment.abandon()
            self.segment = nil
            self.failed = (
                SegmentName(
                    number: segment.header.number, segmentID: segment.header.segmentID),
                segment.durable
            )
        }
        try self.nameFailed()
        self.unwritten = 0
        try self.beginSegment(now)
        try self.writePending()
        try self.synchronize()
    }

    /// Finds the last segment of the stream, and those without an end.
    func findLast(_ anchor: StreamAnchor?) throws(SealedLogError) {
        let names = try StreamFolder.segments(in: self.folder, self.log.files)
        if let last = names.last, last.number >= SegmentLimits.segments {
            throw .impossibleNumber(path: self.folder + "/" + last.text)
        }
        // A process that was killed may have left bytes and names that are there to read and not yet
        // durable: what is going to be named must outlive a loss of power.
        try self.log.files.synchronizeFolder(self.folder)
        var sequence: UInt64?
        var mustName = true
        for name in names.reversed() where mustName || sequence == nil {
            try self.makeDurable(name)
            let scan = try SegmentScan(
                name, of: self.streamID, in: self.folder, anchor?.head, self.ciphers,
                self.log.files)
            if self.found == nil {
                self.found = scan
                self.previous = (name, scan.found.head)
            }
            if mustName, !scan.isFinal { self.recoveries.append(scan.found) }
            // Where nothing follows the frames that name segments before, some of them may be missing.
            mustName = mustName && !scan.isFinal && scan.hasNamesOnly
            sequence = sequence ?? scan.nextSequence
        }
        self.nextSequence = sequence ?? 0
        self.durableSequence = self.nextSequence
        if let anchor { self.follow(anchor) }
    }

    /// Goes on after the end that was kept elsewhere, where the stream ends before it.
    ///
    /// The next segment's header then names an end that is not there, which `verify` tells from now on;
    /// were it to follow what was found, the next anchor would bear that out.
    private func follow(_ anchor: StreamAnchor) {
        let name = SegmentName(number: anchor.number, segmentID: anchor.segmentID)
        if let found = self.found {
            guard found.name.number <= anchor.number, found.name != name || !found.isAnchored else {
                return
            }
        }
        self.lostEnd = anchor
        self.previous = (name, anchor.head)
    }

    private func makeDurable(_ name: SegmentName) throws(SealedLogError) {
        let file = try self.log.files.open(self.folder + "/" + name.text)
        defer { self.log.files.close(file) }
        try self.log.files.synchronize(file)
    }

    func keyAge(_ now: LogTime) -> UInt64 {
        // A clock that stepped back makes no key older.
        now.unixMilliseconds - min(now.unixMilliseconds, self.keyCreatedMilliseconds)
    }

    /// Takes the failed segment, if it is there at all, for the last one.
    private func nameFailed() throws(SealedLogError) {
        guard let (name, durable) = self.failed else { return }
        let names = try StreamFolder.segments(in: self.folder, self.log.files)
        if names.contains(name) {
            let source = try SegmentSource(self.folder + "/" + name.text, self.log.files)
            let start = min(durable.bytes, source.byteCount)
            self.recoveries.insert(
                RecoveryPayload(
                    segmentID: name.segmentID, frames: durable.frames,
                    validBytes: UInt64(durable.bytes), head: durable.head,
                    tornBytes: UInt64(source.byteCount - start),
                    tornDigest: try SegmentScan.digest(of: source, from: start, self.ciphers)),
                at: 0)
            self.previous = (name, durable.head)
        }
        self.failed = nil
    }

    /// Sets up the key for the next segment: the present one a step on, or the next one.
    private func turnKey(_ now: LogTime) throws(SealedLogError) {
        let isUsedUp =
            self.keyAge(now) >= SegmentLimits.logKeyMilliseconds
            || self.key?.step ?? SegmentLimits.steps >= SegmentLimits.steps
        if isUsedUp || self.isChangingKey, let next = self.nextKey.take() {
            self.keyCreatedMilliseconds = UTCTime.milliseconds(next.created) ?? 0
            self.key = .some(next)
            self.isChangingKey = false
        } else if isUsedUp {
            throw .keyUsedUp
        } else if !self.isKeyFresh {
            try self.key?.advance(with: self.ciphers.hkdf)
        }
        self.isKeyFresh = false
    }

    private func makeSegment(
        _ name: SegmentName, _ header: SegmentHeader
    ) throws(SealedLogError) -> SegmentWriter {
        guard let key = self.key.take() else { throw .keyUsedUp }
        let path = self.folder + "/" + name.text
        do throws(SealedLogError) {
            let segment = try SegmentWriter(path, header, key, self.ciphers, self.log.files)
            self.key = .some(key)
            return segment
        } catch {
            self.key = .some(key)
            throw error
        }
    }

    func noteAnchor(_ segment: SegmentWriter) {
        self.hasNewAnchor = true
        self.anchor = StreamAnchor(
            streamID: self.streamID, number: segment.header.number,
            segmentID: segment.header.segmentID, head: segment.head, logKeys: self.logKeys)
    }
}
