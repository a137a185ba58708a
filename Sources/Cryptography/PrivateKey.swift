internal import COpenSSL

/// Owns a private key in OpenSSL's memory.
@safe package struct PrivateKey: ~Copyable, @unchecked Sendable {
    // Sendable: an EVP_PKEY that nobody changes may be used from any thread (EVP_PKEY_new(3)).

    /// What kind of key to make.
    package enum Algorithm: Sendable {
        /// ECDSA on P-256: small, and signs some twenty times faster than RSA.
        case ecdsaP256
        /// RSA with a modulus of that many bits, 2048 to 4096, for clients without ECDSA.
        case rsa(bits: Int)
    }

    private let pointer: OpaquePointer

    /// Makes a new key.
    package static func generate(_ algorithm: Algorithm) throws(CryptographyError) -> PrivateKey {
        try OpenSSLLibrary.initialise()
        OpenSSLErrorQueue.clear()
        let name =
            switch algorithm {
            case .ecdsaP256: "EC"
            case .rsa: "RSA"
            }
        guard let context = unsafe EVP_PKEY_CTX_new_from_name(nil, name, nil) else {
            throw .ofOpenSSL("making a key")
        }
        defer { unsafe EVP_PKEY_CTX_free(context) }
        guard unsafe EVP_PKEY_keygen_init(context) == 1 else { throw .ofOpenSSL("making a key") }
        let isSet =
            switch algorithm {
            case .ecdsaP256: unsafe EVP_PKEY_CTX_set_group_name(context, "P-256")
            case .rsa(let bits):
                unsafe EVP_PKEY_CTX_set_rsa_keygen_bits(context, Int32(clamping: bits))
            }
        var key: OpaquePointer?
        guard isSet == 1, unsafe EVP_PKEY_generate(context, &key) == 1, let key = unsafe key else {
            throw .ofOpenSSL("making a key")
        }
        return unsafe PrivateKey(owning: key)
    }

    /// Reads the first private key in `pem`: PKCS#8, SEC 1 or PKCS#1, without a pass phrase.
    ///
    /// - Throws: `.malformed` if there is none that can be read.
    package init(pem: borrowing SecretBytes) throws(CryptographyError) {
        OpenSSLErrorQueue.clear()
        let key = try unsafe MemoryBIO.withReader(pem.bytes) {
            (reader) throws(CryptographyError) -> OpaquePointer? in
            // A pass phrase of no bytes: without this callback OpenSSL asks on the terminal.
            unsafe PEM_read_bio_PrivateKey(reader, nil, { _, _, _, _ in 0 }, nil)
        }
        guard let key = unsafe key else {
            throw .malformed(
                "no private key in PEM that can be read without a pass phrase: "
                    + OpenSSLErrorQueue.drain())
        }
        unsafe self.pointer = key
    }

    /// The key as unencrypted PKCS#8 PEM.
    package func pem() throws(CryptographyError) -> SecretBytes {
        let writer = try MemoryBIO()
        OpenSSLErrorQueue.clear()
        guard
            unsafe PEM_write_bio_PKCS8PrivateKey(
                writer.handle, self.pointer, nil, nil, 0, nil, nil) == 1
        else { throw .ofOpenSSL("writing a key") }
        return try writer.withContents { (contents) throws(CryptographyError) in
            try SecretBytes(copying: contents)
        }
    }

    /// The `EVP_PKEY *` for C calls made while this value is alive.
    @unsafe package var handle: OpaquePointer { unsafe self.pointer }

    private init(owning pointer: OpaquePointer) {
        unsafe self.pointer = pointer
    }

    deinit {
        unsafe EVP_PKEY_free(self.pointer)
    }
}
