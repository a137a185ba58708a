internal import COpenSSL

/// XAES-256-GCM (c2sp.org/XAES-256-GCM): AES-256-GCM with a nonce of 24 bytes.
///
/// The first 12 bytes of the nonce choose the AES key of the message, by two blocks of a counter-mode
/// derivation over CMAC (NIST SP 800-108r1, 4.1); the last 12 are its GCM nonce. So random nonces
/// never run out under one key. Both contexts are kept: a message costs two blocks, one AES key
/// schedule and no allocation. Not Sendable: one a thread.
@safe package final class XAES256GCM {
    private let blockCipher: OpaquePointer
    private let messageCipher: OpaquePointer
    private let block: OpaquePointer
    private let message: OpaquePointer
    /// Mask (16) ‖ the two derivation blocks (32) ‖ the message's key (32), wiped at the end.
    private let scratch: UnsafeMutableRawBufferPointer

    /// How many bytes a key has.
    package static let keyBytes = 32
    /// How many bytes a nonce has.
    package static let nonceBytes = 24
    /// How many bytes the sealed form is longer than the plaintext: its tag.
    package static let tagBytes = 16

    /// Sets up `key`, which must have 32 bytes; it is copied and wiped at the end.
    package init(
        key: borrowing SecretBytes, in library: LibraryContext = .standard
    ) throws(CryptographyError) {
        guard key.count == Self.keyBytes else {
            throw .malformed("an XAES-256-GCM key has 32 bytes, not \(key.count)")
        }
        try OpenSSLLibrary.initialise()
        OpenSSLErrorQueue.clear()
        let blockCipher = unsafe EVP_CIPHER_fetch(library.handle, "AES-256-ECB", nil)
        let messageCipher = unsafe EVP_CIPHER_fetch(library.handle, "AES-256-GCM", nil)
        let block = unsafe EVP_CIPHER_CTX_new()
        let message = unsafe EVP_CIPHER_CTX_new()
        guard let blockCipher = unsafe blockCipher, let messageCipher = unsafe messageCipher,
            let block = unsafe block, let message = unsafe message,
            unsafe EVP_EncryptInit_ex2(message, messageCipher, nil, nil, nil) == 1
        else {
            unsafe EVP_CIPHER_CTX_free(message)
            unsafe EVP_CIPHER_CTX_free(block)
            unsafe EVP_CIPHER_free(messageCipher)
            unsafe EVP_CIPHER_free(blockCipher)
            throw .ofOpenSSL("fetching AES-256")
        }
        unsafe self.blockCipher = blockCipher
        unsafe self.messageCipher = messageCipher
        unsafe self.block = block
        unsafe self.message = message
        unsafe self.scratch = .allocate(byteCount: Self.scratchBytes, alignment: 16)
        unsafe self.scratch.initializeMemory(as: UInt8.self, repeating: 0)
        try self.replaceKey(with: key)
    }

    /// Sets up another key in the same contexts; the one before is forgotten.
    package func replaceKey(with key: borrowing SecretBytes) throws(CryptographyError) {
        guard key.count == Self.keyBytes else {
            throw .malformed("an XAES-256-GCM key has 32 bytes, not \(key.count)")
        }
        OpenSSLErrorQueue.clear()
        let isSetUp = unsafe key.bytes.withUnsafeBytes {
            unsafe EVP_EncryptInit_ex2(
                self.block, self.blockCipher, $0.baseAddress?.assumingMemoryBound(to: UInt8.self),
                nil, nil)
        }
        guard isSetUp == 1, unsafe EVP_CIPHER_CTX_set_padding(self.block, 0) == 1 else {
            throw .ofOpenSSL("setting up an XAES-256-GCM key")
        }
        // The mask is CMAC's first subkey: L doubled in GF(2^128) (NIST SP 800-38B, 6.1).
        unsafe self.scratch.initializeMemory(as: UInt8.self, repeating: 0)
        guard self.encryptBlocks(from: 16, to: 0, count: 16) else {
            throw .ofOpenSSL("setting up an XAES-256-GCM key")
        }
        let high = unsafe UInt64(
            bigEndian: self.scratch.load(fromByteOffset: 0, as: UInt64.self))
        let low = unsafe UInt64(
            bigEndian: self.scratch.load(fromByteOffset: 8, as: UInt64.self))
        let carry: UInt64 = high >> 63 * 0x87
        unsafe self.scratch.storeBytes(of: (high << 1 | low >> 63).bigEndian, as: UInt64.self)
        unsafe self.scratch.storeBytes(
            of: (low << 1 ^ carry).bigEndian, toByteOffset: 8, as: UInt64.self)
    }

    /// Seals `plaintext`.
    ///
    /// - Parameters:
    ///   - plaintext: At most 2^31 − 1 bytes.
    ///   - nonce: 24 bytes, never used with this key before.
    ///   - associatedData: Must be given to ``open(_:nonce:associatedData:into:)`` too.
    ///   - output: Its bytes from `offset` on are replaced by ciphertext and tag; it must have them.
    ///   - offset: Where the ciphertext begins in `output`.
    /// - Throws: `.openSSL`; what `output` then holds from `offset` on is nothing to keep.
    package func seal(
        _ plaintext: RawSpan, nonce: RawSpan, associatedData: RawSpan,
        into output: inout [UInt8], at offset: Int
    ) throws(CryptographyError) {
        precondition(
            offset >= 0 && output.count - offset >= plaintext.byteCount + Self.tagBytes,
            "the output has room for ciphertext and tag")
        OpenSSLErrorQueue.clear()
        let isSealed = unsafe output.withUnsafeMutableBytes { output in
            let start = unsafe output.baseAddress.map {
                unsafe ($0 + offset).assumingMemoryBound(to: UInt8.self)
            }
            guard let start = unsafe start, self.begin(nonce, isSealing: true),
                unsafe self.update(associatedData, into: nil),
                unsafe self.update(plaintext, into: start)
            else { return false }
            let tag = unsafe start + plaintext.byteCount
            var rest: Int32 = 0
            return unsafe EVP_CipherFinal_ex(self.message, tag, &rest) == 1
                && EVP_CIPHER_CTX_ctrl(
                    self.message, EVP_CTRL_AEAD_GET_TAG, Int32(Self.tagBytes), tag) == 1
        }
        guard isSealed else { throw .ofOpenSSL("sealing") }
    }

    /// Opens what ``seal(_:nonce:associatedData:into:at:)`` made.
    ///
    /// - Parameters:
    ///   - sealed: Ciphertext and tag.
    ///   - nonce: As it was sealed with.
    ///   - associatedData: As it was sealed with.
    ///   - output: Becomes the plaintext, in memory that is kept; empty where this throws.
    /// - Throws: `.notAuthentic` if anything differs from what was sealed.
    package func open(
        _ sealed: RawSpan, nonce: RawSpan, associatedData: RawSpan, into output: inout [UInt8]
    ) throws(CryptographyError) {
        let count = sealed.byteCount - Self.tagBytes
        guard count >= 0 else { throw .notAuthentic }
        output.setCount(count)
        OpenSSLErrorQueue.clear()
        defer { OpenSSLErrorQueue.clear() }
        let ciphertext = sealed.extracting(first: count)
        let tag = sealed.extracting(droppingFirst: count)
        let isAuthentic = unsafe output.withUnsafeMutableBytes { output in
            // A pointer even where there is nothing to write: without one, GCM takes input for
            // associated data.
            let start = unsafe output.baseAddress?.assumingMemoryBound(to: UInt8.self)
            guard self.begin(nonce, isSealing: false),
                unsafe self.update(associatedData, into: nil),
                unsafe count == 0 || self.update(ciphertext, into: start)
            else { return false }
            // The control takes a pointer to variable bytes, but only reads them.
            let hasTag = unsafe tag.withUnsafeBytes {
                unsafe EVP_CIPHER_CTX_ctrl(
                    self.message, EVP_CTRL_AEAD_SET_TAG, Int32(Self.tagBytes),
                    UnsafeMutableRawPointer(mutating: $0.baseAddress))
            }
            var rest: Int32 = 0
            var none: UInt8 = 0
            guard hasTag == 1, unsafe EVP_CipherFinal_ex(self.message, &none, &rest) == 1 else {
                unsafe OPENSSL_cleanse(output.baseAddress, output.count)
                return false
            }
            return true
        }
        guard isAuthentic else {
            output.removeAll(keepingCapacity: true)
            throw .notAuthentic
        }
    }

    /// Decrypts without proof: whoever could write the ciphertext chose the plaintext.
    ///
    /// For what is proven in another way before it is given out, and for hints that decide only where
    /// to look.
    ///
    /// - Parameters:
    ///   - ciphertext: Without the tag.
    ///   - nonce: As it was sealed with.
    ///   - output: Becomes the plaintext, in memory that is kept.
    /// - Throws: `.openSSL` only.
    package func decryptUnproven(
        _ ciphertext: RawSpan, nonce: RawSpan, into output: inout [UInt8]
    ) throws(CryptographyError) {
        output.setCount(ciphertext.byteCount)
        OpenSSLErrorQueue.clear()
        let isDecrypted = unsafe output.withUnsafeMutableBytes { output in
            let start = unsafe output.baseAddress?.assumingMemoryBound(to: UInt8.self)
            return unsafe self.begin(nonce, isSealing: false)
                && (ciphertext.isEmpty || self.update(ciphertext, into: start))
        }
        guard isDecrypted else { throw .ofOpenSSL("decrypting") }
    }

    /// Derives the message's key and sets the message up with it.
    private func begin(_ nonce: RawSpan, isSealing: Bool) -> Bool {
        precondition(nonce.byteCount == Self.nonceBytes, "a nonce has 24 bytes")
        let isDerived = unsafe nonce.withUnsafeBytes { nonce in
            for block: UInt8 in 1...2 {
                // 16-bit counter ‖ "X" ‖ 00 ‖ the nonce's first half, then the mask over it.
                let offset = 16 * Int(block)
                unsafe self.scratch[offset] = 0
                unsafe self.scratch[offset + 1] = block
                unsafe self.scratch[offset + 2] = 0x58
                unsafe self.scratch[offset + 3] = 0
                for index in 0..<12 {
                    unsafe self.scratch[offset + 4 + index] = nonce[index]
                }
                for index in 0..<16 {
                    unsafe self.scratch[offset + index] ^= self.scratch[index]
                }
            }
            return self.encryptBlocks(from: 16, to: 48, count: 32)
        }
        guard isDerived else { return false }
        return unsafe nonce.withUnsafeBytes { nonce in
            unsafe EVP_CipherInit_ex2(
                self.message, nil,
                self.scratch.baseAddress.map {
                    unsafe UnsafePointer(($0 + 48).assumingMemoryBound(to: UInt8.self))
                },
                nonce.baseAddress.map {
                    unsafe ($0 + 12).assumingMemoryBound(to: UInt8.self)
                }, isSealing ? 1 : 0, nil) == 1
        }
    }

    private func update(_ bytes: RawSpan, into output: UnsafeMutablePointer<UInt8>?) -> Bool {
        guard let count = Int32(exactly: bytes.byteCount) else { return false }
        guard count > 0 else { return true }
        return unsafe bytes.withUnsafeBytes {
            var written: Int32 = 0
            return unsafe EVP_CipherUpdate(
                self.message, output, &written,
                $0.baseAddress?.assumingMemoryBound(to: UInt8.self), count) == 1
        }
    }

    private func encryptBlocks(from source: Int, to target: Int, count: Int32) -> Bool {
        guard let scratch = unsafe self.scratch.baseAddress else { return false }
        var written: Int32 = 0
        return unsafe EVP_EncryptUpdate(
            self.block, (scratch + target).assumingMemoryBound(to: UInt8.self), &written,
            (scratch + source).assumingMemoryBound(to: UInt8.self), count) == 1
            && written == count
    }

    deinit {
        unsafe OPENSSL_cleanse(self.scratch.baseAddress, self.scratch.count)
        unsafe self.scratch.deallocate()
        unsafe EVP_CIPHER_CTX_free(self.message)
        unsafe EVP_CIPHER_CTX_free(self.block)
        unsafe EVP_CIPHER_free(self.messageCipher)
        unsafe EVP_CIPHER_free(self.blockCipher)
    }

    private static let scratchBytes = 80
}
