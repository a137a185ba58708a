internal import COpenSSL

/// What a certificate to be issued shall say.
struct CertificateContent {
    /// What the certificate is for; decides its basic constraints and key usages.
    enum Role {
        /// `certificatesBelow` is how many more authorities may stand between it and a leaf.
        case authority(certificatesBelow: Int)
        case server
        case service
    }

    var commonName: String
    var notBefore: Int64
    var notAfter: Int64
    var role: Role
    var dnsNames: [String] = []
    var uriNames: [String] = []
    var ipAddresses: [String] = []

    /// The same, backdated from `now`, and for no longer than `issuer` is valid itself.
    func bounded(by issuer: Certificate, now: Int64) throws(CryptographyError) -> Self {
        guard issuer.isValid(at: now) else {
            throw .malformed("the authority is not valid at this time: make a new one")
        }
        var content = self
        content.notBefore = max(
            now - CertificateAuthority.backdatingSeconds, issuer.notBefore)
        content.notAfter = min(content.notAfter, issuer.notAfter)
        return content
    }

    /// Makes the certificate for `subjectKey`, signed by `issuerKey`; no `issuer`: by itself.
    func sign(
        subjectKey: borrowing PublicKey, issuer: Certificate?, issuerKey: borrowing PrivateKey
    ) throws(CryptographyError) -> Certificate {
        let certificate = try self.certificate(subjectKey: subjectKey, issuer: issuer)
        guard unsafe X509_sign(certificate.handle, issuerKey.handle, EVP_sha256()) > 0 else {
            throw .ofOpenSSL("signing a certificate")
        }
        return try Certificate(der: certificate.der())
    }

    /// Makes the certificate for `subjectKey`, to be signed by a P-256 key that is elsewhere; no
    /// `issuer`: its own.
    func unsigned(
        subjectKey: borrowing PublicKey, issuer: Certificate?
    ) throws(CryptographyError) -> UnsignedCertificate {
        let certificate = try self.certificate(subjectKey: subjectKey, issuer: issuer)
        // What is signed names the algorithm too, which OpenSSL writes when it signs.
        let anyKey = try PrivateKey.generate(.ecdsaP256)
        guard unsafe X509_sign(certificate.handle, anyKey.handle, EVP_sha256()) > 0 else {
            throw .ofOpenSSL("signing a certificate")
        }
        return try UnsignedCertificate(covered: certificate.covered(), issuer: issuer)
    }

    private func certificate(
        subjectKey: borrowing PublicKey, issuer: Certificate?
    ) throws(CryptographyError) -> X509Certificate {
        try OpenSSLLibrary.initialise()
        OpenSSLErrorQueue.clear()
        guard let pointer = unsafe X509_new() else { throw .ofOpenSSL("making a certificate") }
        let certificate = unsafe X509Certificate(owning: pointer)
        let subject = unsafe X509_get_subject_name(pointer)
        guard (1...64).contains(self.commonName.utf8.count),
            unsafe X509_NAME_add_entry_by_NID(
                subject, NID_commonName, MBSTRING_UTF8, Array(self.commonName.utf8),
                Int32(self.commonName.utf8.count), -1, 0) == 1
        else { throw .malformed("a common name has 1 to 64 bytes") }
        guard unsafe X509_set_version(pointer, Int(X509_VERSION_3)) == 1,
            unsafe X509_set_pubkey(pointer, subjectKey.handle) == 1,
            unsafe ASN1_TIME_set(X509_getm_notBefore(pointer), Int(self.notBefore)) != nil,
            unsafe ASN1_TIME_set(X509_getm_notAfter(pointer), Int(self.notAfter)) != nil
        else { throw .ofOpenSSL("making a certificate") }
        try unsafe Self.setSerial(pointer)
        if let issuer {
            let issuer = try X509Certificate(der: issuer.der)
            guard unsafe X509_set_issuer_name(pointer, X509_get_subject_name(issuer.handle)) == 1
            else { throw .ofOpenSSL("naming the issuer") }
            try unsafe self.addExtensions(to: pointer, issuer: issuer.handle)
        } else {
            guard unsafe X509_set_issuer_name(pointer, subject) == 1 else {
                throw .ofOpenSSL("naming the issuer")
            }
            try unsafe self.addExtensions(to: pointer, issuer: pointer)
        }
        return certificate
    }

    /// 127 random bits, so that serials neither repeat nor tell how many were issued (RFC 5280,
    /// 4.1.2.2: positive, at most 20 bytes).
    private static func setSerial(_ certificate: OpaquePointer) throws(CryptographyError) {
        var bytes = try SystemRandom.bytes(count: 16)
        // The top bit clear keeps the number positive, the next set keeps its length.
        bytes[0] = bytes[0] & 0x3F | 0x40
        guard let number = unsafe BN_bin2bn(bytes, Int32(bytes.count), nil) else {
            throw .ofOpenSSL("making a serial number")
        }
        defer { unsafe BN_free(number) }
        guard unsafe BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nil else {
            throw .ofOpenSSL("making a serial number")
        }
    }

    private func addExtensions(
        to certificate: OpaquePointer, issuer: OpaquePointer
    ) throws(CryptographyError) {
        let usages: [(Int32, String)] =
            switch self.role {
            case .authority(let count):
                [
                    (NID_basic_constraints, "critical,CA:TRUE,pathlen:\(count)"),
                    (NID_key_usage, "critical,keyCertSign,cRLSign"),
                ]
            case .server:
                [
                    (NID_basic_constraints, "critical,CA:FALSE"),
                    (NID_key_usage, "critical,digitalSignature"),
                    (NID_ext_key_usage, "serverAuth"),
                ]
            case .service:
                [
                    (NID_basic_constraints, "critical,CA:FALSE"),
                    (NID_key_usage, "critical,digitalSignature"),
                    (NID_ext_key_usage, "serverAuth,clientAuth"),
                ]
            }
        // The identifier of the subject's key first: a trust root's own is also its issuer's.
        for (identifier, value) in usages + [
            (NID_subject_key_identifier, "hash"), (NID_authority_key_identifier, "keyid:always"),
        ] {
            var context = unsafe X509V3_CTX()
            unsafe X509V3_set_ctx(&context, issuer, certificate, nil, nil, 0)
            guard let made = unsafe X509V3_EXT_nconf_nid(nil, &context, identifier, value) else {
                throw .ofOpenSSL("making an extension")
            }
            defer { unsafe X509_EXTENSION_free(made) }
            guard unsafe X509_add_ext(certificate, made, -1) == 1 else {
                throw .ofOpenSSL("adding an extension")
            }
        }
        try unsafe self.addAlternativeNames(to: certificate)
    }

    /// Adds the names one by one as values: a configuration text would let a comma make two of one.
    private func addAlternativeNames(to certificate: OpaquePointer) throws(CryptographyError) {
        guard let names = unsafe OPENSSL_sk_new_null() else { throw .ofOpenSSL("adding names") }
        defer { unsafe GENERAL_NAMES_free(names) }
        for name in self.dnsNames {
            guard HostName.isCertificateName(name) else {
                throw .malformed("\"\(name)\" is no DNS name: labels of letters, digits and \"-\"")
            }
            try unsafe Self.push(GEN_DNS, V_ASN1_IA5STRING, Array(name.utf8), onto: names)
        }
        for name in self.uriNames {
            try unsafe Self.push(GEN_URI, V_ASN1_IA5STRING, Array(name.utf8), onto: names)
        }
        for address in self.ipAddresses {
            guard let bytes = HostName.addressBytes(address) else {
                throw .malformed("\"\(address)\" is no IP address")
            }
            try unsafe Self.push(GEN_IPADD, V_ASN1_OCTET_STRING, bytes, onto: names)
        }
        guard
            unsafe X509_add1_ext_i2d(
                certificate, NID_subject_alt_name, UnsafeMutableRawPointer(names), 0,
                UInt(X509V3_ADD_DEFAULT)) == 1
        else { throw .ofOpenSSL("adding names") }
    }

    private static func push(
        _ kind: Int32, _ stringType: Int32, _ bytes: [UInt8], onto names: OpaquePointer
    ) throws(CryptographyError) {
        guard let name = unsafe GENERAL_NAME_new(),
            let string = unsafe ASN1_STRING_type_new(stringType)
        else { throw .ofOpenSSL("making a name") }
        guard unsafe ASN1_STRING_set(string, bytes, Int32(bytes.count)) == 1 else {
            throw .ofOpenSSL("making a name")
        }
        unsafe GENERAL_NAME_set0_value(name, kind, string)
        guard unsafe OPENSSL_sk_push(names, name) > 0 else { throw .ofOpenSSL("adding a name") }
    }
}
