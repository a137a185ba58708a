internal import COpenSSL

/// AES-256-GCM (NIST SP 800-38D) under one key, for small secrets at rest.
///
/// Sealed form: nonce (12) ‖ ciphertext (n) ‖ tag (16). Each seal takes a random nonce, so one key
/// seals at most 2^32 secrets (SP 800-38D, 8.3). Not Sendable: one a thread.
@safe package final class AES256GCM {
    private let algorithm: OpaquePointer
    private let context: OpaquePointer

    /// How many bytes a key has.
    package static let keyBytes = 32
    /// How many bytes the sealed form is longer than the secret.
    package static let overheadBytes = nonceBytes + tagBytes

    static let nonceBytes = 12
    private static let tagBytes = 16

    /// Sets up `key`, which must have 32 bytes; it is copied and wiped at the end.
    package init(
        key: borrowing SecretBytes, in library: LibraryContext = .standard
    ) throws(CryptographyError) {
        guard key.count == Self.keyBytes else {
            throw .malformed("an AES-256 key has 32 bytes, not \(key.count)")
        }
        try OpenSSLLibrary.initialise()
        OpenSSLErrorQueue.clear()
        guard let algorithm = unsafe EVP_CIPHER_fetch(library.handle, "AES-256-GCM", nil) else {
            throw .ofOpenSSL("fetching AES-256-GCM")
        }
        guard let context = unsafe EVP_CIPHER_CTX_new() else {
            unsafe EVP_CIPHER_free(algorithm)
            throw .ofOpenSSL("making a cipher context")
        }
        let answer = unsafe key.bytes.withUnsafeBytes {
            unsafe EVP_EncryptInit_ex2(
                context, algorithm, $0.baseAddress?.assumingMemoryBound(to: UInt8.self), nil, nil)
        }
        guard answer == 1 else {
            unsafe EVP_CIPHER_CTX_free(context)
            unsafe EVP_CIPHER_free(algorithm)
            throw .ofOpenSSL("setting up an AES-256-GCM key")
        }
        unsafe self.algorithm = algorithm
        unsafe self.context = context
    }

    /// Seals `secret`, bound to `associatedData`, which ``open(_:associatedData:)`` must be given too.
    package func seal(
        _ secret: borrowing SecretBytes, associatedData: RawSpan
    ) throws(CryptographyError) -> [UInt8] {
        let nonce = try SystemRandom.bytes(count: Self.nonceBytes)
        return try self.seal(secret, associatedData: associatedData, nonce: nonce)
    }

    /// Seals with a nonce that must never have been used with this key.
    func seal(
        _ secret: borrowing SecretBytes, associatedData: RawSpan, nonce: [UInt8]
    ) throws(CryptographyError) -> [UInt8] {
        precondition(nonce.count == Self.nonceBytes, "a nonce has 12 bytes")
        OpenSSLErrorQueue.clear()
        guard unsafe EVP_EncryptInit_ex2(self.context, nil, nil, nonce, nil) == 1,
            self.take(associatedData)
        else { throw .ofOpenSSL("sealing") }
        var sealed = nonce
        sealed.append(contentsOf: repeatElement(0, count: secret.count + Self.tagBytes))
        let answer = unsafe sealed.withUnsafeMutableBytes { sealed in
            let ciphertext = unsafe UnsafeMutableRawBufferPointer(
                rebasing: sealed[Self.nonceBytes...])
            return unsafe self.transform(secret.bytes, into: ciphertext)
                && self.control(EVP_CTRL_AEAD_GET_TAG, ciphertext.suffix(Self.tagBytes))
        }
        guard answer else { throw .ofOpenSSL("sealing") }
        return sealed
    }

    /// Opens what ``seal(_:associatedData:)`` made.
    ///
    /// - Throws: `.notAuthentic` if bytes, key or associated data are not those of the seal.
    package func open(
        _ sealed: RawSpan, associatedData: RawSpan
    ) throws(CryptographyError) -> SecretBytes {
        let count = sealed.byteCount - Self.overheadBytes
        guard count > 0 else { throw .notAuthentic }
        OpenSSLErrorQueue.clear()
        defer { OpenSSLErrorQueue.clear() }
        let nonce = sealed.extracting(first: Self.nonceBytes)
        let body = sealed.extracting(droppingFirst: Self.nonceBytes)
        let ciphertext = body.extracting(first: count)
        var tag = body.extracting(droppingFirst: count).array
        let isSetUp = unsafe nonce.withUnsafeBytes {
            unsafe EVP_DecryptInit_ex2(
                self.context, nil, nil, $0.baseAddress?.assumingMemoryBound(to: UInt8.self), nil)
        }
        guard isSetUp == 1, self.take(associatedData) else { throw .ofOpenSSL("opening") }
        let hasTag = unsafe tag.withUnsafeMutableBytes {
            unsafe self.control(EVP_CTRL_AEAD_SET_TAG, $0[...])
        }
        guard hasTag else { throw .ofOpenSSL("opening") }
        return try SecretBytes(count: count) { (output) throws(CryptographyError) in
            let isAuthentic = unsafe output.withUnsafeMutableBytes { buffer, filled in
                filled = count
                return unsafe self.transform(ciphertext, into: buffer)
            }
            // The memory is wiped where this throws: no plaintext that was not authentic is seen.
            guard isAuthentic else { throw .notAuthentic }
        }
    }

    /// Gives associated data to the context, in pieces that a C int can count.
    private func take(_ associatedData: RawSpan) -> Bool {
        guard let count = Int32(exactly: associatedData.byteCount) else { return false }
        guard count > 0 else { return true }
        return unsafe associatedData.withUnsafeBytes {
            var written: Int32 = 0
            return unsafe EVP_CipherUpdate(
                self.context, nil, &written,
                $0.baseAddress?.assumingMemoryBound(to: UInt8.self), count) == 1
        }
    }

    /// Runs the cipher over `input`; on opening, false means that the tag does not fit.
    private func transform(
        _ input: RawSpan, into output: UnsafeMutableRawBufferPointer
    ) -> Bool {
        guard let count = Int32(exactly: input.byteCount), output.count >= input.byteCount
        else { return false }
        return unsafe input.withUnsafeBytes {
            var written: Int32 = 0
            var rest: Int32 = 0
            let start = unsafe output.baseAddress?.assumingMemoryBound(to: UInt8.self)
            guard
                unsafe EVP_CipherUpdate(
                    self.context, start, &written,
                    $0.baseAddress?.assumingMemoryBound(to: UInt8.self), count) == 1
            else { return false }
            return unsafe EVP_CipherFinal_ex(
                self.context, start.map { unsafe $0 + Int(written) }, &rest) == 1
        }
    }

    private func control(_ command: Int32, _ tag: Slice<UnsafeMutableRawBufferPointer>) -> Bool {
        let tag = unsafe UnsafeMutableRawBufferPointer(rebasing: tag)
        return unsafe EVP_CIPHER_CTX_ctrl(
            self.context, command, Int32(Self.tagBytes), tag.baseAddress) == 1
    }

    deinit {
        unsafe EVP_CIPHER_CTX_free(self.context)
        unsafe EVP_CIPHER_free(self.algorithm)
    }
}
