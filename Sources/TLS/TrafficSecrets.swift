internal import COpenSSL
internal import Cryptography

/// The two secrets a TLS 1.3 handshake ends with (RFC 8446, 7.1), on their way from OpenSSL to
/// ``RecordProtection``; wiped at the end.
///
/// OpenSSL 3.0 gives them out through its key log alone, as lines of text
/// (SSL_CTX_set_keylog_callback(3)): label, space, client random, space, secret, both hexadecimal.
/// They go nowhere else.
@safe final class TrafficSecrets {
    /// The client's secret, then the server's.
    private let bytes: UnsafeMutableRawBufferPointer
    private var clientBytes = 0
    private var serverBytes = 0

    init() {
        unsafe self.bytes = .allocate(byteCount: 2 * Self.maximumBytes, alignment: 1)
    }

    deinit {
        unsafe OPENSSL_cleanse(self.bytes.baseAddress, self.bytes.count)
        unsafe self.bytes.deallocate()
    }

    /// What the client seals with; nil unless it has `count` bytes.
    @unsafe func client(_ count: Int) -> UnsafeRawBufferPointer? {
        guard self.clientBytes == count else { return nil }
        return unsafe UnsafeRawBufferPointer(rebasing: self.bytes[..<count])
    }

    /// What the server seals with; nil unless it has `count` bytes.
    @unsafe func server(_ count: Int) -> UnsafeRawBufferPointer? {
        guard self.serverBytes == count else { return nil }
        return unsafe UnsafeRawBufferPointer(
            rebasing: self.bytes[Self.maximumBytes..<(Self.maximumBytes + count)])
    }

    /// Takes one line of the key log; other secrets than the two are passed over.
    @unsafe func take(_ line: UnsafePointer<CChar>) {
        let text = unsafe UnsafeBufferPointer(
            start: UnsafeRawPointer(line).assumingMemoryBound(to: UInt8.self), count: strlen(line))
        if unsafe text.starts(with: Self.clientLabel) {
            self.clientBytes = unsafe self.decode(text, at: 0)
        } else if unsafe text.starts(with: Self.serverLabel) {
            self.serverBytes = unsafe self.decode(text, at: Self.maximumBytes)
        }
    }

    /// Decodes the last word of `text` to `position`; how many bytes it has.
    private func decode(_ text: UnsafeBufferPointer<UInt8>, at position: Int) -> Int {
        guard let space = unsafe text.lastIndex(of: UInt8(ascii: " ")) else { return 0 }
        let digits = unsafe UnsafeBufferPointer(rebasing: text[(space + 1)...])
        let count = digits.count / 2
        guard count <= Self.maximumBytes, count * 2 == digits.count else { return 0 }
        for index in 0..<count {
            guard let high = unsafe Hexadecimal.value(of: digits[2 * index]),
                let low = unsafe Hexadecimal.value(of: digits[2 * index + 1])
            else { return 0 }
            unsafe self.bytes[position + index] = high << 4 | low
        }
        return count
    }

    private static let clientLabel = "CLIENT_TRAFFIC_SECRET_0 ".utf8
    private static let serverLabel = "SERVER_TRAFFIC_SECRET_0 ".utf8
    /// 48 bytes: SHA-384, the longest digest of TLS 1.3.
    private static let maximumBytes = 48
}
