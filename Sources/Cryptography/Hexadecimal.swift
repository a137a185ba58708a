/// Bytes as lower-case hexadecimal digits, two a byte.
package enum Hexadecimal {
    /// Writes `bytes` without separators.
    package static func text(of bytes: RawSpan) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        text.reserveCapacity(2 * bytes.byteCount)
        for index in 0..<bytes.byteCount {
            let byte = bytes[byte: index]
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}
