internal import Cryptography

/// Reads one segment, frame by frame, and says where it stops being what was written.
///
/// With a log key every frame is opened and checked; without one ("structure only") the frames'
/// headers are checked and the chain is computed. Must be used on one thread. Reads ahead in blocks
/// of 1 MiB and more.
package final class SegmentReader {
    /// What ``next()`` found.
    package enum Step: Equatable {
        /// A frame that holds; its payload is in ``SegmentReader/payload``.
        case frame(FrameHeader)
        /// The end: nil after a final frame that holds and nothing after it.
        case end(SegmentFault?)
    }

    /// The segment's header, as it stands in the file.
    package let header: SegmentHeader
    /// The last frame's payload, without filling; empty without a log key.
    package private(set) var payload: [UInt8] = []
    /// How many frames hold so far.
    package private(set) var frames: UInt64 = 0
    /// How many entries begin in them.
    package private(set) var entries: UInt64 = 0
    /// The chain's head after them.
    package private(set) var head: ChainHead
    /// How many bytes they and the header have.
    package private(set) var validBytes = SegmentHeader.byteCount
    /// What the final frame said, once it was read with a log key.
    package private(set) var final: FinalPayload?
    /// The number the next frame must have at least.
    package private(set) var nextSequence: UInt64?

    private let source: SegmentSource
    private let ciphers: SegmentCiphers
    private let isOpening: Bool
    private var plaintextBytes: UInt64 = 0
    private var isEnded = false
    private var isContinuing = false
    private var padded: [UInt8] = []

    /// Opens a segment to check its structure only.
    ///
    /// - Parameters:
    ///   - source: The file.
    ///   - header: As ``SegmentSource/header()`` gave it.
    ///   - ciphers: Taken up until the reader is done.
    /// - Throws: `.file` if it cannot be read.
    package init(
        structureOf source: SegmentSource, _ header: SegmentHeader, _ ciphers: SegmentCiphers
    ) throws(SealedLogError) {
        self.source = source
        self.header = header
        self.ciphers = ciphers
        self.isOpening = false
        let bytes = try source.headerBytes()
        self.head = ciphers.chainStart(header: bytes.rawSpan)
    }

    /// Opens a segment to read it, and checks its commitment.
    ///
    /// - Parameters:
    ///   - source: The file.
    ///   - header: As ``SegmentSource/header()`` gave it.
    ///   - key: The log key at the header's step.
    ///   - ciphers: Taken up until the reader is done.
    /// - Throws: `.segment` with `.commitment` if the key is not the one it was written under.
    package init(
        _ source: SegmentSource, _ header: SegmentHeader, _ key: borrowing LogKey,
        _ ciphers: SegmentCiphers
    ) throws(SealedLogError) {
        self.source = source
        self.header = header
        self.ciphers = ciphers
        self.isOpening = true
        let bytes = try source.headerBytes()
        self.head = ciphers.chainStart(header: bytes.rawSpan)
        let commitment = try ciphers.beginSegment(
            committed: Array(bytes[..<SegmentHeader.committedBytes]), key)
        let found = bytes.rawSpan.extracting(droppingFirst: SegmentHeader.committedBytes)
        guard ConstantTime.equal(commitment.bytes, found) else {
            throw .segment(.commitment, path: source.path, frame: 0)
        }
    }

    /// Reads the next frame.
    ///
    /// - Throws: `.file` only; what is wrong with the segment is a ``Step``.
    package func next() throws(SealedLogError) -> Step {
        let rest = self.source.byteCount - self.validBytes
        if self.isEnded { return .end(rest == 0 ? nil : .trailingBytes) }
        guard rest > 0 else { return .end(.unfinalised) }
        guard rest >= FrameHeader.byteCount else { return .end(.torn) }
        let found = try self.source.frameHeader(at: self.validBytes)
        guard found.isIntact else {
            // Whatever comes after a torn write is no frame. Where a frame follows, somebody
            // changed what lies between.
            return .end(
                try self.source.hasFrame(after: self.validBytes + 8) ? .frameHeader : .torn)
        }
        guard let frame = found.header, self.follows(frame) else { return .end(.frameHeader) }
        guard rest >= frame.frameBytes else { return .end(.torn) }
        if let fault = try self.check(frame) { return .end(fault) }
        return .frame(frame)
    }

    /// Whether a frame with this header may stand here.
    private func follows(_ frame: FrameHeader) -> Bool {
        frame.index == self.frames && self.frames < SegmentLimits.frames
            && frame.plaintextBytes <= self.header.largestFrameBytes
            && self.validBytes + frame.frameBytes <= SegmentLimits.bytes
            && self.nextSequence.map { frame.firstSequence >= $0 } != false
            && (frame.type != .entries
                || frame.flags.contains(.continuation) == self.isContinuing)
    }

    /// Opens the frame, which is whole, and takes it into the chain and the counts.
    private func check(_ frame: FrameHeader) throws(SealedLogError) -> SegmentFault? {
        let start = try self.source.position(of: self.validBytes, count: frame.frameBytes)
        let sealedBytes = FrameHeader.byteCount + frame.plaintextBytes + XAES256GCM.tagBytes
        let block = self.source.window
        let whole = block.rawSpan.extracting(start..<start + frame.frameBytes)
        let sealed = whole.extracting(first: sealedBytes)
        if self.isOpening, let fault = self.open(sealed) { return fault }
        for index in sealedBytes..<frame.frameBytes where whole[byte: index] != 0 {
            return .padding
        }
        if self.isOpening, frame.type == .final {
            let payload = self.payload
            guard let final = FinalPayload(decoding: payload.rawSpan),
                final.frames == self.frames, final.entries == self.entries,
                final.plaintextBytes == self.plaintextBytes, final.head == self.head
            else { return .finalContent }
            self.final = final
        }
        self.head = self.ciphers.chain(after: self.head, frame: sealed)
        self.frames += 1
        self.entries += UInt64(frame.entries)
        self.plaintextBytes += UInt64(frame.plaintextBytes)
        self.validBytes += frame.frameBytes
        self.nextSequence = frame.nextSequence
        if frame.type == .entries { self.isContinuing = frame.flags.contains(.continues) }
        if frame.type == .gap, self.isOpening {
            let payload = self.payload
            if let gap = GapPayload(decoding: payload.rawSpan) {
                self.nextSequence = gap.firstSequence &+ gap.entries
            }
        }
        self.isEnded = frame.type == .final
        return nil
    }

    private func open(_ sealed: RawSpan) -> SegmentFault? {
        guard self.header.flags.contains(.padded) else {
            return self.ciphers.open(sealed, into: &self.payload, self.head) ? nil : .aead
        }
        guard self.ciphers.open(sealed, into: &self.padded, self.head) else { return .aead }
        let padded = self.padded
        guard
            let payload = Padding.payload(
                in: padded.rawSpan, largest: self.header.largestFrameBytes)
        else { return .padding }
        self.payload.removeAll(keepingCapacity: true)
        self.payload.append(padded.rawSpan.extracting(payload))
        return nil
    }
}

/// The bytes of a segment, read in blocks.
///
/// The file may grow while it is read: its length is taken once, when it is opened.
package final class SegmentSource {
    /// Where it is.
    package let path: String
    /// How many bytes it has.
    package let byteCount: Int
    /// When it was last written, Unix milliseconds.
    package let writtenMilliseconds: UInt64

    /// The bytes from ``windowStart`` on that are in memory.
    private(set) var window: [UInt8] = []
    private var windowStart = 0
    private let files: any LogFileSystem
    private let file: LogFile

    /// Opens the file.
    package init(_ path: String, _ files: any LogFileSystem) throws(SealedLogError) {
        self.path = path
        self.files = files
        self.file = try files.open(path)
        do throws(SealedLogError) {
            let status = try files.status(of: self.file)
            self.byteCount = status.bytes
            self.writtenMilliseconds = status.writtenMilliseconds
        } catch {
            files.close(self.file)
            throw error
        }
    }

    /// The segment's header.
    ///
    /// - Throws: `.segment` with `.header`, or `.torn` where the file is too short for one.
    package func header() throws(SealedLogError) -> SegmentHeader {
        let bytes = try self.headerBytes()
        do throws(SegmentFault) {
            return try SegmentHeader(decoding: bytes.rawSpan)
        } catch {
            throw .segment(error, path: self.path, frame: 0)
        }
    }

    /// The header's bytes, without reading ahead; fewer only where the file has no more.
    func headerBytes() throws(SealedLogError) -> [UInt8] {
        var bytes: [UInt8] = []
        try self.read(
            at: 0, count: min(self.byteCount, SegmentHeader.byteCount), into: &bytes)
        return bytes
    }

    /// Whether the first frame says that it names another segment; nothing of it is opened.
    func beginsWithRecovery() throws(SealedLogError) -> Bool {
        var bytes: [UInt8] = []
        try self.read(at: SegmentHeader.byteCount, count: FrameHeader.byteCount, into: &bytes)
        return bytes.count == FrameHeader.byteCount && FrameHeader.isIntact(bytes.rawSpan)
            && FrameHeader(decoding: bytes.rawSpan)?.type == .recovery
    }

    /// A copy of some bytes, which must be there.
    package func bytes(at offset: Int, count: Int) throws(SealedLogError) -> [UInt8] {
        let start = try self.position(of: offset, count: count)
        return Array(self.window[start..<start + count])
    }

    /// Replaces `bytes` by a few from `offset` on, without reading ahead; fewer only at the end.
    func read(
        at offset: Int, count: Int, into bytes: inout [UInt8]
    ) throws(SealedLogError) {
        try self.files.read(self.file, at: offset, count: count, into: &bytes)
    }

    /// Where in ``window`` so many bytes at `offset` are; reads them if they are not there yet.
    func position(of offset: Int, count: Int) throws(SealedLogError) -> Int {
        let start = offset - self.windowStart
        if start >= 0, start + count <= self.window.count { return start }
        try self.files.read(
            self.file, at: offset, count: max(count, Self.blockBytes), into: &self.window)
        self.windowStart = offset
        guard self.window.count >= count else {
            // It was longer when it was opened; segments never get shorter.
            throw .segment(.torn, path: self.path, frame: 0)
        }
        return 0
    }

    /// Looks at a frame's header: whether it is one, and what it says, if that can be.
    fileprivate func frameHeader(
        at offset: Int
    ) throws(SealedLogError) -> (isIntact: Bool, header: FrameHeader?) {
        let start = try self.position(of: offset, count: FrameHeader.byteCount)
        // Shared, and given up on return: who keeps the window has it copied by the next read.
        let window = self.window
        let bytes = window.rawSpan.extracting(start..<start + FrameHeader.byteCount)
        guard FrameHeader.isIntact(bytes) else { return (false, nil) }
        return (true, FrameHeader(decoding: bytes))
    }

    /// Whether the header of a frame stands anywhere from `offset` on; frames begin at multiples of 8.
    func hasFrame(after offset: Int) throws(SealedLogError) -> Bool {
        var offset = offset
        while offset + FrameHeader.byteCount <= self.byteCount {
            let start = try self.position(of: offset, count: FrameHeader.byteCount)
            let window = self.window
            if FrameHeader.isIntact(window.rawSpan, at: start) { return true }
            offset += 8
        }
        return false
    }

    deinit {
        self.files.close(self.file)
    }

    /// 1 MiB: several frames a system call; a larger frame is read whole.
    private static let blockBytes = 1 << 20
}
