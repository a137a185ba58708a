internal import COpenSSL

/// HKDF (RFC 5869): keys for separate purposes from one secret.
///
/// The algorithm is fetched once and its context used again and again. Not Sendable: one a thread.
@safe package final class HKDF {
    /// The digest it is built on.
    package enum Digest: String, Sendable {
        /// 32 bytes.
        case sha256 = "SHA256"
        /// 48 bytes.
        case sha384 = "SHA384"
    }

    private let digest: Digest
    private let algorithm: OpaquePointer
    private let context: OpaquePointer

    /// Fetches the algorithm in `library`.
    package init(
        in library: LibraryContext = .standard, digest: Digest = .sha256
    ) throws(CryptographyError) {
        try OpenSSLLibrary.initialise()
        OpenSSLErrorQueue.clear()
        guard let algorithm = unsafe EVP_KDF_fetch(library.handle, "HKDF", nil) else {
            throw .ofOpenSSL("fetching HKDF")
        }
        guard let context = unsafe EVP_KDF_CTX_new(algorithm) else {
            unsafe EVP_KDF_free(algorithm)
            throw .ofOpenSSL("making an HKDF context")
        }
        self.digest = digest
        unsafe self.algorithm = algorithm
        unsafe self.context = context
    }

    /// Derives `count` bytes from `secret` with a context of its own, for whoever does it once.
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
        try HKDF().derive(secret, salt: salt, information: information, count: count)
    }

    /// Extracts and expands (RFC 5869, 2.2 and 2.3); parameters as
    /// ``sha256(_:salt:information:count:)`` has them.
    package func derive(
        _ secret: borrowing SecretBytes, salt: RawSpan, information: RawSpan, count: Int
    ) throws(CryptographyError) -> SecretBytes {
        precondition(Self.lengths.contains(count), "RFC 5869 2.3 limits the length")
        let secret = secret.bytes
        return try SecretBytes(count: count) { (output) throws(CryptographyError) in
            OpenSSLErrorQueue.clear()
            let isDerived = unsafe output.withUnsafeMutableBytes { buffer, filled in
                filled = buffer.count
                return unsafe secret.withUnsafeBytes {
                    unsafe self.derive($0, salt, information, isExpandOnly: false, into: buffer)
                }
            }
            guard isDerived else { throw .ofOpenSSL("deriving a key") }
        }
    }

    /// Expands a key into the next one of the same length, `times` times over (RFC 5869, 2.3).
    ///
    /// - Parameters:
    ///   - secret: A key as good as random, of 32 to 8160 bytes. With `times` 0 the result equals it.
    ///   - information: Names the purpose.
    ///   - times: Not negative. What lies between is wiped.
    /// - Returns: A new secret of the same length.
    /// - Throws: `.openSSL`, or `.system` if no memory can be locked for it.
    package func expand(
        _ secret: borrowing SecretBytes, information: RawSpan, times: Int = 1
    ) throws(CryptographyError) -> SecretBytes {
        precondition(Self.lengths.contains(secret.count), "RFC 5869 2.3 limits the length")
        let secret = secret.bytes
        return try SecretBytes(count: secret.byteCount) { (output) throws(CryptographyError) in
            OpenSSLErrorQueue.clear()
            let isDerived = unsafe output.withUnsafeMutableBytes { buffer, filled in
                filled = buffer.count
                unsafe secret.withUnsafeBytes { unsafe buffer.copyMemory(from: $0) }
                // In place: HKDF copies its key before it writes.
                return (0..<times).allSatisfy { _ in
                    unsafe self.derive(
                        UnsafeRawBufferPointer(buffer), RawSpan(), information,
                        isExpandOnly: true, into: buffer)
                }
            }
            guard isDerived else { throw .ofOpenSSL("deriving a key") }
        }
    }

    /// Expands a key into `output`, memory of the caller's, who wipes it (RFC 5869, 2.3).
    ///
    /// For what there is too much of to lock in memory, such as the keys of connections.
    ///
    /// - Parameters:
    ///   - secret: A key as good as random.
    ///   - information: Names the purpose.
    ///   - output: 1 to 8160 bytes; may be where `secret` is.
    /// - Returns: False if OpenSSL has no memory.
    @unsafe package func expand(
        _ secret: UnsafeRawBufferPointer, information: RawSpan,
        into output: UnsafeMutableRawBufferPointer
    ) -> Bool {
        OpenSSLErrorQueue.clear()
        return unsafe self.derive(
            secret, RawSpan(), information, isExpandOnly: true, into: output)
    }

    private func derive(
        _ secret: UnsafeRawBufferPointer, _ salt: RawSpan, _ information: RawSpan,
        isExpandOnly: Bool, into output: UnsafeMutableRawBufferPointer
    ) -> Bool {
        // The context has a copy of the secret, which it wipes with its other parameters.
        defer { unsafe EVP_KDF_CTX_reset(self.context) }
        return unsafe salt.withUnsafeBytes { salt in
            unsafe information.withUnsafeBytes { information in
                unsafe COpenSSL_HKDF_derive(
                    self.context, self.digest.rawValue,
                    isExpandOnly ? "EXPAND_ONLY" : "EXTRACT_AND_EXPAND",
                    secret.baseAddress?.assumingMemoryBound(to: UInt8.self), secret.count,
                    // A salt of no bytes is taken, but not at a null address.
                    (salt.baseAddress ?? secret.baseAddress)?.assumingMemoryBound(to: UInt8.self),
                    salt.count,
                    information.baseAddress?.assumingMemoryBound(to: UInt8.self),
                    information.count,
                    output.baseAddress?.assumingMemoryBound(to: UInt8.self), output.count) == 1
            }
        }
    }

    deinit {
        unsafe EVP_KDF_CTX_free(self.context)
        unsafe EVP_KDF_free(self.algorithm)
    }

    private static let lengths = 1...255 * Digest32.byteCount
}
