internal import COpenSSL

/// A request for a certificate (PKCS#10, RFC 2986), which shows that its sender has the private key.
///
/// What it names is not looked at: whoever issues knows the requester by other means.
package struct CertificateRequest: ~Copyable {
    /// The request itself, DER.
    package let der: [UInt8]
    /// SHA-256 of ``der``.
    package let digest: Digest32
    /// The key to be certified, of P-256.
    let publicKey: PublicKey

    /// A new request for `key`, DER; it names nothing.
    package static func make(for key: borrowing PrivateKey) throws(CryptographyError) -> [UInt8] {
        OpenSSLErrorQueue.clear()
        guard let request = unsafe X509_REQ_new() else { throw .ofOpenSSL("making a request") }
        defer { unsafe X509_REQ_free(request) }
        // Version 1 is written as 0 (RFC 2986, 4.1).
        guard unsafe X509_REQ_set_version(request, 0) == 1,
            unsafe X509_REQ_set_pubkey(request, key.handle) == 1,
            unsafe X509_REQ_sign(request, key.handle, EVP_sha256()) > 0,
            case let count = unsafe i2d_X509_REQ(request, nil), count > 0
        else { throw .ofOpenSSL("making a request") }
        return unsafe [UInt8](unsafeUninitializedCapacity: Int(count)) { buffer, filled in
            var next = buffer.baseAddress
            filled = Int(unsafe i2d_X509_REQ(request, &next))
        }
    }

    /// Reads a request and checks the signature by which it proves possession of its key.
    ///
    /// - Throws: `.malformed` if the bytes are not exactly one request, its key is not of P-256, or
    ///   the signature is not that key's.
    package init(der: [UInt8]) throws(CryptographyError) {
        guard der.count <= Self.maximumBytes else {
            throw .malformed("a certificate request of more than \(Self.maximumBytes) bytes")
        }
        let digest = try SHA256().digest(der.rawSpan)
        let key = try Self.provenKey(of: der)
        self.der = der
        self.digest = digest
        self.publicKey = key
    }

    private static func provenKey(of der: [UInt8]) throws(CryptographyError) -> PublicKey {
        OpenSSLErrorQueue.clear()
        defer { OpenSSLErrorQueue.clear() }
        var isWhole = false
        let parsed: OpaquePointer? = unsafe der.withUnsafeBufferPointer { bytes in
            var next = bytes.baseAddress
            let request = unsafe d2i_X509_REQ(nil, &next, bytes.count)
            unsafe isWhole = next == bytes.baseAddress.map { unsafe $0 + bytes.count }
            return unsafe request
        }
        guard let request = unsafe parsed else {
            throw .malformed("not a certificate request: " + OpenSSLErrorQueue.drain())
        }
        defer { unsafe X509_REQ_free(request) }
        guard isWhole, let pointer = unsafe X509_REQ_get_pubkey(request) else {
            throw .malformed("not a certificate request with a key that can be read")
        }
        let key = unsafe PublicKey(owning: pointer)
        guard try key.algorithm() == .ecdsa(curve: "prime256v1") else {
            throw .malformed("the key of a certificate request must be of P-256")
        }
        guard unsafe X509_REQ_verify(request, key.handle) == 1 else {
            throw .malformed("the certificate request is not signed by its own key")
        }
        return key
    }

    /// 4 KiB: one for a P-256 key has some 200 bytes.
    package static let maximumBytes = 4096
}
