package import Cryptography
internal import HTTPTransport
package import SealedLog

extension LogIdentifier {
    /// The 16 bytes that stand for a request id's text: a UUID's own, else the begin of its SHA-256.
    static func request(_ text: Span<UInt8>, _ sha256: SHA256) -> LogIdentifier {
        UUIDText.identifier(text)
            ?? LogIdentifier(unsafe sha256.digest(text.bytes).bytes.rawSpan, at: 0)
    }

    /// What stands in the log for the `x-request-id` with this text.
    package static func request(_ text: String) throws(CryptographyError) -> LogIdentifier {
        let bytes = Array(text.utf8)
        return self.request(bytes.span, try SHA256())
    }
}

extension UUIDText {
    /// The UUID's 16 bytes.
    var identifier: LogIdentifier { LogIdentifier(high: self.high, low: self.low) }

    /// The 16 bytes of a UUID's text; nil if it is none.
    static func identifier(_ text: Span<UInt8>) -> LogIdentifier? {
        guard text.count == self.byteCount else { return nil }
        var (high, low) = (UInt64(0), UInt64(0))
        for index in text.indices {
            let byte = text[index]
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "-") where [8, 13, 18, 23].contains(index): continue
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: return nil
            }
            high = high << 4 | low >> 60
            low = low << 4 | UInt64(digit)
        }
        return LogIdentifier(high: high, low: low)
    }
}
