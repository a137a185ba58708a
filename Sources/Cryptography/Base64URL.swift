/// Base64 with the alphabet for names and no padding (RFC 4648, section 5).
package enum Base64URL {
    /// Writes `bytes`.
    package static func text(of bytes: RawSpan) -> String {
        var text: [UInt8] = []
        text.reserveCapacity((4 * bytes.byteCount + 2) / 3)
        var register: UInt32 = 0
        var bits = 0
        for index in 0..<bytes.byteCount {
            register = register << 8 | UInt32(bytes[byte: index])
            bits += 8
            while bits >= 6 {
                bits -= 6
                text.append(self.alphabet[Int(register >> UInt32(bits) & 63)])
            }
        }
        if bits > 0 { text.append(self.alphabet[Int(register << UInt32(6 - bits) & 63)]) }
        return String(decoding: text, as: UTF8.self)
    }

    /// Reads what ``text(of:)`` writes; nil for other letters, padding, an impossible length, or
    /// bits that no byte has: each sequence of bytes has one text.
    package static func bytes(of text: String) -> [UInt8]? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count * 3 / 4)
        var register: UInt32 = 0
        var bits = 0
        for letter in text.utf8 {
            guard let value = self.value(of: letter) else { return nil }
            register = register << 6 | value
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: register >> UInt32(bits)))
            }
        }
        guard bits < 6, register & (1 << UInt32(bits) - 1) == 0 else { return nil }
        return bytes
    }

    private static func value(of letter: UInt8) -> UInt32? {
        switch letter {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(letter - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(letter - UInt8(ascii: "a") + 26)
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(letter - UInt8(ascii: "0") + 52)
        case UInt8(ascii: "-"): 62
        case UInt8(ascii: "_"): 63
        default: nil
        }
    }

    private static let alphabet = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
}
