/// An X.509 certificate as values, read once.
///
/// Reading proves nothing: whether a chain leads to a trust root is the handshake's to check.
package struct Certificate: Sendable {
    /// What kind of key a certificate has.
    package enum KeyAlgorithm: Equatable, Sendable, CustomStringConvertible {
        /// An elliptic curve, by OpenSSL's name for it, such as "prime256v1".
        case ecdsa(curve: String)
        /// RSA with a modulus of that many bits.
        case rsa(bits: Int)
        /// Another, by OpenSSL's name for it.
        case other(String)

        /// Such as "ECDSA prime256v1" or "RSA 3072".
        package var description: String {
            switch self {
            case .ecdsa(let curve): "ECDSA \(curve)"
            case .rsa(let bits): "RSA \(bits)"
            case .other(let name): name
            }
        }
    }

    /// The certificate itself, DER.
    package let der: [UInt8]
    /// The certificate itself, a PEM block with a final newline.
    package let pem: String
    /// The subject's name as RFC 4514 writes it; may be empty.
    package let subject: String
    /// The issuer's name as RFC 4514 writes it.
    package let issuer: String
    /// The serial number in lower-case hexadecimal.
    package let serial: String
    /// First second of validity, Unix time.
    package let notBefore: Int64
    /// Last second of validity, Unix time.
    package let notAfter: Int64
    /// DNS names it stands for, as written; one may begin with "*.".
    package let dnsNames: [String]
    /// URIs it stands for, as written.
    package let uriNames: [String]
    /// IP addresses it stands for, as inet_ntop(3) writes them.
    package let ipAddresses: [String]
    /// Whether it may sign other certificates.
    package let isAuthority: Bool
    /// Whether its key may sign handshakes; true where it does not say (RFC 5280, 4.2.1.3).
    package let isForSigning: Bool
    /// What kind of key it has.
    package let keyAlgorithm: KeyAlgorithm
    /// SHA-256 of ``der``.
    package let fingerprint: Digest32

    /// Reads one certificate.
    ///
    /// - Throws: `.malformed` if the bytes are not exactly one certificate, or one whose
    ///   extensions contradict each other or whose names have control bytes in them.
    package init(der: [UInt8]) throws(CryptographyError) {
        let parsed = try X509Certificate(der: der)
        let names = try parsed.alternativeNames()
        self.der = der
        self.pem = try parsed.pem()
        self.subject = try parsed.name(of: .subject)
        self.issuer = try parsed.name(of: .issuer)
        self.serial = try parsed.serial()
        self.notBefore = try parsed.time(.notBefore)
        self.notAfter = try parsed.time(.notAfter)
        self.dnsNames = names.dns
        self.uriNames = names.uri
        self.ipAddresses = names.addresses
        self.isAuthority = parsed.isAuthority()
        self.isForSigning = parsed.isForSigning()
        self.keyAlgorithm = try parsed.publicKey().algorithm()
        self.fingerprint = try SHA256().digest(der.rawSpan)
    }

    /// Whether `host` is one of the certificate's names: a DNS name, or an IP address.
    ///
    /// Case, one trailing dot and the brackets of an IPv6 address do not count; a port must not be
    /// there. Only subject alternative names are looked at, never the common name (RFC 9525, 6.2).
    package func covers(host: String) -> Bool {
        let host = HostName(host)
        return host.isAddress
            ? self.ipAddresses.contains(host.text)
            : self.dnsNames.contains { host.isCovered(by: $0) }
    }

    /// Whether this certificate's public key belongs to the private key in `privateKeyPEM`.
    ///
    /// - Throws: `.malformed` if that is no private key we can read.
    package func matches(
        privateKeyPEM: borrowing SecretBytes
    ) throws(CryptographyError) -> Bool {
        try X509Certificate(der: self.der).matches(PrivateKey(pem: privateKeyPEM))
    }

    /// The key it certifies.
    package func publicKey() throws(CryptographyError) -> PublicKey {
        try X509Certificate(der: self.der).publicKey()
    }

    /// The identity of a service that the certificate stands for.
    ///
    /// - Throws: `.malformed` unless it has exactly one URI, which is an identity, is no authority
    ///   and may sign handshakes (SPIFFE X.509-SVID, 2 and 4).
    package func identity() throws(CryptographyError) -> SPIFFEID {
        guard self.uriNames.count == 1 else {
            throw .malformed(
                "a service's certificate has exactly one URI, this one \(self.uriNames.count)")
        }
        guard !self.isAuthority else {
            throw .malformed("an authority's certificate is not a service's")
        }
        guard self.isForSigning else {
            throw .malformed("the certificate's key usage lacks digitalSignature")
        }
        return try SPIFFEID(self.uriNames[0])
    }

    /// Whether `time`, in Unix seconds, lies in the certificate's validity, both ends included.
    package func isValid(at time: Int64) -> Bool {
        (self.notBefore...max(self.notBefore, self.notAfter)).contains(time)
            && time <= self.notAfter
    }
}
