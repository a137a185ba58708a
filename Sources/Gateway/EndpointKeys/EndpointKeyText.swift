internal import Cryptography
internal import State

/// How an endpoint key is written.
///
/// | offset | bytes | meaning |
/// |---|---|---|
/// | 0 | 6 | `sgk1p_` or `sgk1s_`, by the slot it was made for |
/// | 6 | 11 | kid: 64 random bits, base 62 |
/// | 17 | 43 | secret: 256 random bits, base 62 |
/// | 60 | 6 | CRC-32 of the 60 bytes before, base 62 |
///
/// Base 62 is a big-endian number in the digits `0-9A-Za-z`, of fixed width. Valid: the lengths,
/// the first six bytes and the checksum hold. The checksum lets scanners for leaked keys tell a
/// key from what merely looks like one; it proves nothing. The slot's letter is for people: it is
/// in the checksum, but not in the digest a key is recognised by.
enum EndpointKeyText {
    static let byteCount = 66
    /// Where kid and secret lie: what is digested.
    static let digested = 6..<60
    /// Where the kid lies.
    static let kid = 6..<17
    /// Where the checksum lies.
    static let checksum = 60..<66
    /// Stands before kid and secret in what is digested: the format's version.
    static let digestPrefix = Array("sgk1".utf8)

    /// The letter that stands for `slot`.
    static func letter(of slot: EndpointKeySlot) -> UInt8 {
        slot == .primary ? UInt8(ascii: "p") : UInt8(ascii: "s")
    }

    /// Whether `text` has the first six bytes and the checksum of a key.
    ///
    /// Takes the same time for every text of ``byteCount`` bytes, which it must have.
    static func isValid(_ text: RawSpan) -> Bool {
        var difference: UInt8 = 0
        for index in 0..<4 {
            difference |= text.byte(at: index) ^ Self.digestPrefix[index]
        }
        let letter = text.byte(at: 4)
        difference |= letter == UInt8(ascii: "p") || letter == UInt8(ascii: "s") ? 0 : 1
        difference |= text.byte(at: 5) ^ UInt8(ascii: "_")
        var remainder = CRC32.checksum(of: text.extracting(0..<Self.checksum.lowerBound))
        for index in Self.checksum.reversed() {
            difference |= text.byte(at: index) ^ Self.digit(of: UInt8(remainder % 62))
            remainder /= 62
        }
        return difference == 0
    }

    /// The digit that stands for `value`, which is below 62.
    static func digit(of value: UInt8) -> UInt8 {
        switch value {
        case ..<10: UInt8(ascii: "0") + value
        case ..<36: UInt8(ascii: "A") + value - 10
        default: UInt8(ascii: "a") + value - 36
        }
    }
}
