internal import Cryptography

/// The last frame of a segment: what stands before it.
///
/// | offset | bytes | meaning |
/// |---|---|---|
/// | 0 | 8 | frames before this one |
/// | 8 | 8 | entries that begin in them |
/// | 16 | 8 | bytes of plaintext in them |
/// | 24 | 8 | earliest time of an entry, Unix milliseconds |
/// | 32 | 8 | latest time of an entry |
/// | 40 | 32 | the chain's head before this frame |
/// | 72 | 1 | reason |
/// | 73 | 7 | zero |
package struct FinalPayload: Equatable, Sendable {
    /// Why the segment ended.
    package enum Reason: UInt8, Sendable {
        /// Its writer was closed.
        case closed = 1
        /// It reached a limit of frames, bytes or time.
        case limit = 2
        /// The stream took another log key.
        case keyChanged = 3
        /// The wrapping key was revoked.
        case revoked = 4
    }

    /// Frames before this one.
    package var frames: UInt64
    /// Entries that begin in them.
    package var entries: UInt64
    /// Bytes of plaintext in them, filling included.
    package var plaintextBytes: UInt64
    /// The earliest time of an entry, Unix milliseconds.
    package var firstMilliseconds: UInt64
    /// The latest time of an entry, Unix milliseconds.
    package var lastMilliseconds: UInt64
    /// The chain's head before this frame.
    package var head: ChainHead
    /// A ``Reason``, or what a later version means by another number.
    package var reason: UInt8

    /// How many bytes it has.
    static let byteCount = 80

    var encoded: [UInt8] {
        var bytes: [UInt8] = []
        for number in [
            self.frames, self.entries, self.plaintextBytes, self.firstMilliseconds,
            self.lastMilliseconds,
        ] {
            bytes.append(bigEndian: number)
        }
        bytes.append(contentsOf: self.head.bytes)
        bytes.append(bigEndian: UInt64(self.reason) << 56)
        return bytes
    }
}

extension FinalPayload {
    /// Reads the payload of a final frame; nil if it is none.
    package init?(decoding bytes: RawSpan) {
        guard bytes.byteCount == Self.byteCount, bytes.bigEndian(UInt64.self, at: 72) << 8 == 0
        else {
            return nil
        }
        self.init(
            frames: bytes.bigEndian(UInt64.self, at: 0),
            entries: bytes.bigEndian(UInt64.self, at: 8),
            plaintextBytes: bytes.bigEndian(UInt64.self, at: 16),
            firstMilliseconds: bytes.bigEndian(UInt64.self, at: 24),
            lastMilliseconds: bytes.bigEndian(UInt64.self, at: 32),
            head: ChainHead(bytes, at: 40), reason: bytes[byte: 72])
    }
}

/// The first frame after a segment without an end: what was found of that one, without a key.
///
/// | offset | bytes | meaning |
/// |---|---|---|
/// | 0 | 16 | its segment id |
/// | 16 | 8 | frames that are whole |
/// | 24 | 8 | bytes up to their end, header included; 0 where the header is not whole |
/// | 32 | 32 | the chain's head after them, zero where the header is not whole |
/// | 64 | 8 | bytes after them |
/// | 72 | 32 | SHA-256 of those |
package struct RecoveryPayload: Equatable, Sendable {
    /// The segment without an end.
    package var segmentID: LogIdentifier
    /// Frames that are whole.
    package var frames: UInt64
    /// Bytes up to their end.
    package var validBytes: UInt64
    /// The chain's head after them.
    package var head: ChainHead
    /// Bytes after them.
    package var tornBytes: UInt64
    /// SHA-256 of the bytes after them.
    package var tornDigest: ChainHead

    static let byteCount = 104

    var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(self.segmentID)
        bytes.append(bigEndian: self.frames)
        bytes.append(bigEndian: self.validBytes)
        bytes.append(contentsOf: self.head.bytes)
        bytes.append(bigEndian: self.tornBytes)
        bytes.append(contentsOf: self.tornDigest.bytes)
        return bytes
    }
}

extension RecoveryPayload {
    /// Reads the payload of a recovery frame; nil if it is none.
    package init?(decoding bytes: RawSpan) {
        guard bytes.byteCount == Self.byteCount else { return nil }
        self.init(
            segmentID: LogIdentifier(bytes, at: 0), frames: bytes.bigEndian(UInt64.self, at: 16),
            validBytes: bytes.bigEndian(UInt64.self, at: 24), head: ChainHead(bytes, at: 32),
            tornBytes: bytes.bigEndian(UInt64.self, at: 64),
            tornDigest: ChainHead(bytes, at: 72))
    }
}

/// Entries that were lost on the way to the log, counted.
///
/// | offset | bytes | meaning |
/// |---|---|---|
/// | 0 | 8 | sequence number of the first that was lost |
/// | 8 | 8 | how many were lost |
/// | 16 | 8 | how many bodies were left out of entries that were kept |
/// | 24 | 8 | when the first was lost, Unix milliseconds |
/// | 32 | 8 | when the last was lost |
/// | 40 | 1 | reason |
/// | 41 | 7 | zero |
package struct GapPayload: Equatable, Sendable {
    /// Why entries were lost.
    package enum Reason: UInt8, Sendable {
        /// The queue to the writer was full.
        case queueFull = 1
        /// The disk was full.
        case diskFull = 2
        /// A write failed otherwise.
        case writeFailed = 3
        /// The wrapping key was revoked.
        case revoked = 4
    }

    /// The number the first lost entry would have had.
    package var firstSequence: UInt64
    /// How many entries were lost.
    package var entries: UInt64
    /// How many bodies were left out of entries that were kept.
    package var bodies: UInt64
    /// When the first was lost, Unix milliseconds.
    package var firstMilliseconds: UInt64
    /// When the last was lost, Unix milliseconds.
    package var lastMilliseconds: UInt64
    /// Why.
    package var reason: Reason

    static let byteCount = 48

    var encoded: [UInt8] {
        var bytes: [UInt8] = []
        for number in [
            self.firstSequence, self.entries, self.bodies, self.firstMilliseconds,
            self.lastMilliseconds, UInt64(self.reason.rawValue) << 56,
        ] {
            bytes.append(bigEndian: number)
        }
        return bytes
    }
}

extension GapPayload {
    /// Reads the payload of a gap frame; nil if it is none.
    package init?(decoding bytes: RawSpan) {
        guard bytes.byteCount == Self.byteCount, let reason = Reason(rawValue: bytes[byte: 40]),
            bytes.bigEndian(UInt64.self, at: 40) << 8 == 0
        else { return nil }
        self.init(
            firstSequence: bytes.bigEndian(UInt64.self, at: 0),
            entries: bytes.bigEndian(UInt64.self, at: 8),
            bodies: bytes.bigEndian(UInt64.self, at: 16),
            firstMilliseconds: bytes.bigEndian(UInt64.self, at: 24),
            lastMilliseconds: bytes.bigEndian(UInt64.self, at: 32), reason: reason)
    }
}

/// The filling of a padded segment: u32 length ‖ payload ‖ zeros.
enum Padding {
    /// How many bytes a payload has once filled: the next power of two of 1 KiB or more that holds
    /// it, at most the largest plaintext of a frame.
    static func filledBytes(payloadBytes: Int, largest: Int) -> Int {
        var filled = smallestBytes
        while filled < payloadBytes + lengthBytes { filled *= 2 }
        return min(filled, largest)
    }

    /// The bytes of the payload in `plaintext`; nil if the rule is not kept.
    static func payload(in plaintext: RawSpan, largest: Int) -> Range<Int>? {
        guard plaintext.byteCount >= lengthBytes else { return nil }
        let end = lengthBytes + Int(plaintext.bigEndian(UInt32.self, at: 0))
        guard end <= plaintext.byteCount,
            plaintext.byteCount
                == self.filledBytes(payloadBytes: end - lengthBytes, largest: largest)
        else { return nil }
        var bits: UInt8 = 0
        for index in end..<plaintext.byteCount { bits |= plaintext[byte: index] }
        return bits == 0 ? lengthBytes..<end : nil
    }

    static let lengthBytes = 4
    /// 1 KiB: shorter payloads are told apart by nothing.
    private static let smallestBytes = 1024
}
