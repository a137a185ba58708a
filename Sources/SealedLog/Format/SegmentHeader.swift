internal import Cryptography

/// The first 256 bytes of a segment.
///
/// Integers are big-endian.
///
/// | offset | bytes | meaning |
/// |---|---|---|
/// | 0 | 8 | magic `89 53 47 4C 0D 0A 1A 0A` |
/// | 8 | 2 | format version, 1 |
/// | 10 | 2 | suite, 1: HKDF-SHA-256, XAES-256-GCM, SHA-256 chain |
/// | 12 | 4 | bytes of the header, 256 |
/// | 16 | 16 | segment id |
/// | 32 | 16 | stream id |
/// | 48 | 8 | the segment's number in its stream |
/// | 56 | 16 | writer id |
/// | 72 | 8 | created, Unix milliseconds |
/// | 80 | 16 | id of the segment before, or zero |
/// | 96 | 32 | chain head of the segment before, as found on disk |
/// | 128 | 32 | salt |
/// | 160 | 16 | log key id |
/// | 176 | 4 | largest plaintext of a frame |
/// | 180 | 4 | flags |
/// | 184 | 4 | step of the log key |
/// | 188 | 36 | zero |
/// | 224 | 32 | commitment, which authenticates all before it |
package struct SegmentHeader: Equatable, Sendable {
    /// What holds for the whole segment.
    package struct Flags: OptionSet, Hashable, Sendable {
        package let rawValue: UInt32
        package init(rawValue: UInt32) { self.rawValue = rawValue }

        /// High business impact: no times that would betray, padded, strict.
        package static let hbi = Flags(rawValue: 1 << 0)
        /// Every plaintext is filled up to a power of two.
        package static let padded = Flags(rawValue: 1 << 1)
        /// Entries may carry bodies.
        package static let bodies = Flags(rawValue: 1 << 2)

        static let known: Flags = [.hbi, .padded, .bodies]
    }

    /// Random, one a segment.
    package var segmentID: LogIdentifier
    /// Random, one an endpoint in a log folder.
    package var streamID: LogIdentifier
    /// One more than the segment before has in this stream.
    package var number: UInt64
    /// Random, one a process start.
    package var writerID: LogIdentifier
    /// When it was begun, Unix milliseconds; 0 under ``Flags/hbi``.
    package var createdMilliseconds: UInt64
    /// The segment before in this stream, or zero.
    package var previousID: LogIdentifier
    /// The chain head of the segment before, as it was found on disk.
    package var previousHead: ChainHead
    /// 32 random bytes.
    package var salt: [UInt8]
    /// Which log key the segment's keys come from.
    package var logKeyID: LogIdentifier
    /// The largest plaintext of a frame, in bytes, 1 to 1,048,576.
    package var largestFrameBytes: Int
    /// What holds for the whole segment.
    package var flags: Flags
    /// How many steps the log key was taken on.
    package var step: UInt32

    /// How many bytes a header has.
    package static let byteCount = 256
    /// How many of them the commitment is over.
    package static let committedBytes = 224
    /// How many bytes the salt has.
    package static let saltBytes = 32

    /// The header before its commitment: 224 bytes.
    package var committed: [UInt8] {
        var bytes = Self.magic
        bytes.reserveCapacity(Self.byteCount)
        bytes.append(bigEndian: Self.version)
        bytes.append(bigEndian: Self.suite)
        bytes.append(bigEndian: UInt32(Self.byteCount))
        bytes.append(self.segmentID)
        bytes.append(self.streamID)
        bytes.append(bigEndian: self.number)
        bytes.append(self.writerID)
        bytes.append(bigEndian: self.createdMilliseconds)
        bytes.append(self.previousID)
        bytes.append(contentsOf: self.previousHead.bytes)
        bytes.append(contentsOf: self.salt)
        bytes.append(self.logKeyID)
        bytes.append(bigEndian: UInt32(self.largestFrameBytes))
        bytes.append(bigEndian: self.flags.rawValue)
        bytes.append(bigEndian: self.step)
        bytes.append(contentsOf: repeatElement(0, count: Self.committedBytes - 188))
        return bytes
    }

    private static let magic: [UInt8] = [0x89, 0x53, 0x47, 0x4C, 0x0D, 0x0A, 0x1A, 0x0A]
    private static let version: UInt16 = 1
    private static let suite: UInt16 = 1
}

extension SegmentHeader {
    /// Reads the header at the start of `bytes`; the commitment is not looked at.
    ///
    /// - Throws: `.header` if it is none, `.torn` if there are fewer than 256 bytes.
    package init(decoding bytes: RawSpan) throws(SegmentFault) {
        guard bytes.byteCount >= Self.byteCount else { throw .torn }
        let flags = Flags(rawValue: bytes.bigEndian(UInt32.self, at: 180))
        let largestFrameBytes = Int(bytes.bigEndian(UInt32.self, at: 176))
        let step = bytes.bigEndian(UInt32.self, at: 184)
        guard (0..<8).allSatisfy({ bytes[byte: $0] == Self.magic[$0] }),
            bytes.bigEndian(UInt16.self, at: 8) == Self.version,
            bytes.bigEndian(UInt16.self, at: 10) == Self.suite,
            bytes.bigEndian(UInt32.self, at: 12) == UInt32(Self.byteCount),
            (1...SegmentLimits.largestFrameBytes).contains(largestFrameBytes),
            flags.isSubset(of: .known), step <= SegmentLimits.steps,
            (188..<Self.committedBytes).allSatisfy({ bytes[byte: $0] == 0 })
        else { throw .header }
        self.init(
            segmentID: LogIdentifier(bytes, at: 16), streamID: LogIdentifier(bytes, at: 32),
            number: bytes.bigEndian(UInt64.self, at: 48), writerID: LogIdentifier(bytes, at: 56),
            createdMilliseconds: bytes.bigEndian(UInt64.self, at: 72),
            previousID: LogIdentifier(bytes, at: 80), previousHead: ChainHead(bytes, at: 96),
            salt: bytes.extracting(128..<160).array, logKeyID: LogIdentifier(bytes, at: 160),
            largestFrameBytes: largestFrameBytes, flags: flags, step: step)
    }
}
