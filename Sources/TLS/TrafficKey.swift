internal import COpenSSL
internal import Cryptography

/// One direction of a TLS 1.3 connection after its handshake: a traffic secret, the key and nonces that
/// come from it, and how many records it has protected (RFC 8446, 5.2, 5.3, 7.2, 7.3).
///
/// The secret lies in ordinary memory, as it would in OpenSSL's own object, and is wiped at the end:
/// locked memory would not do for ten thousand connections.
@safe struct TrafficKey: ~Copyable {
    /// Whether records are sealed or opened.
    enum Direction {
        case sealing
        case opening
    }

    private let suite: RecordCiphers.Suite
    private let direction: Direction
    private let context: OpaquePointer
    /// The secret, then the IV.
    private let material: UnsafeMutableRawBufferPointer
    /// Number of the next record.
    private var number: UInt64

    /// A direction at its start.
    ///
    /// - Parameters:
    ///   - suite: What the handshake agreed on.
    ///   - secret: The traffic secret, of the length the suite says; copied.
    ///   - direction: What it is for.
    ///   - number: How many records were protected with it before.
    /// - Returns: Nil if memory is short.
    @unsafe static func make(
        _ suite: RecordCiphers.Suite, secret: UnsafeRawBufferPointer, _ direction: Direction,
        number: UInt64 = 0
    ) -> TrafficKey? {
        precondition(secret.count == suite.secretBytes, "a traffic secret is as long as its digest")
        guard let context = unsafe EVP_CIPHER_CTX_new() else { return nil }
        let material = UnsafeMutableRawBufferPointer.allocate(
            byteCount: suite.secretBytes + Self.nonceBytes, alignment: 1)
        unsafe material.copyMemory(from: secret)
        let key = unsafe TrafficKey(
            suite: suite, direction: direction, context: context, material: material,
            number: number)
        guard key.deriveKey() else { return nil }
        return consume key
    }

    @unsafe private init(
        suite: RecordCiphers.Suite, direction: Direction, context: OpaquePointer,
        material: UnsafeMutableRawBufferPointer, number: UInt64
    ) {
        self.suite = suite
        self.direction = direction
        unsafe self.context = context
        unsafe self.material = material
        self.number = number
    }

    deinit {
        unsafe OPENSSL_cleanse(self.material.baseAddress, self.material.count)
        unsafe self.material.deallocate()
        unsafe EVP_CIPHER_CTX_free(self.context)
    }

    /// Whether the key has protected as many records as it should: 2^24.
    ///
    /// AES-GCM keeps its margin up to 2^24.5 full ones (RFC 8446, 5.5).
    var isWornOut: Bool { self.number >= 1 << 24 }

    /// Seals `content`, at most 16 KiB, as one record.
    ///
    /// - Parameters:
    ///   - content: What is sealed.
    ///   - type: Of the content (RFC 8446, B.1).
    ///   - record: Where it goes: ``overheadBytes`` more than `content`.
    /// - Returns: False if OpenSSL fails, which it does not for valid sizes.
    @unsafe mutating func seal(
        _ content: UnsafeRawBufferPointer, type: UInt8, into record: UnsafeMutableRawPointer
    ) -> Bool {
        defer { self.number += 1 }
        return unsafe COpenSSL_seal_record(
            self.context, self.iv, self.number, type,
            content.baseAddress?.assumingMemoryBound(to: UInt8.self), Int32(content.count),
            record.assumingMemoryBound(to: UInt8.self)) == 1
    }

    /// Opens a whole record of at least ``overheadBytes``.
    ///
    /// - Parameters:
    ///   - record: What came.
    ///   - content: Where content, type and padding go: ``overheadBytes`` - 1 fewer than `record`. Not
    ///     to be looked at unless the answer is true.
    /// - Returns: False if it is not authentic.
    @unsafe mutating func open(
        _ record: UnsafeRawBufferPointer, into content: UnsafeMutableRawPointer
    ) -> Bool {
        defer { self.number += 1 }
        return unsafe COpenSSL_open_record(
            self.context, self.iv, self.number,
            record.baseAddress?.assumingMemoryBound(to: UInt8.self), Int32(record.count),
            content.assumingMemoryBound(to: UInt8.self)) == 1
    }

    /// Goes on to the next secret (RFC 8446, 7.2); false if memory is short.
    mutating func update() -> Bool {
        let secret = unsafe UnsafeMutableRawBufferPointer(
            rebasing: self.material[..<self.suite.secretBytes])
        unsafe self.expand("traffic upd", into: secret)
        self.number = 0
        return self.deriveKey()
    }

    private var iv: UnsafePointer<UInt8>? {
        unsafe self.material.baseAddress.map {
            unsafe UnsafePointer(
                ($0 + self.suite.secretBytes).assumingMemoryBound(to: UInt8.self))
        }
    }

    private func deriveKey() -> Bool {
        let iv = unsafe UnsafeMutableRawBufferPointer(
            rebasing: self.material[self.suite.secretBytes...])
        unsafe self.expand("iv", into: iv)
        return unsafe withUnsafeTemporaryAllocation(byteCount: self.suite.keyBytes, alignment: 1) {
            key in
            defer { unsafe OPENSSL_cleanse(key.baseAddress, key.count) }
            unsafe self.expand("key", into: key)
            let bytes = unsafe key.baseAddress?.assumingMemoryBound(to: UInt8.self)
            return switch self.direction {
            case .sealing:
                unsafe EVP_EncryptInit_ex2(self.context, self.suite.cipher, bytes, self.iv, nil)
                    == 1
            case .opening:
                unsafe EVP_DecryptInit_ex2(self.context, self.suite.cipher, bytes, self.iv, nil)
                    == 1
            }
        }
    }

    /// HKDF-Expand-Label with an empty context (RFC 8446, 7.1).
    @unsafe private func expand(
        _ label: StaticString, into output: UnsafeMutableRawBufferPointer
    ) {
        label.withUTF8Buffer { label in
            unsafe self.suite.hkdf.expandLabel(
                UnsafeRawBufferPointer(rebasing: self.material[..<self.suite.secretBytes]),
                UnsafeRawBufferPointer(label), UnsafeRawBufferPointer(start: nil, count: 0),
                into: output)
        }
    }

    /// Header (5), type (1) and tag (16): what a record has beside its content.
    static let overheadBytes = 22
    /// RFC 8446, 5.3.
    private static let nonceBytes = 12
}
