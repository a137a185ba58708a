internal import Cryptography

/// Which entries of a stream are wanted; what is nil is not asked for.
package struct EntryFilter: Sendable, Equatable {
    /// Only those of this request.
    package var requestID: LogIdentifier?
    /// Only those from this time on, Unix nanoseconds.
    package var since: UInt64?
    /// Only those before this time, Unix nanoseconds.
    package var until: UInt64?

    /// Asks for all.
    package init() {}

    /// Whether an entry is wanted; its fields do not matter.
    package func wants(_ entry: LogEntry) -> Bool {
        if let since, entry.nanoseconds < since { return false }
        if let until, entry.nanoseconds >= until { return false }
        return requestID.map { $0 == entry.requestID } ?? true
    }
}

/// Tells which segments need not be read for entries that are wanted.
///
/// A frame is bound to all that stands before it, so an index that is read by itself is not proven:
/// it says only where to look, and what is given out is read from its segment's begin. The final
/// frame proves itself, for it says the chain's head before it.
struct SegmentLookup {
    private let source: SegmentSource
    private let header: SegmentHeader
    private let ciphers: SegmentCiphers

    /// Prepares to look into a segment.
    ///
    /// - Parameters:
    ///   - source: The file.
    ///   - header: As ``SegmentSource/header()`` gave it.
    ///   - ciphers: Taken up until the look is over.
    init(_ source: SegmentSource, _ header: SegmentHeader, _ ciphers: SegmentCiphers) {
        self.source = source
        self.header = header
        self.ciphers = ciphers
    }

    /// Whether the segment may hold an entry that is wanted: true wherever that is not sure.
    ///
    /// - Parameters:
    ///   - wanted: What is asked for.
    ///   - key: The log key at the header's step.
    /// - Returns: False only if it holds none, as far as its own writer says.
    /// - Throws: `.file` or `.cryptography`.
    func mayHold(_ wanted: EntryFilter, _ key: borrowing LogKey) throws(SealedLogError) -> Bool {
        let bytes = try self.source.headerBytes()
        let commitment = try self.ciphers.beginSegment(
            committed: Array(bytes[..<SegmentHeader.committedBytes]), key)
        let found = bytes.rawSpan.extracting(droppingFirst: SegmentHeader.committedBytes)
        guard ConstantTime.equal(commitment.bytes, found), let final = try self.final() else {
            return true
        }
        if !self.header.flags.contains(.hbi) {
            if let since = wanted.since, since / 1_000_000 > final.lastMilliseconds {
                return false
            }
            if let until = wanted.until, until / 1_000_000 < final.firstMilliseconds {
                return false
            }
        }
        guard let id = wanted.requestID else { return true }
        return try self.mayName(id)
    }

    /// What the final frame says, proven; nil where the file does not end with one.
    private func final() throws(SealedLogError) -> FinalPayload? {
        let count = self.source.finalFrameBytes(self.header)
        let start = self.source.byteCount - count
        guard start >= SegmentHeader.byteCount else { return nil }
        var frame: [UInt8] = []
        try self.source.read(at: start, count: count, into: &frame)
        guard frame.count == count, FrameHeader.isIntact(frame.rawSpan),
            let header = FrameHeader(
                decoding: frame.rawSpan.extracting(first: FrameHeader.byteCount)),
            header.type == .final, header.frameBytes == count
        else { return nil }
        let sealedBytes = FrameHeader.byteCount + header.plaintextBytes + XAES256GCM.tagBytes
        let sealed = frame.rawSpan.extracting(first: sealedBytes)
        var payload: [UInt8] = []
        try self.ciphers.decryptUnproven(sealed, into: &payload)
        guard let claimed = self.finalPayload(in: payload),
            self.ciphers.open(sealed, into: &payload, claimed.head)
        else { return nil }
        return claimed
    }

    private func finalPayload(in plaintext: [UInt8]) -> FinalPayload? {
        guard self.header.flags.contains(.padded) else {
            return FinalPayload(decoding: plaintext.rawSpan)
        }
        guard
            let range = Padding.payload(
                in: plaintext.rawSpan, largest: self.header.largestFrameBytes)
        else { return nil }
        return FinalPayload(decoding: plaintext.rawSpan.extracting(range))
    }

    /// Whether an index frame names a request.
    private func mayName(_ id: LogIdentifier) throws(SealedLogError) -> Bool {
        var offset = SegmentHeader.byteCount
        var index: UInt64 = 0
        var block: [UInt8] = []
        var blockStart = 0
        var blockBytes = Self.blockBytes
        var (frame, payload): ([UInt8], [UInt8]) = ([], [])
        while true {
            if offset < blockStart || offset + FrameHeader.byteCount > blockStart + block.count {
                try self.source.read(at: offset, count: blockBytes, into: &block)
                blockStart = offset
                guard block.count >= FrameHeader.byteCount else { return true }
            }
            let start = offset - blockStart
            let bytes = block.rawSpan.extracting(start..<start + FrameHeader.byteCount)
            guard FrameHeader.isIntact(bytes), let header = FrameHeader(decoding: bytes),
                header.index == index
            else { return true }
            if header.type == .final { return false }
            if header.type == .index {
                let count =
                    FrameHeader.byteCount + header.plaintextBytes + XAES256GCM.tagBytes
                try self.source.read(at: offset, count: count, into: &frame)
                guard frame.count == count else { return true }
                try self.ciphers.decryptUnproven(frame.rawSpan, into: &payload)
                if self.mayName(id, payload) { return true }
            }
            offset += header.frameBytes
            index += 1
            // After a large frame comes another: its header alone, for what is not in a cache is slow.
            blockBytes =
                header.frameBytes < Self.blockBytes ? Self.blockBytes : FrameHeader.byteCount
        }
    }

    private func mayName(_ id: LogIdentifier, _ plaintext: [UInt8]) -> Bool {
        guard self.header.flags.contains(.padded) else {
            return SegmentIndex.mayName(id, in: plaintext.rawSpan)
        }
        let range = Padding.payload(
            in: plaintext.rawSpan, largest: self.header.largestFrameBytes)
        return range.map { SegmentIndex.mayName(id, in: plaintext.rawSpan.extracting($0)) } ?? true
    }

    /// 4 KiB: one page holds the headers of several small frames.
    private static let blockBytes = 4096
}

extension SegmentSource {
    /// Whether the file ends with what looks like a final frame; nothing of it is opened.
    package func endsWithFinalFrame(_ header: SegmentHeader) throws(SealedLogError) -> Bool {
        let start = self.byteCount - self.finalFrameBytes(header)
        guard start >= SegmentHeader.byteCount else { return false }
        var bytes: [UInt8] = []
        try self.read(at: start, count: FrameHeader.byteCount, into: &bytes)
        guard bytes.count == FrameHeader.byteCount, FrameHeader.isIntact(bytes.rawSpan) else {
            return false
        }
        return FrameHeader(decoding: bytes.rawSpan)?.type == .final
    }

    /// How many bytes the final frame has.
    fileprivate func finalFrameBytes(_ header: SegmentHeader) -> Int {
        FrameHeader.frameBytes(
            plaintextBytes: header.flags.contains(.padded)
                ? Padding.filledBytes(
                    payloadBytes: FinalPayload.byteCount, largest: header.largestFrameBytes)
                : FinalPayload.byteCount)
    }
}
