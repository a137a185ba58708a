/// A digest of 32 bytes, as SHA-256 and HMAC-SHA-256 give it.
///
/// Not Equatable: what it is compared for may be a secret, see ``ConstantTime``.
package struct Digest32: Sendable {
    // Four words rather than an array: no allocation, and it fits into registers. Memory order, so
    // the bytes of the words are the bytes of the digest.
    let words: (UInt64, UInt64, UInt64, UInt64)

    /// How many bytes a digest has.
    package static let byteCount = 32

    /// All bits zero: what an unknown key is compared with.
    package static let zero = Digest32(words: (0, 0, 0, 0))

    init(words: (UInt64, UInt64, UInt64, UInt64)) {
        self.words = words
    }

    /// The digest with these 32 bytes; nil if there are more or fewer.
    package init?(bytes: RawSpan) {
        guard bytes.byteCount == Self.byteCount else { return nil }
        self.words = unsafe (
            bytes.unsafeLoadUnaligned(fromByteOffset: 0, as: UInt64.self),
            bytes.unsafeLoadUnaligned(fromByteOffset: 8, as: UInt64.self),
            bytes.unsafeLoadUnaligned(fromByteOffset: 16, as: UInt64.self),
            bytes.unsafeLoadUnaligned(fromByteOffset: 24, as: UInt64.self)
        )
    }

    /// The 32 bytes.
    package var bytes: [UInt8] {
        unsafe withUnsafeBytes(of: self.words) { unsafe Array($0) }
    }

    /// The bytes as 64 lower-case digits.
    package var hexadecimal: String { Hexadecimal.text(of: self.bytes.rawSpan) }
}
