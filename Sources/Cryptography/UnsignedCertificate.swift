internal import COpenSSL

/// A certificate that lacks its signature only, by a P-256 key which is not in this process.
package struct UnsignedCertificate: Sendable {
    /// What is to be signed by ECDSA: SHA-256 of what the signature covers.
    package let digest: [UInt8]
    /// The TBSCertificate (RFC 5280, 4.1), DER.
    let covered: [UInt8]
    /// Whose key signs; nil if the certificate's own does.
    private let issuer: Certificate?

    init(covered: [UInt8], issuer: Certificate?) throws(CryptographyError) {
        self.digest = try SHA256().digest(covered.rawSpan).bytes
        self.covered = covered
        self.issuer = issuer
    }

    /// The certificate with this signature: r ‖ s, 32 bytes each, big-endian.
    ///
    /// - Throws: `.malformed` unless the issuer's key made it.
    package func signed(by signature: [UInt8]) throws(CryptographyError) -> Certificate {
        guard signature.count == 64 else { throw .malformed("a P-256 signature has 64 bytes") }
        let pair = Self.integer(signature.prefix(32)) + Self.integer(signature.suffix(32))
        let certificate = try Certificate(
            der: Self.element(
                0x30,
                self.covered + Self.algorithm
                    + Self.element(0x03, [0] + Self.element(0x30, pair))))
        let key = try (self.issuer ?? certificate).publicKey()
        let parsed = try X509Certificate(der: certificate.der)
        OpenSSLErrorQueue.clear()
        guard unsafe X509_verify(parsed.handle, key.handle) == 1 else {
            OpenSSLErrorQueue.clear()
            throw .malformed("the signature is not by the issuer's key")
        }
        return certificate
    }

    /// An INTEGER of DER, as short as it can be and positive (X.690, 8.3).
    private static func integer(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        let digits = bytes.dropLast().drop { $0 == 0 } + bytes.suffix(1)
        return Self.element(0x02, (digits[digits.startIndex] >= 0x80 ? [0] : []) + digits)
    }

    /// An element of DER of at most 65,535 bytes, which no certificate of ours has (X.690, 8.1.3).
    private static func element(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
        let count = UInt16(content.count)
        let (high, low) = (UInt8(count >> 8), UInt8(truncatingIfNeeded: count))
        let length: [UInt8] = high > 0 ? [0x82, high, low] : low >= 0x80 ? [0x81, low] : [low]
        return [tag] + length + content
    }

    /// ecdsa-with-SHA256 (RFC 5758, 3.2), an AlgorithmIdentifier.
    private static let algorithm: [UInt8] = [
        0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02,
    ]
}

extension CertificateAuthority {
    /// A trust root as ``create(trustDomain:days:now:)`` makes it, for a P-256 key that is kept
    /// elsewhere and still has to sign it.
    package static func unsignedRoot(
        trustDomain: String, publicKey: borrowing PublicKey,
        days: Int = Self.defaultRootDays, now: Int64 = Self.now
    ) throws(CryptographyError) -> UnsignedCertificate {
        try Self.rootContent(trustDomain: trustDomain, days: days, now: now)
            .unsigned(subjectKey: publicKey, issuer: nil)
    }

    /// An intermediate as ``makeIntermediate(days:now:)`` makes it, which the key of `root`, kept
    /// elsewhere, still has to sign.
    package static func unsignedIntermediate(
        under root: Certificate, days: Int = Self.defaultIntermediateDays, now: Int64 = Self.now
    ) throws(CryptographyError) -> Unsigned {
        let key = try PrivateKey.generate(.ecdsaP256)
        let certificate = try Self.intermediateContent(under: root, days: days, now: now)
            .unsigned(subjectKey: PublicKey(of: key), issuer: root)
        return Unsigned(certificate: certificate, privateKey: key)
    }

    /// An intermediate that lacks the signature of its root.
    package struct Unsigned: ~Copyable {
        /// What its root signs.
        package let certificate: UnsignedCertificate
        private let privateKey: PrivateKey

        init(certificate: UnsignedCertificate, privateKey: consuming PrivateKey) {
            self.certificate = certificate
            self.privateKey = privateKey
        }

        /// The intermediate, ready to issue, with the signature of its root: r ‖ s, 32 bytes each.
        ///
        /// - Throws: `.malformed` unless the root's key made it.
        package consuming func signed(
            by signature: [UInt8]
        ) throws(CryptographyError) -> CertificateAuthority {
            CertificateAuthority(
                certificate: try self.certificate.signed(by: signature),
                privateKey: self.privateKey)
        }
    }
}
