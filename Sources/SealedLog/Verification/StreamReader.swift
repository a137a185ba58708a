internal import Cryptography

/// Reads all segments of a stream in order, holds them against each other, and gives their entries.
///
/// Used by one thread. Without keys only the structure is checked.
package final class StreamReader {
    private let streamID: LogIdentifier
    private let log: String
    private let folder: String
    private let files: any LogFileSystem
    private let keys: LogKeyCache?
    private let ciphers: SegmentCiphers

    private var report = StreamReport()
    /// What recovery frames say, by the segment they name.
    private var recoveries: [LogIdentifier: RecoveryPayload] = [:]
    private var removals: [RemovalEvent] = []
    private var missing: [(range: ClosedRange<UInt64>, head: ChainHead)] = []
    /// Whether segments are passed over, so that each is held against itself only.
    private var isSearching = false
    /// Which entries somebody gets; nil for none.
    private var wanted: EntryFilter?

    /// What the segment before left behind.
    private struct Previous {
        var name: SegmentName
        var head: ChainHead
        var fault: (SegmentFault, frame: UInt64)?
        /// The chain's head over its bytes as they are, where it ends with a final frame but has a
        /// frame that cannot be opened.
        var headAsFound: ChainHead?
    }

    /// Prepares to read a stream.
    ///
    /// - Parameters:
    ///   - streamID: The stream.
    ///   - log: The log folder.
    ///   - keys: Nil to check the structure only.
    ///   - files: Its files.
    /// - Throws: `.cryptography` if there are no ciphers to be had.
    package init(
        _ streamID: LogIdentifier, in log: String, keys: LogKeyCache?, _ files: any LogFileSystem
    ) throws(SealedLogError) {
        self.streamID = streamID
        self.log = log
        self.folder = log + "/" + streamID.text
        self.files = files
        self.keys = keys
        self.ciphers = try SegmentCiphers()
    }

    /// Reads the segments that may hold entries that are wanted, and gives those entries.
    ///
    /// Each segment that is read is checked from its begin to its end, but not held against the others:
    /// that nothing was found does not prove that nothing was there. Needs keys.
    ///
    /// - Parameters:
    ///   - wanted: What is asked for.
    ///   - visit: Gets each entry that is wanted, oldest first.
    ///   - turned: Told before each segment how many were looked at, and of how many.
    /// - Returns: What was found.
    /// - Throws: As ``read(anchor:_:turned:)`` does.
    package func search(
        _ wanted: EntryFilter, _ visit: (LogEntry) throws(SealedLogError) -> Void,
        turned: (Int, Int) -> Void = { _, _ in }
    ) throws(SealedLogError) -> StreamReport {
        precondition(self.keys != nil, "entries are read with keys")
        self.begin(wanted, isSearching: true)
        let names = try self.names()
        for name in names { try self.collectRecoveries(of: name) }
        for (position, name) in names.enumerated() {
            turned(position, names.count)
            guard try self.mayHold(wanted, name) else { continue }
            var sequence: UInt64?
            _ = try self.read(name, name == names.last, nil, &sequence, nil) {
                (entry) throws(SealedLogError) in
                if wanted.wants(entry) { try visit(entry) }
            }
        }
        return self.report
    }

    /// Reads everything.
    ///
    /// - Parameters:
    ///   - anchor: What was kept of the stream elsewhere; nil if nothing was.
    ///   - visit: Gets each entry, oldest first.
    ///   - turned: Told before each segment how many were read, and of how many.
    /// - Returns: What was found.
    /// - Throws: `.file` where the folder or a file cannot be read, or what `visit` throws.
    package func read(
        anchor: StreamAnchor? = nil, _ visit: (LogEntry) throws(SealedLogError) -> Void,
        turned: (Int, Int) -> Void = { _, _ in }
    ) throws(SealedLogError) -> StreamReport {
        try self.read(EntryFilter(), anchor, visit, turned)
    }

    /// Checks everything, as ``read(anchor:_:turned:)`` does, and keeps nothing of the entries.
    package func verify(
        anchor: StreamAnchor? = nil, turned: (Int, Int) -> Void = { _, _ in }
    ) throws(SealedLogError) -> StreamReport {
        try self.read(nil, anchor, { _ in }, turned)
    }

    private func read(
        _ wanted: EntryFilter?, _ anchor: StreamAnchor?,
        _ visit: (LogEntry) throws(SealedLogError) -> Void, _ turned: (Int, Int) -> Void
    ) throws(SealedLogError) -> StreamReport {
        self.begin(wanted, isSearching: false)
        let names = try self.names()
        for name in names { try self.collectRecoveries(of: name) }
        var previous: Previous?
        var sequence: UInt64?
        for (position, name) in names.enumerated() {
            turned(position, names.count)
            let isLast = name == names.last
            previous = try self.read(name, isLast, previous, &sequence, anchor, visit)
        }
        for (range, head) in self.missing where !self.isRemoved(range, head) {
            self.report.findings.append(.missing(range))
        }
        if let anchor, names.last.map({ $0.number < anchor.number }) ?? true {
            self.report.findings.append(
                .rolledBack(anchored: anchor.number, found: names.last?.number))
        }
        return self.report
    }

    /// Whether events name all of these segments, and the chain's head of the last.
    private func isRemoved(_ range: ClosedRange<UInt64>, _ head: ChainHead) -> Bool {
        let ends = self.removals.filter { $0.last == range.upperBound && $0.head == head }
        guard var first = ends.map(\.first).min() else { return false }
        // An event may name only what expired at its time; what was before it, another one names.
        while first > range.lowerBound {
            let before = self.removals.filter { $0.first < first && $0.last >= first - 1 }
            guard let earlier = before.map(\.first).min() else { return false }
            first = earlier
        }
        return true
    }

    private func begin(_ wanted: EntryFilter?, isSearching: Bool) {
        self.wanted = wanted
        self.report = StreamReport()
        self.report.isStructureOnly = self.keys == nil
        self.recoveries = [:]
        self.removals = []
        self.missing = []
        self.isSearching = isSearching
    }

    /// The segments there are; reports files with numbers that nothing could follow.
    private func names() throws(SealedLogError) -> [SegmentName] {
        let names = try StreamFolder.segments(in: self.folder, self.files)
        let end = names.firstIndex { $0.number >= SegmentLimits.segments } ?? names.endIndex
        for name in names[end...] { self.report.findings.append(.impossibleNumber(name)) }
        return Array(names[..<end])
    }

    /// Whether a segment may hold what is wanted; what is wrong with it is found when it is read.
    private func mayHold(
        _ wanted: EntryFilter, _ name: SegmentName
    ) throws(SealedLogError) -> Bool {
        do throws(SealedLogError) {
            let source = try SegmentSource(self.folder + "/" + name.text, self.files)
            let header = try source.header()
            return try self.keys?.withKey(of: header, self.ciphers.hkdf) {
                (key: borrowing LogKey) throws(SealedLogError) in
                try SegmentLookup(source, header, self.ciphers).mayHold(wanted, key)
            } ?? true
        } catch .segment {
            return true
        } catch .keyRing {
            return true
        }
    }

    /// Opens the frames a segment begins with as far as they name others.
    ///
    /// What cannot be read is found later.
    private func collectRecoveries(of name: SegmentName) throws(SealedLogError) {
        guard self.keys != nil else { return }
        do throws(SealedLogError) {
            let source = try SegmentSource(self.folder + "/" + name.text, self.files)
            guard try source.beginsWithRecovery() else { return }
            let reader = try self.reader(of: source, try source.header())
            while case .frame(let frame) = try reader.next(), frame.type == .recovery {
                let payload = reader.payload
                guard let recovery = RecoveryPayload(decoding: payload.rawSpan) else { continue }
                // The same segment may be named twice; the first to name it saw it first.
                self.recoveries[recovery.segmentID] =
                    self.recoveries[recovery.segmentID] ?? recovery
            }
        } catch .segment {
        } catch .keyRing {
        }
    }

    private func reader(
        of source: SegmentSource, _ header: SegmentHeader
    ) throws(SealedLogError) -> SegmentReader {
        guard let keys = self.keys else {
            return try SegmentReader(structureOf: source, header, self.ciphers)
        }
        return try keys.withKey(of: header, self.ciphers.hkdf) {
            (key: borrowing LogKey) throws(SealedLogError) in
            try SegmentReader(source, header, key, self.ciphers)
        }
    }

    private func read(
        _ name: SegmentName, _ isLast: Bool, _ previous: Previous?, _ sequence: inout UInt64?,
        _ anchor: StreamAnchor?, _ visit: (LogEntry) throws(SealedLogError) -> Void
    ) throws(SealedLogError) -> Previous {
        self.report.segments += 1
        let source = try SegmentSource(self.folder + "/" + name.text, self.files)
        var present = Previous(name: name, head: .zero)
        let recovery = self.recoveries[name.segmentID]
        let header: SegmentHeader
        do throws(SealedLogError) {
            header = try source.header()
        } catch .segment(let fault, _, _) {
            present.fault = (fault, frame: 0)
            try self.judge(&present, source, nil, recovery, isLast)
            self.link(previous, name, nil)
            if isLast, recovery == nil { self.checkHeaderless(name, previous, anchor) }
            return present
        }
        guard header.segmentID == name.segmentID, header.number == name.number,
            header.streamID == self.streamID
        else {
            self.report.findings.append(.misplaced(name))
            return present
        }
        self.link(previous, name, header)
        self.check(header, name, anchor)
        if let previous, let fault = previous.fault, let head = previous.headAsFound,
            head != header.previousHead
        {
            self.report.findings.append(.segment(previous.name, fault.0, frame: fault.frame))
        }
        let reader: SegmentReader
        do throws(SealedLogError) {
            reader = try self.reader(of: source, header)
        } catch .keyRing(_, .foreign) {
            self.report.findings.append(.segment(name, .foreignKey, frame: 0))
            return present
        } catch .keyRing(_, let problem) {
            self.report.findings.append(.logKey(name, problem))
            return present
        } catch .segment(let fault, _, _) {
            present.fault = (fault, frame: 0)
            try self.judge(&present, source, nil, recovery, isLast)
            return present
        }
        if let previous, previous.headAsFound == header.previousHead, let fault = previous.fault {
            self.report.notes.append(.lostBeforeRecovery(previous.name, frame: fault.frame))
        }
        let hasAnchor = anchor?.segmentID == name.segmentID
        var isAnchored = !hasAnchor || reader.head == anchor?.head
        var assembler = EntryAssembler(self.wanted)
        reading: while reader.frames != recovery?.frames {
            switch try reader.next() {
            case .frame(let frame):
                self.follow(frame, reader, name, &sequence)
                if hasAnchor { isAnchored = isAnchored || reader.head == anchor?.head }
                if self.keys != nil {
                    try self.take(frame, reader, name, &assembler, visit)
                }
            case .end(let fault):
                if let fault { present.fault = (fault, reader.frames) }
                break reading
            }
        }
        present.head = reader.head
        self.report.frames += reader.frames
        if !isAnchored { self.report.findings.append(.truncated(name)) }
        try self.judge(&present, source, reader, recovery, isLast)
        if let recovery {
            present.head = recovery.head
            present.fault = nil
        }
        return present
    }

    /// Holds the number of a frame's first entry against what came before.
    private func follow(
        _ frame: FrameHeader, _ reader: SegmentReader, _ name: SegmentName,
        _ sequence: inout UInt64?
    ) {
        var found = frame.firstSequence
        if frame.type == .gap {
            let payload = reader.payload
            found = GapPayload(decoding: payload.rawSpan)?.firstSequence ?? found
        }
        if let expected = sequence, found != expected {
            // A gap says so in its payload, which only a key opens.
            let isMissing = found > expected
            if isMissing, self.keys != nil {
                self.report.findings.append(
                    .sequenceMissing(name, expected: expected, found: found))
            } else if !isMissing {
                self.report.findings.append(
                    .sequenceRepeated(name, expected: expected, found: found))
            }
        }
        sequence = reader.nextSequence
    }

    private func take(
        _ frame: FrameHeader, _ reader: SegmentReader, _ name: SegmentName,
        _ assembler: inout EntryAssembler, _ visit: (LogEntry) throws(SealedLogError) -> Void
    ) throws(SealedLogError) {
        let payload = reader.payload
        switch frame.type {
        case .entries:
            guard let entries = assembler.entries(of: payload.rawSpan, frame) else { break }
            for entry in entries {
                self.report.entries += 1
                if entry.kind == .event, let json = entry[.event], let removal = RemovalEvent(json),
                    removal.streamID == self.streamID
                {
                    self.removals.append(removal)
                    self.report.notes.append(.removed(removal))
                }
                try visit(entry)
            }
            return
        case .index:
            if SegmentIndex(decoding: payload.rawSpan) != nil { return }
        case .gap:
            if let gap = GapPayload(decoding: payload.rawSpan) {
                self.report.notes.append(.gap(name, gap))
                return
            }
        case .recovery:
            if RecoveryPayload(decoding: payload.rawSpan) != nil { return }
        case .final:
            return
        }
        self.report.findings.append(.malformedPayload(name, frame: frame.index))
    }

    /// Decides what the end of a segment means.
    private func judge(
        _ present: inout Previous, _ source: SegmentSource, _ reader: SegmentReader?,
        _ recovery: RecoveryPayload?, _ isLast: Bool
    ) throws(SealedLogError) {
        let name = present.name
        guard let recovery else {
            guard let (fault, frame) = present.fault else { return }
            switch fault {
            case .unfinalised, .torn:
                // Without keys nobody can read what later segments say of this one.
                guard isLast || self.keys == nil else {
                    self.report.findings.append(.tornUnnamed(name, fault, frame: frame))
                    return
                }
                self.report.notes.append(.open(name, torn: fault == .torn))
            case .aead, .padding, .finalContent:
                // The segment after it says whether its writer found it so.
                if !isLast, !self.isSearching {
                    present.headAsFound = try self.headAsFound(of: source)
                }
                guard present.headAsFound == nil else { return }
                self.report.findings.append(.segment(name, fault, frame: frame))
            default:
                self.report.findings.append(.segment(name, fault, frame: frame))
            }
            return
        }
        if let reader, reader.frames == recovery.frames, reader.head == recovery.head {
            self.report.notes.append(.recovered(name, recovery))
        } else if try self.isAsRecovered(source, name, recovery) {
            guard recovery.frames > 0, let (_, frame) = present.fault else {
                self.report.notes.append(.recovered(name, recovery))
                return try self.judgeTorn(source, name, recovery)
            }
            self.report.notes.append(.lostBeforeRecovery(name, frame: frame))
        } else {
            self.report.findings.append(.recoveryDiffers(name))
            return
        }
        try self.judgeTorn(source, name, recovery)
    }

    /// The chain's head over the frames of a segment that ends with a final one, whatever is in them.
    private func headAsFound(of source: SegmentSource) throws(SealedLogError) -> ChainHead? {
        let reader = try SegmentReader(structureOf: source, try source.header(), self.ciphers)
        while true {
            guard case .end(let fault) = try reader.next() else { continue }
            return fault == nil ? reader.head : nil
        }
    }

    private func judgeTorn(
        _ source: SegmentSource, _ name: SegmentName, _ recovery: RecoveryPayload
    ) throws(SealedLogError) {
        let digest = try SegmentScan.digest(
            of: source, from: Int(clamping: recovery.validBytes), self.ciphers)
        if digest != recovery.tornDigest { self.report.notes.append(.tornChanged(name)) }
    }

    /// Whether the bytes that recovery took for whole are still the same, whatever they are.
    private func isAsRecovered(
        _ source: SegmentSource, _ name: SegmentName, _ recovery: RecoveryPayload
    ) throws(SealedLogError) -> Bool {
        // Nothing of the segment was whole, not even its header.
        if recovery.validBytes == 0 { return recovery.frames == 0 && recovery.head == .zero }
        do throws(SealedLogError) {
            let reader = try SegmentReader(
                structureOf: source, try source.header(), self.ciphers)
            while reader.frames < recovery.frames {
                guard case .frame = try reader.next() else { return false }
            }
            return reader.head == recovery.head
                && reader.validBytes == Int(clamping: recovery.validBytes)
        } catch .segment {
            return false
        }
    }

    /// Holds a segment's place against the one before it.
    private func link(_ previous: Previous?, _ name: SegmentName, _ header: SegmentHeader?) {
        if self.isSearching { return }
        let expected = previous.map { $0.name.number + 1 } ?? 0
        if name.number != expected, let header, previous != nil || header.previousID != .zero {
            if name.number > expected {
                self.missing.append((expected...name.number - 1, header.previousHead))
            } else {
                self.report.findings.append(.previousDiffers(name))
            }
            return
        }
        guard let header, let previous else { return }
        guard previous.fault == nil, header.previousID == previous.name.segmentID else {
            // A fault in the segment before was reported there; its head is not known.
            if header.previousID != previous.name.segmentID {
                self.report.findings.append(.previousDiffers(name))
            }
            return
        }
        if header.previousHead != previous.head {
            self.report.findings.append(.previousDiffers(name))
        }
    }

    /// Holds a segment that ends within its header, and that nothing names, against what came before.
    ///
    /// It is what a crash leaves at the stream's end: after all others, with no anchor of its own, and
    /// after no segment that only a header could excuse.
    private func checkHeaderless(
        _ name: SegmentName, _ previous: Previous?, _ anchor: StreamAnchor?
    ) {
        if self.isSearching { return }
        if let anchor, name.number <= anchor.number {
            self.report.findings.append(.truncated(name))
        }
        let expected = previous.map { $0.name.number + 1 } ?? 0
        if name.number > expected {
            self.report.findings.append(.missing(expected...name.number - 1))
        }
        if let previous, previous.headAsFound != nil, let fault = previous.fault {
            self.report.findings.append(.segment(previous.name, fault.0, frame: fault.frame))
        }
    }

    private func check(_ header: SegmentHeader, _ name: SegmentName, _ anchor: StreamAnchor?) {
        guard let anchor else { return }
        if header.number == anchor.number, header.segmentID != anchor.segmentID {
            self.report.findings.append(.truncated(name))
        }
        guard header.number <= anchor.number else { return }
        // An entry that cannot be read is found when the segment is opened.
        let entry = try? KeyRing(log: self.log, self.files).entry(header.logKeyID)
        let digest = try? entry?.wrappedDigest()
        guard let known = anchor.logKeys[header.logKeyID],
            digest == nil || digest == known || digest == anchor.nextLogKeys[header.logKeyID]
        else {
            self.report.findings.append(.foreignLogKey(name, header.logKeyID))
            return
        }
    }
}
