internal import COpenSSL

/// The two secrets a TLS 1.3 handshake ends with (RFC 8446, 7.1), on their way from ``KeySchedule`` to
/// ``RecordProtection``; wiped at the end.
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

    /// Takes what was derived under `label`; others than the two are passed over.
    @unsafe func take(_ label: UnsafeRawBufferPointer, _ secret: UnsafeRawBufferPointer) {
        guard secret.count <= Self.maximumBytes else { return }
        if unsafe label.elementsEqual(Self.clientLabel) {
            unsafe self.bytes.copyMemory(from: secret)
            self.clientBytes = secret.count
        } else if unsafe label.elementsEqual(Self.serverLabel) {
            unsafe UnsafeMutableRawBufferPointer(rebasing: self.bytes[Self.maximumBytes...])
                .copyMemory(from: secret)
            self.serverBytes = secret.count
        }
    }

    private static let clientLabel = "c ap traffic".utf8
    private static let serverLabel = "s ap traffic".utf8
    /// 48 bytes: SHA-384, the longest digest of TLS 1.3.
    private static let maximumBytes = 48
}
