internal import COpenSSL
internal import Glibc

/// Owns a parsed certificate; ``Certificate`` reads its values from it.
@safe struct X509Certificate: ~Copyable {
    /// Whose name to read.
    enum Party {
        case subject
        case issuer
    }

    /// Which end of the validity to read.
    enum ValidityEnd {
        case notBefore
        case notAfter
    }

    private let pointer: OpaquePointer

    init(der: [UInt8]) throws(CryptographyError) {
        try OpenSSLLibrary.initialise()
        OpenSSLErrorQueue.clear()
        let parsed: OpaquePointer? = unsafe der.withUnsafeBufferPointer { bytes in
            var next = bytes.baseAddress
            guard let certificate = unsafe d2i_X509(nil, &next, bytes.count) else { return nil }
            guard unsafe next == bytes.baseAddress.map({ unsafe $0 + bytes.count }) else {
                unsafe X509_free(certificate)
                return nil
            }
            return unsafe certificate
        }
        guard let pointer = unsafe parsed else {
            throw .malformed("not an X.509 certificate: " + OpenSSLErrorQueue.drain())
        }
        // Reads the extensions once; contradictions show here (X509_get_extension_flags(3)).
        guard unsafe X509_get_extension_flags(pointer) & UInt32(EXFLAG_INVALID) == 0 else {
            unsafe X509_free(pointer)
            OpenSSLErrorQueue.clear()
            throw .malformed("the certificate's extensions cannot be read")
        }
        unsafe self.pointer = pointer
    }

    /// Takes over `pointer`.
    @unsafe init(owning pointer: OpaquePointer) {
        unsafe self.pointer = pointer
    }

    /// The `X509 *` for C calls made while this value is alive.
    @unsafe var handle: OpaquePointer { unsafe self.pointer }

    func name(of party: Party) throws(CryptographyError) -> String {
        let name =
            switch party {
            case .subject: unsafe X509_get_subject_name(self.pointer)
            case .issuer: unsafe X509_get_issuer_name(self.pointer)
            }
        let writer = try MemoryBIO()
        // RFC 2253 form, which escapes control bytes; other than there, UTF-8 is left readable.
        let flags = COpenSSL_XN_FLAG_RFC2253() & ~UInt(ASN1_STRFLGS_ESC_MSB)
        guard unsafe X509_NAME_print_ex(writer.handle, name, 0, flags) >= 0 else {
            throw .ofOpenSSL("reading a name")
        }
        return try writer.withContents { String(decoding: $0.array, as: UTF8.self) }
    }

    func serial() throws(CryptographyError) -> String {
        guard let number = unsafe ASN1_INTEGER_to_BN(X509_get0_serialNumber(self.pointer), nil)
        else { throw .ofOpenSSL("reading a serial number") }
        defer { unsafe BN_free(number) }
        guard let text = unsafe BN_bn2hex(number) else {
            throw .ofOpenSSL("reading a serial number")
        }
        defer { unsafe CRYPTO_free(text, #file, #line) }
        return unsafe String(cString: text).lowercased()
    }

    func time(_ end: ValidityEnd) throws(CryptographyError) -> Int64 {
        let time =
            switch end {
            case .notBefore: unsafe X509_get0_notBefore(self.pointer)
            case .notAfter: unsafe X509_get0_notAfter(self.pointer)
            }
        guard let seconds = unsafe Self.seconds(of: time) else {
            throw .malformed("the certificate's validity cannot be read")
        }
        return seconds
    }

    /// An `ASN1_TIME` in seconds since 1970; nil if it cannot be read.
    @unsafe static func seconds(of time: UnsafePointer<ASN1_TIME>?) -> Int64? {
        var parts = unsafe tm()
        guard unsafe ASN1_TIME_to_tm(time, &parts) == 1 else { return nil }
        return unsafe Int64(timegm(&parts))
    }

    func isAuthority() -> Bool {
        unsafe X509_get_extension_flags(self.pointer) & UInt32(EXFLAG_CA) != 0
    }

    func isForSigning() -> Bool {
        // All bits are set where the extension is absent (X509_get_key_usage(3)).
        unsafe X509_get_key_usage(self.pointer) & UInt32(KU_DIGITAL_SIGNATURE) != 0
    }

    func publicKey() throws(CryptographyError) -> PublicKey {
        guard let key = unsafe X509_get_pubkey(self.pointer) else {
            throw .malformed("the certificate's key cannot be read: " + OpenSSLErrorQueue.drain())
        }
        return unsafe PublicKey(owning: key)
    }

    func matches(_ key: borrowing PrivateKey) -> Bool {
        defer { OpenSSLErrorQueue.clear() }
        return unsafe X509_check_private_key(self.pointer, key.handle) == 1
    }

    func pem() throws(CryptographyError) -> String {
        let writer = try MemoryBIO()
        guard unsafe PEM_write_bio_X509(writer.handle, self.pointer) == 1 else {
            throw .ofOpenSSL("writing a certificate")
        }
        return try writer.withContents { String(decoding: $0.array, as: UTF8.self) }
    }

    func der() throws(CryptographyError) -> [UInt8] {
        try unsafe Self.der(self.pointer) { unsafe i2d_X509($0, $1) }
    }

    /// What the signature covers, the TBSCertificate (RFC 5280, 4.1), DER.
    func covered() throws(CryptographyError) -> [UInt8] {
        try unsafe Self.der(self.pointer) { unsafe i2d_re_X509_tbs($0, $1) }
    }

    @unsafe private static func der(
        _ certificate: OpaquePointer,
        _ write: (OpaquePointer, UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>?) -> Int32
    ) throws(CryptographyError) -> [UInt8] {
        let count = unsafe write(certificate, nil)
        guard count > 0 else { throw .ofOpenSSL("writing a certificate") }
        return unsafe [UInt8](unsafeUninitializedCapacity: Int(count)) { buffer, filled in
            var next = buffer.baseAddress
            filled = Int(unsafe write(certificate, &next))
        }
    }

    deinit {
        unsafe X509_free(self.pointer)
    }
}
