internal import Cryptography

/// What stands on disk of a segment, found without a key.
///
/// Nothing of it is authentic: it is what the next segment's header and recovery frame carry, and a
/// reader with the log key holds the segment against it.
package struct SegmentScan: Equatable, Sendable {
    /// Its file.
    package let name: SegmentName
    /// Whether its last frame says it is final and nothing follows.
    package let isFinal: Bool
    /// Whether no frame but those that name other segments is whole: then it is not sure that all of
    /// those are there, for what comes after them is written once they are durable.
    package let hasNamesOnly: Bool
    /// Whether the chain has had the head that was asked about.
    package let isAnchored: Bool
    /// Frames that are whole, bytes up to their end, the chain's head after them, what follows.
    package let found: RecoveryPayload
    /// The number the next entry has, as far as frame headers tell; nil where no frame is whole.
    package let nextSequence: UInt64?

    /// Scans the file of a segment, and looks for a chain head it may have had.
    package init(
        _ name: SegmentName, of streamID: LogIdentifier, in folder: String, _ head: ChainHead?,
        _ ciphers: SegmentCiphers, _ files: any LogFileSystem
    ) throws(SealedLogError) {
        self.name = name
        let source = try SegmentSource(folder + "/" + name.text, files)
        let reader = try Self.reader(of: source, name, streamID, ciphers)
        var isFinal = false
        var isEnd = false
        var hasNamesOnly = true
        var isAnchored = head != nil && reader?.head == head
        while let reader, !isEnd {
            switch try reader.next() {
            case .frame(let frame):
                hasNamesOnly = hasNamesOnly && frame.type == .recovery
                isAnchored = isAnchored || reader.head == head
            case .end(let fault):
                isFinal = fault == nil
                isEnd = true
            }
        }
        let validBytes = reader?.validBytes ?? 0
        self.isFinal = isFinal
        self.hasNamesOnly = hasNamesOnly
        self.isAnchored = isAnchored
        self.nextSequence = reader?.nextSequence
        self.found = RecoveryPayload(
            segmentID: name.segmentID, frames: reader?.frames ?? 0,
            validBytes: UInt64(validBytes), head: reader?.head ?? .zero,
            tornBytes: UInt64(source.byteCount - validBytes),
            tornDigest: try Self.digest(of: source, from: validBytes, ciphers))
    }

    /// A reader of the structure; nil where the header is not whole, or another segment's.
    private static func reader(
        of source: SegmentSource, _ name: SegmentName, _ streamID: LogIdentifier,
        _ ciphers: SegmentCiphers
    ) throws(SealedLogError) -> SegmentReader? {
        let header: SegmentHeader
        do throws(SealedLogError) {
            header = try source.header()
        } catch .segment {
            return nil
        }
        guard header.segmentID == name.segmentID, header.number == name.number,
            header.streamID == streamID
        else { return nil }
        return try SegmentReader(structureOf: source, header, ciphers)
    }

    /// SHA-256 of what follows the whole frames.
    static func digest(
        of source: SegmentSource, from start: Int, _ ciphers: SegmentCiphers
    ) throws(SealedLogError) -> ChainHead {
        let none: [UInt8] = []
        ciphers.digest.update(none.rawSpan)
        var offset = start
        while offset < source.byteCount {
            let count = min(source.byteCount - offset, 1 << 20)
            let bytes = try source.bytes(at: offset, count: count)
            ciphers.digest.update(bytes.rawSpan)
            offset += count
        }
        return ChainHead(ciphers.digest.finish())
    }
}

/// The name of a segment's file: its number in 16 hexadecimal digits, `-`, its id, `.sgl`.
package struct SegmentName: Hashable, Comparable, Sendable {
    /// The segment's number in its stream.
    package let number: UInt64
    /// The segment's id.
    package let segmentID: LogIdentifier

    /// Names a segment.
    package init(number: UInt64, segmentID: LogIdentifier) {
        self.number = number
        self.segmentID = segmentID
    }

    /// Reads a file name; nil for any other file.
    package init?(_ text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].utf8.count == 16, parts[1].hasSuffix(Self.suffix),
            let number = Hexadecimal.bytes(of: parts[0]),
            let id = LogIdentifier(parts[1].dropLast(Self.suffix.count))
        else { return nil }
        self.number = number.rawSpan.bigEndian(UInt64.self, at: 0)
        self.segmentID = id
    }

    /// The file's name.
    package var text: String {
        "\(hexadecimal(self.number))-\(self.segmentID.text)\(Self.suffix)"
    }

    /// Orders by number.
    package static func < (first: SegmentName, second: SegmentName) -> Bool {
        (first.number, first.segmentID) < (second.number, second.segmentID)
    }

    private static let suffix = ".sgl"
}

/// The folder of one stream.
package enum StreamFolder {
    /// The segments in it, oldest first; other files are passed over.
    package static func segments(
        in folder: String, _ files: any LogFileSystem
    ) throws(SealedLogError) -> [SegmentName] {
        try files.names(in: folder).compactMap { SegmentName($0) }.sorted()
    }
}
