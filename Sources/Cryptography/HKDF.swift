internal import COpenSSL

/// HKDF with SHA-256 (RFC 5869): keys for separate purposes from one secret.
package enum HKDF {
    /// Derives `count` bytes from `secret`.
    ///
    /// - Parameters:
    ///   - secret: The input keying material.
    ///   - salt: May be empty.
    ///   - information: Names the purpose; another name gives an unrelated key.
    ///   - count: 1 to 8160 (255 digests).
    /// - Returns: A new secret of `count` bytes.
    /// - Throws: `.openSSL`, or `.system` if no memory can be locked for it.
    package static func sha256(
        _ secret: borrowing SecretBytes, salt: RawSpan, information: RawSpan, count: Int
    ) throws(CryptographyError) -> SecretBytes {
        precondition(
            (1...255 * Digest32.byteCount).contains(count), "RFC 5869 2.3 limits the length")
        try OpenSSLLibrary.initialise()
        OpenSSLErrorQueue.clear()
        guard let algorithm = unsafe EVP_KDF_fetch(nil, "HKDF", nil) else {
            throw .ofOpenSSL("fetching HKDF")
        }
        defer { unsafe EVP_KDF_free(algorithm) }
        guard let context = unsafe EVP_KDF_CTX_new(algorithm) else {
            throw .ofOpenSSL("making an HKDF context")
        }
        defer { unsafe EVP_KDF_CTX_free(context) }
        let secret = secret.bytes
        return try SecretBytes(count: count) { (output) throws(CryptographyError) in
            let answer = unsafe output.withUnsafeMutableBytes { buffer, filled in
                filled = buffer.count
                return unsafe secret.withUnsafeBytes { secret in
                    unsafe salt.withUnsafeBytes { salt in
                        unsafe information.withUnsafeBytes { information in
                            unsafe COpenSSL_HKDF_derive(
                                context, "SHA256",
                                secret.baseAddress?.assumingMemoryBound(to: UInt8.self),
                                secret.count,
                                salt.baseAddress?.assumingMemoryBound(to: UInt8.self), salt.count,
                                information.baseAddress?.assumingMemoryBound(to: UInt8.self),
                                information.count,
                                buffer.baseAddress?.assumingMemoryBound(to: UInt8.self),
                                buffer.count)
                        }
                    }
                }
            }
            guard answer == 1 else { throw .ofOpenSSL("deriving a key") }
        }
    }
}
