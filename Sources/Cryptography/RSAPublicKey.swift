internal import COpenSSL

/// Owns an RSA public key, which wraps secrets for the holder of its private half.
@safe package struct RSAPublicKey: ~Copyable, @unchecked Sendable {
    // Sendable: an EVP_PKEY that nobody changes may be used from any thread (EVP_PKEY_new(3)).
    private let pointer: OpaquePointer
    /// How many bits the modulus has.
    package let bits: Int

    /// The smallest modulus that is taken, in bits (NIST SP 800-131A, 6).
    package static let minimumBits = 2048
    private static let maximumBits = 8192

    /// Takes a key from its numbers, big-endian.
    ///
    /// - Throws: `.malformed` if they are no RSA key of 2048 to 8192 bits.
    package init(modulus: RawSpan, exponent: RawSpan) throws(CryptographyError) {
        try OpenSSLLibrary.initialise()
        guard modulus.byteCount <= Self.maximumBits / 8, (1...8).contains(exponent.byteCount) else {
            throw .malformed("an RSA key of a size that is not taken")
        }
        OpenSSLErrorQueue.clear()
        let key = unsafe modulus.withUnsafeBytes { modulus in
            unsafe exponent.withUnsafeBytes { exponent in
                unsafe COpenSSL_RSA_public_key(
                    modulus.baseAddress?.assumingMemoryBound(to: UInt8.self), Int32(modulus.count),
                    exponent.baseAddress?.assumingMemoryBound(to: UInt8.self),
                    Int32(exponent.count))
            }
        }
        guard let key = unsafe key else {
            throw .malformed("not an RSA public key: " + OpenSSLErrorQueue.drain())
        }
        let bits = unsafe Self.bits(of: key)
        guard bits >= Self.minimumBits else {
            unsafe EVP_PKEY_free(key)
            throw .malformed("an RSA key of \(bits) bits is too small to wrap with")
        }
        unsafe self.pointer = key
        self.bits = bits
    }

    /// Takes the public half of `key`, which must be an RSA key of 2048 to 8192 bits.
    package init(of key: borrowing PrivateKey) throws(CryptographyError) {
        let modulus = try unsafe Self.number(of: key.handle, isModulus: true)
        let exponent = try unsafe Self.number(of: key.handle, isModulus: false)
        try self.init(modulus: modulus.rawSpan, exponent: exponent.rawSpan)
    }

    private static func bits(of key: OpaquePointer) -> Int {
        Int(unsafe EVP_PKEY_get_bits(key))
    }

    /// The modulus, big-endian, without leading zeros.
    package func modulus() throws(CryptographyError) -> [UInt8] {
        try unsafe Self.number(of: self.pointer, isModulus: true)
    }

    /// The public exponent, big-endian, without leading zeros.
    package func exponent() throws(CryptographyError) -> [UInt8] {
        try unsafe Self.number(of: self.pointer, isModulus: false)
    }

    /// Wraps `secret` by RSA-OAEP with SHA-256 and no label (RFC 8017, 7.1).
    ///
    /// - Parameter secret: At most 66 bytes fewer than the modulus has.
    /// - Returns: As many bytes as the modulus has.
    /// - Throws: `.openSSL` if the secret is too long.
    package func wrap(_ secret: borrowing SecretBytes) throws(CryptographyError) -> [UInt8] {
        OpenSSLErrorQueue.clear()
        guard let context = unsafe EVP_PKEY_CTX_new_from_pkey(nil, self.pointer, nil) else {
            throw .ofOpenSSL("wrapping a key")
        }
        defer { unsafe EVP_PKEY_CTX_free(context) }
        guard unsafe COpenSSL_OAEP_256_init(context, 1) == 1 else {
            throw .ofOpenSSL("wrapping a key")
        }
        var wrapped = [UInt8](repeating: 0, count: (self.bits + 7) / 8)
        var count = wrapped.count
        let answer = unsafe secret.bytes.withUnsafeBytes {
            unsafe EVP_PKEY_encrypt(
                context, &wrapped, &count, $0.baseAddress?.assumingMemoryBound(to: UInt8.self),
                $0.count)
        }
        guard answer == 1, count == wrapped.count else { throw .ofOpenSSL("wrapping a key") }
        return wrapped
    }

    private static func number(
        of key: OpaquePointer, isModulus: Bool
    ) throws(CryptographyError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Self.maximumBits / 8)
        OpenSSLErrorQueue.clear()
        let count = unsafe COpenSSL_RSA_number(
            key, isModulus ? 1 : 0, &bytes, Int32(Self.maximumBits / 8))
        guard count > 0 else { throw .malformed("not an RSA key of a size that is taken") }
        bytes.removeSubrange(Int(count)...)
        return bytes
    }

    deinit {
        unsafe EVP_PKEY_free(self.pointer)
    }
}

extension PrivateKey {
    /// Unwraps what ``RSAPublicKey/wrap(_:)`` made for this key, which must be an RSA key.
    ///
    /// - Throws: `.notAuthentic` if it was not made for this key, or is empty.
    package func unwrap(_ wrapped: RawSpan) throws(CryptographyError) -> SecretBytes {
        OpenSSLErrorQueue.clear()
        defer { OpenSSLErrorQueue.clear() }
        guard let context = unsafe EVP_PKEY_CTX_new_from_pkey(nil, self.handle, nil) else {
            throw .ofOpenSSL("unwrapping a key")
        }
        defer { unsafe EVP_PKEY_CTX_free(context) }
        guard unsafe COpenSSL_OAEP_256_init(context, 0) == 1 else {
            throw .ofOpenSSL("unwrapping a key")
        }
        var count = 0
        let room = try SecretBytes(
            count: max(1, unsafe Int(EVP_PKEY_get_size(self.handle)))
        ) { (output) throws(CryptographyError) in
            let answer = unsafe output.withUnsafeMutableBytes { buffer, filled in
                unsafe buffer.initializeMemory(as: UInt8.self, repeating: 0)
                filled = buffer.count
                count = buffer.count
                return unsafe wrapped.withUnsafeBytes {
                    unsafe EVP_PKEY_decrypt(
                        context, buffer.baseAddress?.assumingMemoryBound(to: UInt8.self), &count,
                        $0.baseAddress?.assumingMemoryBound(to: UInt8.self), $0.count)
                }
            }
            guard answer == 1, count > 0 else { throw .notAuthentic }
        }
        return try SecretBytes(copying: room.bytes.extracting(first: count))
    }
}
