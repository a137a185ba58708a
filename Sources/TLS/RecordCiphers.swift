internal import COpenSSL
internal import Cryptography

/// What the records of TLS 1.3 are protected with, fetched once a worker: looking an algorithm up
/// takes a lock.
@safe final class RecordCiphers {
    private let aes128GCM: OpaquePointer
    private let aes256GCM: OpaquePointer
    private let chaCha20Poly1305: OpaquePointer
    let sha256: HKDF
    let sha384: HKDF

    /// Fetches them in `library`.
    init(in library: LibraryContext) throws(TLSError) {
        do {
            self.sha256 = try HKDF(in: library, digest: .sha256)
            self.sha384 = try HKDF(in: library, digest: .sha384)
        } catch {
            throw .cryptography(error)
        }
        var fetched: [OpaquePointer] = unsafe []
        for name in ["AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305"] {
            guard let cipher = unsafe EVP_CIPHER_fetch(library.handle, name, nil) else {
                for position in unsafe fetched.indices { unsafe EVP_CIPHER_free(fetched[position]) }
                throw .ofOpenSSL(name)
            }
            unsafe fetched.append(cipher)
        }
        unsafe self.aes128GCM = fetched[0]
        unsafe self.aes256GCM = fetched[1]
        unsafe self.chaCha20Poly1305 = fetched[2]
    }

    deinit {
        unsafe EVP_CIPHER_free(self.aes128GCM)
        unsafe EVP_CIPHER_free(self.aes256GCM)
        unsafe EVP_CIPHER_free(self.chaCha20Poly1305)
    }

    /// One of the three suites of TLS 1.3 (RFC 8446, B.4).
    @safe struct Suite {
        /// EVP_CIPHER, owned by ``RecordCiphers``.
        let cipher: OpaquePointer
        let keyBytes: Int
        let hkdf: HKDF
        /// How many bytes a traffic secret has.
        let secretBytes: Int
    }

    /// What the suite consists of; nil for one of TLS 1.2.
    func suite(_ cipher: TLSCipher) -> Suite? {
        switch cipher {
        case .aes128GCM:
            unsafe Suite(cipher: self.aes128GCM, keyBytes: 16, hkdf: self.sha256, secretBytes: 32)
        case .aes256GCM:
            unsafe Suite(cipher: self.aes256GCM, keyBytes: 32, hkdf: self.sha384, secretBytes: 48)
        case .chacha20Poly1305:
            unsafe Suite(
                cipher: self.chaCha20Poly1305, keyBytes: 32, hkdf: self.sha256, secretBytes: 32)
        case .ecdsaAES128GCM, .rsaAES128GCM, .ecdsaAES256GCM, .rsaAES256GCM,
            .ecdsaChaCha20Poly1305, .rsaChaCha20Poly1305:
            nil
        }
    }
}
