package import Cryptography
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
