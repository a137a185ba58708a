internal import Cryptography

/// What a frame holds.
package enum FrameType: UInt8, Sendable {
    /// Log entries.
    case entries = 1
    /// Where the entries since the last index are.
    case index = 2
    /// The end of the segment, and what stands before it.
    case final = 3
    /// What was found of the segment before, which has no end.
    case recovery = 4
    /// How many entries were lost here, and why.
    case gap = 5
}

/// The first 64 bytes of a frame.
///
/// Integers are big-endian.
///
/// | offset | bytes | meaning |
/// |---|---|---|
/// | 0 | 4 | `SGLF` |
/// | 4 | 1 | type |
/// | 5 | 1 | flags |
/// | 6 | 2 | zero |
/// | 8 | 8 | index of the frame in its segment |
/// | 16 | 8 | sequence number of its first entry |
/// | 24 | 4 | entries that begin in it |
/// | 28 | 4 | bytes of plaintext |
/// | 32 | 4 | bytes of ciphertext, the same number |
/// | 36 | 12 | salt, random |
/// | 48 | 12 | zero |
/// | 60 | 4 | CRC-32C of bytes 0 to 59 |
///
/// Ciphertext and tag (16) follow, then zeros up to a multiple of 8. The checksum tells a torn write
/// from tampering and protects nothing; the tag does.
package struct FrameHeader: Equatable, Sendable {
    /// How entries run over the edges of a frame.
    package struct Flags: OptionSet, Hashable, Sendable {
        package let rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }

        /// The last entry goes on in the next frame.
        package static let continues = Flags(rawValue: 1 << 1)
        /// The frame begins with more of an entry that began in an earlier one.
        package static let continuation = Flags(rawValue: 1 << 2)

        static let known: Flags = [.continues, .continuation]
    }

    /// What the frame holds.
    package var type: FrameType
    /// How entries run over its edges; none in a frame of another type than entries.
    package var flags: Flags
    /// 0, 1, 2 … in the segment.
    package var index: UInt64
    /// The number of the first entry; in a continuation, of the entry that goes on.
    ///
    /// In a frame without entries, the number the next one will have; a gap frame may have that of the
    /// first loss instead.
    package var firstSequence: UInt64
    /// How many entries begin in the frame.
    package var entries: UInt32
    /// How many bytes were sealed.
    package var plaintextBytes: Int

    /// How many bytes a frame's header has.
    package static let byteCount = 64
    /// How many bytes the salt has.
    package static let saltBytes = 12
    /// Where the salt stands.
    package static let saltOffset = 36
    static let checksumOffset = 60

    /// How many bytes the whole frame has, header, tag and filling included.
    package var frameBytes: Int { Self.frameBytes(plaintextBytes: self.plaintextBytes) }

    /// How many bytes a frame with that much plaintext has.
    package static func frameBytes(plaintextBytes: Int) -> Int {
        (self.byteCount + plaintextBytes + XAES256GCM.tagBytes + 7) / 8 * 8
    }

    /// Writes the header to the start of `frame`, which has room and has the salt already.
    func encode(into frame: inout [UInt8]) {
        frame.replace(at: 0, withBigEndian: Self.magic)
        frame[4] = self.type.rawValue
        frame[5] = self.flags.rawValue
        frame.replace(at: 6, withBigEndian: UInt16(0))
        frame.replace(at: 8, withBigEndian: self.index)
        frame.replace(at: 16, withBigEndian: self.firstSequence)
        frame.replace(at: 24, withBigEndian: self.entries)
        frame.replace(at: 28, withBigEndian: UInt32(self.plaintextBytes))
        frame.replace(at: 32, withBigEndian: UInt32(self.plaintextBytes))
        frame.replace(at: 48, withBigEndian: UInt64(0))
        frame.replace(at: 56, withBigEndian: UInt32(0))
        let checksum = CRC32.castagnoli.checksum(
            of: frame.rawSpan.extracting(first: Self.checksumOffset))
        frame.replace(at: Self.checksumOffset, withBigEndian: checksum)
    }

    /// Whether 64 bytes at `offset` begin with the magic and have the checksum of a frame's header.
    package static func isIntact(_ bytes: RawSpan, at offset: Int = 0) -> Bool {
        bytes.bigEndian(UInt32.self, at: offset) == self.magic
            && CRC32.castagnoli.checksum(
                of: bytes.extracting(offset..<offset + self.checksumOffset))
                == bytes.bigEndian(UInt32.self, at: offset + self.checksumOffset)
    }

    /// `SGLF`.
    private static let magic: UInt32 = 0x5347_4C46
}

extension FrameHeader {
    /// Reads a header that ``isIntact(_:at:)``; nil if a field has a value that it cannot have.
    package init?(decoding bytes: RawSpan) {
        let count = bytes.bigEndian(UInt32.self, at: 28)
        let flags = Flags(rawValue: bytes[byte: 5])
        guard let type = FrameType(rawValue: bytes[byte: 4]),
            flags.isSubset(of: type == .entries ? .known : []),
            bytes.bigEndian(UInt16.self, at: 6) == 0,
            bytes.bigEndian(UInt32.self, at: 32) == count,
            bytes.bigEndian(UInt64.self, at: 48) == 0, bytes.bigEndian(UInt32.self, at: 56) == 0
        else { return nil }
        let entries = bytes.bigEndian(UInt32.self, at: 24)
        let firstSequence = bytes.bigEndian(UInt64.self, at: 16)
        guard firstSequence < SegmentLimits.entries else { return nil }
        guard type == .entries || entries == 0,
            flags != .continues || entries > 0
        else { return nil }
        self.init(
            type: type, flags: flags, index: bytes.bigEndian(UInt64.self, at: 8),
            firstSequence: firstSequence, entries: entries,
            plaintextBytes: Int(count))
    }

    /// The number that the next frame's header must have, as far as this header tells: a gap frame
    /// that has the number of the first loss skips as many more as its payload says.
    package var nextSequence: UInt64 {
        self.firstSequence &+ UInt64(self.entries)
            &+ (self.flags.contains(.continuation) ? 1 : 0)
            &- (self.flags.contains(.continues) ? 1 : 0)
    }
}
