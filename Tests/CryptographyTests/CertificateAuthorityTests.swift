import Cryptography
import Testing

@Suite struct CertificateAuthorityTests {
    @Test(
        "openssl verifies a server's certificate for servers only",
        arguments: [("ecdsa", 0), ("rsa", 2048), ("rsa", 3072)])
    func server(algorithm: String, bits: Int) throws {
        let authority = try CertificateAuthority.create(trustDomain: "test")
        let issued = try authority.issueServer(
            commonName: "edge", dnsNames: ["localhost"], ipAddresses: ["127.0.0.1"],
            algorithm: bits == 0 ? .ecdsaP256 : .rsa(bits: bits))
        if bits > 0 { #expect(issued.certificate.keyAlgorithm == .rsa(bits: bits)) }
        try self.expect(0, authority, issued, "sslserver", "-verify_hostname", "localhost")
        try self.expect(0, authority, issued, "sslserver", "-verify_ip", "127.0.0.1")
        try self.expect(2, authority, issued, "sslserver", "-verify_hostname", "edge")
        try self.expect(2, authority, issued, "sslclient")
    }

    @Test("openssl verifies a service's certificate for both ends, and it has one identity")
    func identity() throws {
        let authority = try CertificateAuthority.create(trustDomain: "test")
        let identity = try SPIFFEID("spiffe://test/gateway/edge")
        let issued = try authority.issueIdentity(identity, dnsNames: ["localhost"])
        #expect(issued.certificate.uriNames == [identity.text])
        #expect(try issued.certificate.identity() == identity)
        try self.expect(0, authority, issued, "sslserver", "-verify_hostname", "localhost")
        try self.expect(0, authority, issued, "sslclient")
        let other = try CertificateAuthority.create(trustDomain: "test")
        try self.expect(2, other, issued, "sslclient")
    }

    @Test("Only a service's certificate has an identity")
    func noIdentity() throws {
        let authority = try CertificateAuthority.create(trustDomain: "test")
        #expect(throws: CryptographyError.self) { try authority.certificate.identity() }
        let issued = try authority.issueServer(commonName: "a", dnsNames: ["localhost"])
        #expect(throws: CryptographyError.self) { try issued.certificate.identity() }
    }

    @Test("A trust root issues no identity of another trust domain")
    func otherDomain() throws {
        let authority = try CertificateAuthority.create(trustDomain: "test")
        let identity = try SPIFFEID("spiffe://other/gateway/edge")
        #expect(throws: CryptographyError.self) { _ = try authority.issueIdentity(identity) }
    }

    @Test("Validity begins a minute ago and ends with the trust root at the latest")
    func validity() throws {
        let now: Int64 = 1_800_000_000
        let authority = try CertificateAuthority.create(trustDomain: "test", days: 50, now: now)
        #expect(authority.certificate.notBefore == now - 60)
        #expect(authority.certificate.notAfter == now + 50 * 86_400)
        let short = try authority.issueServer(
            commonName: "a", dnsNames: ["localhost"], days: 10, now: now + 100)
        #expect(short.certificate.notBefore == now + 40)
        #expect(short.certificate.notAfter == now + 100 + 10 * 86_400)
        let long = try authority.issueServer(commonName: "a", dnsNames: ["localhost"], now: now)
        #expect(long.certificate.notAfter == authority.certificate.notAfter)
        #expect(!long.certificate.isValid(at: now - 61))
        #expect(long.certificate.isValid(at: now - 60))
        #expect(long.certificate.isValid(at: authority.certificate.notAfter))
        #expect(!long.certificate.isValid(at: authority.certificate.notAfter + 1))
        #expect(throws: CryptographyError.self) {
            _ = try authority.issueServer(
                commonName: "a", dnsNames: ["localhost"], now: now + 51 * 86_400)
        }
    }

    @Test(
        "A name that is none is refused",
        arguments: [
            "", "a b", "a,DNS:b", "*", "*.com", "a.*.example.com", "a*.example.com", "-a.example",
            "a-.example", "a..b", "a.", "127.0.0.1", "\u{e9}.example.com",
            String(repeating: "a", count: 64) + ".example.com",
        ])
    func refusesNames(name: String) throws {
        let authority = try CertificateAuthority.create(trustDomain: "test")
        #expect(throws: CryptographyError.self) {
            _ = try authority.issueServer(commonName: "a", dnsNames: [name])
        }
    }

    @Test("No name at all, no address, too many days, weak RSA: refused")
    func refusesRequests() throws {
        let authority = try CertificateAuthority.create(trustDomain: "test")
        #expect(throws: CryptographyError.self) {
            _ = try authority.issueServer(commonName: "a", dnsNames: [])
        }
        #expect(throws: CryptographyError.self) {
            _ = try authority.issueServer(commonName: "a", dnsNames: [], ipAddresses: ["1.2.3"])
        }
        for days in [0, -1, 398] {
            #expect(throws: CryptographyError.self) {
                _ = try authority.issueServer(commonName: "a", dnsNames: ["a"], days: days)
            }
        }
        #expect(throws: CryptographyError.self) {
            _ = try authority.issueServer(
                commonName: "a", dnsNames: ["a"], algorithm: .rsa(bits: 1024))
        }
    }

    @Test(
        "A trust root taken up again issues as before; with another's key, or a leaf, it is refused"
    )
    func takenUp() throws {
        let authority = try CertificateAuthority.create(trustDomain: "test")
        let pem = Array(authority.certificate.pem.utf8)
        let again = try CertificateAuthority(
            certificatePEM: pem, privateKeyPEM: authority.privateKeyPEM())
        let issued = try again.issueServer(commonName: "a", dnsNames: ["localhost"])
        try self.expect(0, authority, issued, "sslserver")
        #expect(throws: CryptographyError.self) {
            _ = try CertificateAuthority(certificatePEM: pem, privateKeyPEM: issued.privateKeyPEM)
        }
        #expect(throws: CryptographyError.self) {
            _ = try CertificateAuthority(
                certificatePEM: Array(issued.certificate.pem.utf8),
                privateKeyPEM: issued.privateKeyPEM)
        }
    }

    private func expect(
        _ code: Int32, _ authority: borrowing CertificateAuthority,
        _ issued: borrowing CertificateAuthority.Issued, _ purpose: String, _ options: String...
    ) throws {
        let folder = try TemporaryFolder()
        let root = try folder.write(Array(authority.certificate.pem.utf8), "ca.pem")
        let leaf = try folder.write(Array(issued.certificate.pem.utf8), "leaf.pem")
        let answer = try openssl(
            ["verify", "-x509_strict", "-CAfile", root, "-purpose", purpose] + options + [leaf])
        #expect(answer.code == code, "\(answer.output)")
    }
}
