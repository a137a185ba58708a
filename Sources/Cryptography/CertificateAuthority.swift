internal import Glibc

/// A trust root, or an intermediate under one, that issues certificates: its certificate and its
/// private key.
package struct CertificateAuthority: ~Copyable {
    /// The authority's own certificate.
    package let certificate: Certificate
    private let privateKey: PrivateKey

    /// A certificate just issued, with its private key.
    package struct Issued: ~Copyable {
        /// The certificate; it needs no other between itself and the trust root.
        package let certificate: Certificate
        /// Its private key as unencrypted PKCS#8 PEM.
        package let privateKeyPEM: SecretBytes
    }

    /// Makes a new trust root for the services of `trustDomain`, with a P-256 key.
    ///
    /// - Parameters:
    ///   - trustDomain: Stands in the certificate, which then issues no other domain's identities.
    ///   - days: How long it is valid, at most 3650.
    ///   - now: Unix time in seconds.
    /// - Returns: The trust root, which is nowhere on disk yet.
    /// - Throws: `.malformed` if `trustDomain` or `days` cannot be.
    package static func create(
        trustDomain: String, days: Int = Self.defaultRootDays, now: Int64 = Self.now
    ) throws(CryptographyError) -> CertificateAuthority {
        let key = try PrivateKey.generate(.ecdsaP256)
        let content = try Self.rootContent(trustDomain: trustDomain, days: days, now: now)
        let certificate = try content.sign(
            subjectKey: PublicKey(of: key), issuer: nil, issuerKey: key)
        return CertificateAuthority(certificate: certificate, privateKey: key)
    }

    /// Makes an authority under this trust root, for leaves of the same trust domain only.
    ///
    /// The root's key then rests while the intermediate issues.
    ///
    /// - Parameters:
    ///   - days: How long it is valid, at most 397 and as long as the root.
    ///   - now: Unix time in seconds.
    /// - Returns: The intermediate, which is nowhere on disk yet.
    /// - Throws: `.malformed` if `days` cannot be, or the root is not valid.
    package func makeIntermediate(
        days: Int = Self.defaultIntermediateDays, now: Int64 = Self.now
    ) throws(CryptographyError) -> CertificateAuthority {
        let key = try PrivateKey.generate(.ecdsaP256)
        let content = try Self.intermediateContent(under: self.certificate, days: days, now: now)
        let certificate = try content.sign(
            subjectKey: PublicKey(of: key), issuer: self.certificate, issuerKey: self.privateKey)
        return CertificateAuthority(certificate: certificate, privateKey: key)
    }

    static func rootContent(
        trustDomain: String, days: Int, now: Int64
    ) throws(CryptographyError) -> CertificateContent {
        try SPIFFEID.validate(trustDomain: trustDomain)
        try Self.validate(days: days, maximum: 3650)
        return CertificateContent(
            commonName: String("scoregate root \(trustDomain)".prefix(64)),
            notBefore: now - Self.backdatingSeconds, notAfter: now + Int64(days) * 86_400,
            role: .authority(certificatesBelow: 1),
            uriNames: [SPIFFEID.text(ofTrustDomain: trustDomain)])
    }

    static func intermediateContent(
        under root: Certificate, days: Int, now: Int64
    ) throws(CryptographyError) -> CertificateContent {
        try Self.validate(days: days, maximum: 397)
        // Two of one root differ by name too, so that logs and openssl(1) tell them apart.
        let random = try SystemRandom.bytes(count: 4)
        let suffix = Hexadecimal.text(of: random.rawSpan)
        return try CertificateContent(
            commonName: "scoregate intermediate \(suffix)", notBefore: now,
            notAfter: now + Int64(days) * 86_400, role: .authority(certificatesBelow: 0),
            uriNames: root.uriNames
        ).bounded(by: root, now: now)
    }

    /// Takes up an authority that was made before.
    ///
    /// - Throws: `.malformed` if one of the two cannot be read, they do not belong together, or the
    ///   certificate is not an authority's.
    package init(
        certificatePEM: [UInt8], privateKeyPEM: borrowing SecretBytes
    ) throws(CryptographyError) {
        let certificate = try Certificate.chain(pem: certificatePEM)[0]
        guard certificate.isAuthority else {
            throw .malformed("the certificate is not an authority's")
        }
        let key = try PrivateKey(pem: privateKeyPEM)
        guard try X509Certificate(der: certificate.der).matches(key) else {
            throw .malformed("the private key does not belong to the certificate")
        }
        self.init(certificate: certificate, privateKey: key)
    }

    init(certificate: Certificate, privateKey: consuming PrivateKey) {
        self.certificate = certificate
        self.privateKey = privateKey
    }

    /// The root's private key as unencrypted PKCS#8 PEM.
    package func privateKeyPEM() throws(CryptographyError) -> SecretBytes {
        try self.privateKey.pem()
    }

    /// Issues a certificate for a server that clients reach by DNS name or IP address.
    ///
    /// Never valid longer than the trust root. Backdated by 60 seconds, for clocks that are slow.
    ///
    /// - Parameters:
    ///   - commonName: For people; clients look at the other names only. At most 64 bytes.
    ///   - dnsNames: One may begin with "*." and then stands for one label.
    ///   - ipAddresses: IPv4 or IPv6.
    ///   - algorithm: What kind of key to make.
    ///   - days: How long it is valid, at most 397.
    ///   - now: Unix time in seconds.
    /// - Returns: The certificate and its new private key.
    /// - Throws: `.malformed` if there is no name, or one is none.
    package func issueServer(
        commonName: String, dnsNames: [String], ipAddresses: [String] = [],
        algorithm: PrivateKey.Algorithm = .ecdsaP256, days: Int = Self.defaultServerDays,
        now: Int64 = Self.now
    ) throws(CryptographyError) -> Issued {
        guard !dnsNames.isEmpty || !ipAddresses.isEmpty else {
            throw .malformed("a server's certificate needs at least one DNS name or IP address")
        }
        return try self.issue(
            CertificateContent(
                commonName: commonName, notBefore: now, notAfter: now + Int64(days) * 86_400,
                role: .server, dnsNames: dnsNames,
                ipAddresses: ipAddresses), algorithm: algorithm, days: days, now: now)
    }

    /// Issues a certificate for a service inside the trust domain, for both ends of mutual TLS.
    ///
    /// - Parameters:
    ///   - identity: The one URI the certificate has. Of the root's trust domain, where it names one.
    ///   - dnsNames: Names by which clients outside the trust domain may know the service too.
    ///   - ipAddresses: The same for addresses.
    ///   - algorithm: What kind of key to make.
    ///   - days: How long it is valid, at most 397.
    ///   - now: Unix time in seconds.
    /// - Returns: The certificate and its new private key.
    /// - Throws: `.malformed` if the identity is another domain's, or a name is none.
    package func issueIdentity(
        _ identity: SPIFFEID, dnsNames: [String] = [], ipAddresses: [String] = [],
        algorithm: PrivateKey.Algorithm = .ecdsaP256, days: Int = Self.defaultIdentityDays,
        now: Int64 = Self.now
    ) throws(CryptographyError) -> Issued {
        try self.checkDomain(of: identity)
        return try self.issue(
            CertificateContent(
                commonName: identity.name, notBefore: now, notAfter: now + Int64(days) * 86_400,
                role: .service, dnsNames: dnsNames,
                uriNames: [identity.text], ipAddresses: ipAddresses),
            algorithm: algorithm, days: days, now: now)
    }

    /// Issues a certificate for the key of `request` to a service inside the trust domain.
    ///
    /// Never valid longer than this authority. Backdated as others are.
    ///
    /// - Parameters:
    ///   - identity: The one URI the certificate has. Of the authority's trust domain.
    ///   - dnsNames: The names granted to the service.
    ///   - ipAddresses: The same for addresses.
    ///   - request: Whose key is certified; what it names is not looked at.
    ///   - seconds: How long it is valid, 900 to 86,400.
    ///   - now: Unix time in seconds.
    /// - Returns: The certificate, which needs this authority's between itself and the trust root.
    /// - Throws: `.malformed` if the identity is another domain's, or a name is none.
    package func issueIdentity(
        _ identity: SPIFFEID, dnsNames: [String] = [], ipAddresses: [String] = [],
        for request: borrowing CertificateRequest, seconds: Int64, now: Int64 = Self.now
    ) throws(CryptographyError) -> Certificate {
        try self.checkDomain(of: identity)
        guard Self.identitySeconds.contains(seconds) else {
            throw .malformed(
                "an identity is valid for \(Self.identitySeconds.lowerBound) to "
                    + "\(Self.identitySeconds.upperBound) seconds, not \(seconds)")
        }
        return try self.certify(
            CertificateContent(
                commonName: identity.name, notBefore: now, notAfter: now + seconds, role: .service,
                dnsNames: dnsNames, uriNames: [identity.text], ipAddresses: ipAddresses),
            request.publicKey, now: now)
    }

    private func checkDomain(of identity: SPIFFEID) throws(CryptographyError) {
        let domain = SPIFFEID.text(ofTrustDomain: identity.trustDomain)
        guard self.certificate.uriNames.isEmpty || self.certificate.uriNames == [domain] else {
            let own = self.certificate.uriNames.joined(separator: " ")
            throw .malformed("this trust root is for \(own) and issues no identity under \(domain)")
        }
    }

    private func issue(
        _ content: CertificateContent, algorithm: PrivateKey.Algorithm, days: Int, now: Int64
    ) throws(CryptographyError) -> Issued {
        try Self.validate(days: days, maximum: 397)
        if case .rsa(let bits) = algorithm, !(2048...4096).contains(bits) {
            throw .malformed("RSA keys have 2048 to 4096 bits, not \(bits)")
        }
        let key = try PrivateKey.generate(algorithm)
        let certificate = try self.certify(content, PublicKey(of: key), now: now)
        return Issued(certificate: certificate, privateKeyPEM: try key.pem())
    }

    /// Signs `content`, backdated, and for no longer than this authority is valid itself.
    private func certify(
        _ content: CertificateContent, _ subjectKey: borrowing PublicKey, now: Int64
    ) throws(CryptographyError) -> Certificate {
        try content.bounded(by: self.certificate, now: now).sign(
            subjectKey: subjectKey, issuer: self.certificate, issuerKey: self.privateKey)
    }

    private static func validate(days: Int, maximum: Int) throws(CryptographyError) {
        guard (1...maximum).contains(days) else {
            throw .malformed("a validity has 1 to \(maximum) days, not \(days)")
        }
    }

    /// The present, Unix time in seconds.
    package static var now: Int64 { Int64(time(nil)) }

    /// One year.
    package static let defaultRootDays = 365

    /// 90 days: what public authorities have come to issue.
    package static let defaultServerDays = 90

    /// 30 days: issued by hand, until a vault renews them by the hour.
    package static let defaultIdentityDays = 30

    /// 30 days.
    package static let defaultIntermediateDays = 30

    /// How long an identity that services renew themselves may be valid: 15 minutes, below which a
    /// short outage would end it, to a day, beyond which a lost key would be of use too long.
    package static let identitySeconds: ClosedRange<Int64> = 900...86_400

    /// 60 seconds.
    static let backdatingSeconds: Int64 = 60
}
