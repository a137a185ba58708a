internal import COpenSSL

/// AES-256 key wrap: keys sealed under a key without a nonce, the same bytes each time.
///
/// Not Sendable: one a thread.
@safe package final class AESKeyWrap {
    /// Which of the two wraps.
    package enum Form: Sendable {
        /// RFC 3394: secrets of 16 bytes or more, in steps of 8; 8 bytes longer.
        case unpadded
        /// RFC 5649: secrets of any length; 8 bytes longer, and filled up to a multiple of 8.
        case padded
    }

    private let algorithm: OpaquePointer
    private let context: OpaquePointer
    private let form: Form
    private let key: SecretBytes

    /// How many bytes the wrapping key has.
    package static let keyBytes = 32

    /// Takes `key`, which must have 32 bytes.
    package init(
        key: consuming SecretBytes, form: Form, in library: LibraryContext = .standard
    ) throws(CryptographyError) {
        guard key.count == Self.keyBytes else {
            throw .malformed("an AES-256 wrapping key has 32 bytes, not \(key.count)")
        }
        try OpenSSLLibrary.initialise()
        OpenSSLErrorQueue.clear()
        let name = form == .padded ? "AES-256-WRAP-PAD" : "AES-256-WRAP"
        guard let algorithm = unsafe EVP_CIPHER_fetch(library.handle, name, nil) else {
            throw .ofOpenSSL("fetching \(name)")
        }
        guard let context = unsafe EVP_CIPHER_CTX_new() else {
            unsafe EVP_CIPHER_free(algorithm)
            throw .ofOpenSSL("making a cipher context")
        }
        unsafe EVP_CIPHER_CTX_set_flags(context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW)
        unsafe self.algorithm = algorithm
        unsafe self.context = context
        self.form = form
        self.key = key
    }

    /// Wraps `secret`.
    ///
    /// - Throws: `.malformed` if the form does not take its length.
    package func wrap(_ secret: borrowing SecretBytes) throws(CryptographyError) -> [UInt8] {
        guard self.form == .padded || (secret.count >= 16 && secret.count.isMultiple(of: 8)) else {
            throw .malformed("RFC 3394 wraps 16 bytes or more in steps of 8, not \(secret.count)")
        }
        OpenSSLErrorQueue.clear()
        var wrapped = [UInt8](repeating: 0, count: (secret.count + 7) / 8 * 8 + 8)
        let count = unsafe wrapped.withUnsafeMutableBytes {
            unsafe self.run(secret.bytes, into: $0, isWrapping: true)
        }
        guard count == wrapped.count else { throw .ofOpenSSL("wrapping a key") }
        return wrapped
    }

    /// Unwraps what ``wrap(_:)`` made.
    ///
    /// - Throws: `.notAuthentic` if bytes or key are not those of the wrap.
    package func unwrap(_ wrapped: RawSpan) throws(CryptographyError) -> SecretBytes {
        guard wrapped.byteCount >= 16, wrapped.byteCount.isMultiple(of: 8) else {
            throw .notAuthentic
        }
        OpenSSLErrorQueue.clear()
        defer { OpenSSLErrorQueue.clear() }
        // The cipher wants room for all it reads, and says after it how much it wrote.
        var count = 0
        let room = try SecretBytes(count: wrapped.byteCount) { (output) throws(CryptographyError) in
            count = unsafe output.withUnsafeMutableBytes { buffer, filled in
                unsafe buffer.initializeMemory(as: UInt8.self, repeating: 0)
                filled = buffer.count
                return unsafe self.run(wrapped, into: buffer, isWrapping: false)
            }
            guard count > 0 else { throw .notAuthentic }
        }
        return try SecretBytes(copying: room.bytes.extracting(first: count))
    }

    /// Runs the cipher and gives how many bytes it wrote; 0 where it refuses.
    private func run(
        _ input: RawSpan, into output: UnsafeMutableRawBufferPointer, isWrapping: Bool
    ) -> Int {
        guard let count = Int32(exactly: input.byteCount) else { return 0 }
        guard self.setUp(self.key, isWrapping: isWrapping) else { return 0 }
        var written: Int32 = 0
        let answer = unsafe input.withUnsafeBytes {
            unsafe EVP_CipherUpdate(
                self.context, output.baseAddress?.assumingMemoryBound(to: UInt8.self), &written,
                $0.baseAddress?.assumingMemoryBound(to: UInt8.self), count)
        }
        return answer == 1 ? Int(written) : 0
    }

    private func setUp(_ key: borrowing SecretBytes, isWrapping: Bool) -> Bool {
        unsafe key.bytes.withUnsafeBytes {
            unsafe EVP_CipherInit_ex2(
                self.context, self.algorithm, $0.baseAddress?.assumingMemoryBound(to: UInt8.self),
                nil, isWrapping ? 1 : 0, nil) == 1
        }
    }

    deinit {
        unsafe EVP_CIPHER_CTX_free(self.context)
        unsafe EVP_CIPHER_free(self.algorithm)
    }
}
