internal import COpenSSL
internal import Cryptography

/// Reads certificates and keys from PEM files.
///
/// Runs when contexts are made, never on the data path.
enum PEMFile {
    /// A certificate chain, leaf first, and its key.
    ///
    /// Owns both.
    @safe struct Identity: ~Copyable {
        let leaf: OpaquePointer
        let intermediates: OpaquePointer
        let key: OpaquePointer
        let names: [String]

        deinit {
            unsafe X509_free(self.leaf)
            unsafe COpenSSL_sk_X509_pop_free(self.intermediates)
            unsafe EVP_PKEY_free(self.key)
        }

        /// The leaf as values.
        func certificate() throws(TLSError) -> Certificate {
            let bytes = unsafe PEMFile.der(of: self.leaf)
            do {
                return try Certificate(der: bytes)
            } catch {
                throw .cryptography(error)
            }
        }

        /// Whether the key is an RSA key; else it is one of an elliptic curve.
        var isRSA: Bool { unsafe EVP_PKEY_is_a(self.key, "RSA") == 1 }
    }

    /// Reads and checks a chain and its key: form, dates, order of issue, and that they belong together.
    static func identity(
        _ files: TLSCertificateFiles, resources: TLSWorkerResources
    ) throws(TLSError) -> Identity {
        let chain = unsafe try self.certificates(files.chain, resources: resources)
        guard let first = unsafe chain.first else {
            throw .certificateMalformed(path: files.chain, reason: "no certificate in the file")
        }
        guard let rest = unsafe COpenSSL_sk_X509_new_null() else {
            unsafe self.free(chain)
            throw .ofOpenSSL("certificate chain")
        }
        for position in 1..<(unsafe chain.count) {
            unsafe COpenSSL_sk_X509_push(rest, chain[position])
        }
        let key: OpaquePointer
        do throws(TLSError) {
            unsafe try self.checkChain(chain, path: files.chain)
            unsafe key = try self.privateKey(files.key, resources: resources)
        } catch {
            unsafe X509_free(first)
            unsafe COpenSSL_sk_X509_pop_free(rest)
            throw error
        }
        let identity = unsafe Identity(
            leaf: first, intermediates: rest, key: key,
            names: PeerCertificate.alternativeNames(first, kind: GEN_DNS).map {
                $0.lowercased()
            })
        OpenSSLErrorQueue.clear()
        guard unsafe X509_check_private_key(first, key) == 1 else {
            OpenSSLErrorQueue.clear()
            throw .keyMismatch(chain: files.chain, key: files.key)
        }
        return identity
    }

    /// A certificate as DER.
    @unsafe static func der(of certificate: OpaquePointer) -> [UInt8] {
        let count = unsafe i2d_X509(certificate, nil)
        var bytes = [UInt8](repeating: 0, count: Int(max(0, count)))
        unsafe bytes.withUnsafeMutableBufferPointer { buffer in
            var next = buffer.baseAddress
            _ = unsafe i2d_X509(certificate, &next)
        }
        return bytes
    }

    /// Reads every certificate of a file; the caller frees them.
    @unsafe static func certificates(
        _ path: String, resources: TLSWorkerResources
    ) throws(TLSError) -> [OpaquePointer] {
        let bytes: [UInt8]
        do {
            bytes = try WholeFile.read(path, maximum: self.maximumBytes)
        } catch {
            throw .cryptography(error)
        }
        return unsafe try bytes.span.bytes.withUnsafeBytes { bytes throws(TLSError) in
            guard let source = unsafe BIO_new_mem_buf(bytes.baseAddress, CInt(bytes.count)) else {
                throw .ofOpenSSL("reading \(path)")
            }
            defer { unsafe BIO_free(source) }
            return unsafe try self.certificates(from: source, path: path, resources: resources)
        }
    }

    @unsafe private static func certificates(
        from source: OpaquePointer, path: String, resources: TLSWorkerResources
    ) throws(TLSError) -> [OpaquePointer] {
        var certificates: [OpaquePointer] = unsafe []
        while true {
            OpenSSLErrorQueue.clear()
            var certificate = unsafe X509_new_ex(resources.libraryHandle, nil)
            guard unsafe PEM_read_bio_X509(source, &certificate, nil, nil) != nil,
                let read = unsafe certificate
            else {
                unsafe X509_free(certificate)
                // The end of the file is reported as "no start line" (PEM_read_bio_X509(3)).
                let reason = COpenSSL_ERR_GET_REASON(ERR_peek_last_error())
                if reason == PEM_R_NO_START_LINE, unsafe !certificates.isEmpty { break }
                unsafe self.free(certificates)
                throw .certificateMalformed(path: path, reason: OpenSSLErrorQueue.drain())
            }
            unsafe certificates.append(read)
        }
        OpenSSLErrorQueue.clear()
        return unsafe certificates
    }

    private static func checkChain(_ chain: [OpaquePointer], path: String) throws(TLSError) {
        for position in 0..<(unsafe chain.count) {
            let certificate = unsafe chain[position]
            let notBefore = unsafe X509_get0_notBefore(certificate)
            let notAfter = unsafe X509_get0_notAfter(certificate)
            guard unsafe X509_cmp_current_time(notAfter) > 0 else {
                throw .certificateExpired(
                    path: path, notAfter: unsafe PeerCertificate.text(of: notAfter))
            }
            guard unsafe X509_cmp_current_time(notBefore) < 0 else {
                throw .certificateNotYetValid(
                    path: path, notBefore: unsafe PeerCertificate.text(of: notBefore))
            }
            guard position > 0 else { continue }
            guard unsafe X509_check_issued(certificate, chain[position - 1]) == X509_V_OK else {
                throw .chainBroken(path: path, position: position)
            }
        }
    }

    @unsafe private static func privateKey(
        _ path: String, resources: TLSWorkerResources
    ) throws(TLSError) -> OpaquePointer {
        let secret: SecretBytes
        do {
            secret = try SecretBytes(contentsOf: path, maximum: self.maximumBytes)
        } catch {
            throw .cryptography(error)
        }
        OpenSSLErrorQueue.clear()
        return unsafe try secret.bytes.withUnsafeBytes { bytes throws(TLSError) in
            guard let source = unsafe BIO_new_mem_buf(bytes.baseAddress, CInt(bytes.count)) else {
                throw .ofOpenSSL("reading \(path)")
            }
            defer { unsafe BIO_free(source) }
            // A pass phrase is never asked for at a terminal: the callback has none to give.
            let key = unsafe PEM_read_bio_PrivateKey_ex(
                source, nil, { _, _, _, _ in -1 }, nil, resources.libraryHandle, nil)
            guard let key = unsafe key else {
                throw .keyMalformed(path: path, reason: OpenSSLErrorQueue.drain())
            }
            return unsafe key
        }
    }

    /// 4 MiB: the system's trust roots are a twentieth of it.
    private static let maximumBytes = 4 << 20

    @unsafe static func free(_ certificates: [OpaquePointer]) {
        for position in 0..<(unsafe certificates.count) {
            unsafe X509_free(certificates[position])
        }
    }
}
