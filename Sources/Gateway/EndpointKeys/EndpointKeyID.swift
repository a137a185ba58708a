internal import Cryptography
internal import State

/// The public name of an endpoint key: 11 base-62 digits, held in two words.
package struct EndpointKeyID: Sendable, Hashable, CustomStringConvertible {
    /// The first eight digits, the first of them most significant.
    let high: UInt64
    /// The last three.
    let low: UInt64

    /// Reads 11 bytes of `text` from `offset`; they must be there.
    init(_ text: RawSpan, at offset: Int) {
        var high: UInt64 = 0
        var low: UInt64 = 0
        for index in 0..<8 { high = high << 8 | UInt64(text.byte(at: offset + index)) }
        for index in 8..<11 { low = low << 8 | UInt64(text.byte(at: offset + index)) }
        self.high = high
        self.low = low
    }

    /// Reads a kid; nil unless it has 11 bytes.
    package init?(_ kid: String) {
        let bytes = Array(kid.utf8)
        guard bytes.count == Self.byteCount else { return nil }
        self.init(bytes.rawSpan, at: 0)
    }

    /// The 11 digits; short enough for a String without an allocation.
    package var description: String {
        var text = ""
        for shift in stride(from: 56, through: 0, by: -8) {
            text.unicodeScalars.append(
                Unicode.Scalar(UInt8(truncatingIfNeeded: self.high >> shift)))
        }
        for shift in stride(from: 16, through: 0, by: -8) {
            text.unicodeScalars.append(Unicode.Scalar(UInt8(truncatingIfNeeded: self.low >> shift)))
        }
        return text
    }

    /// How many digits a kid has.
    static let byteCount = 11
}
