package import Cryptography

/// A link of a segment's chain: SHA-256 over all that stands before it in the segment.
package struct ChainHead: Hashable, Sendable {
    /// The 32 bytes.
    ///
    /// They are no secret: they stand in clear in the next segment's header.
    package let bytes: [UInt8]

    /// What stands where there is no segment before.
    package static let zero = ChainHead(Digest32.zero)

    /// Takes a digest.
    package init(_ digest: Digest32) {
        self.bytes = digest.bytes
    }

    /// The head at `offset` of `bytes`, which must have all of it.
    package init(_ bytes: RawSpan, at offset: Int) {
        self.bytes = bytes.extracting(offset..<offset + Digest32.byteCount).array
    }

    /// Reads 64 lower-case hexadecimal digits; nil for anything else.
    package init?(_ text: some StringProtocol) {
        guard let bytes = Hexadecimal.bytes(of: text), bytes.count == Digest32.byteCount else {
            return nil
        }
        self.bytes = bytes
    }

    /// The bytes as 64 lower-case digits.
    package var text: String { Hexadecimal.text(of: self.bytes.rawSpan) }
}
