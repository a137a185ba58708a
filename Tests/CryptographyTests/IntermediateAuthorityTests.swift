import Cryptography
import Testing

@Suite struct IntermediateAuthorityTests {
    private let identity: SPIFFEID
    private let request: [UInt8]

    init() throws {
        self.identity = try SPIFFEID("spiffe://test/gateway/edge")
        self.request = try CertificateRequest.make(for: PrivateKey.generate(.ecdsaP256))
    }

    private func issue(
        _ authority: borrowing CertificateAuthority, dnsNames: [String] = [],
        seconds: Int64 = 3600, now: Int64 = CertificateAuthority.now
    ) throws -> Certificate {
        try authority.issueIdentity(
            self.identity, dnsNames: dnsNames, for: CertificateRequest(der: self.request),
            seconds: seconds, now: now)
    }

    @Test("openssl verifies root, intermediate and leaf for both ends, and no authority below that")
    func chain() throws {
        let root = try CertificateAuthority.create(trustDomain: "test")
        let intermediate = try root.makeIntermediate()
        let leaf = try self.issue(intermediate, dnsNames: ["localhost", "edge.example"])
        #expect(leaf.uriNames == [self.identity.text])
        #expect(leaf.dnsNames == ["localhost", "edge.example"])
        #expect(try leaf.identity() == self.identity)
        for purpose in ["sslserver", "sslclient"] {
            #expect(
                try self.verify(leaf, [intermediate.certificate], root.certificate, purpose) == 0)
        }
        #expect(try self.verify(leaf, [], root.certificate, "sslserver") != 0)
        let below = try intermediate.makeIntermediate()
        let deep = try self.issue(below)
        let chain = [below.certificate, intermediate.certificate]
        #expect(try self.verify(deep, chain, root.certificate, "sslserver") != 0)
    }

    @Test("The leaf says what a service's certificate says, and nothing else")
    func extensions() throws {
        let intermediate = try CertificateAuthority.create(trustDomain: "test").makeIntermediate()
        let leaf = try self.issue(intermediate, dnsNames: ["localhost"])
        let folder = try TemporaryFolder()
        let file = try folder.write(Array(leaf.pem.utf8), "leaf.pem")
        let text = try openssl(
            "x509", "-in", file, "-noout", "-ext",
            "basicConstraints,keyUsage,extendedKeyUsage,subjectAltName"
        ).output
        let lines = text.split(separator: "\n").map { $0.trimmingPrefix { $0 == " " } }
        #expect(
            lines.map { String($0).trimmingSuffix() } == [
                "X509v3 Basic Constraints: critical", "CA:FALSE",
                "X509v3 Key Usage: critical", "Digital Signature",
                "X509v3 Extended Key Usage:",
                "TLS Web Server Authentication, TLS Web Client Authentication",
                "X509v3 Subject Alternative Name:",
                "DNS:localhost, URI:spiffe://test/gateway/edge",
            ])
    }

    @Test("Two roots of one name are told apart by their keys")
    func twoRoots() throws {
        let old = try CertificateAuthority.create(trustDomain: "test")
        let new = try CertificateAuthority.create(trustDomain: "test")
        let intermediate = try new.makeIntermediate()
        let leaf = try self.issue(intermediate)
        let folder = try TemporaryFolder()
        let bundle = try folder.write(
            Array((old.certificate.pem + new.certificate.pem).utf8), "bundle.pem")
        #expect(
            try self.verify(leaf, [intermediate.certificate], bundle: bundle, "sslclient") == 0)
        #expect(
            try self.verify(leaf, [intermediate.certificate], old.certificate, "sslclient") != 0)
    }

    @Test("Validity is in seconds, backdated a minute, and ends with the intermediate")
    func validity() throws {
        let now: Int64 = 1_800_000_000
        let root = try CertificateAuthority.create(trustDomain: "test", now: now)
        let intermediate = try root.makeIntermediate(now: now + 1000)
        #expect(intermediate.certificate.notBefore == now + 940)
        #expect(intermediate.certificate.notAfter == now + 1000 + 30 * 86_400)
        let leaf = try self.issue(intermediate, seconds: 900, now: now + 2000)
        #expect(leaf.notBefore == now + 1940)
        #expect(leaf.notAfter == now + 2900)
        let last = try self.issue(intermediate, now: intermediate.certificate.notAfter - 60)
        #expect(last.notAfter == intermediate.certificate.notAfter)
        #expect(throws: CryptographyError.self) {
            _ = try self.issue(intermediate, now: intermediate.certificate.notAfter + 1)
        }
        for seconds: Int64 in [0, 899, 86_401] {
            #expect(throws: CryptographyError.self) {
                _ = try self.issue(intermediate, seconds: seconds, now: now + 2000)
            }
        }
    }

    @Test("An intermediate is taken up again with its key, and issues for its trust domain alone")
    func takenUp() throws {
        let intermediate = try CertificateAuthority.create(trustDomain: "test").makeIntermediate()
        let again = try CertificateAuthority(
            certificatePEM: Array(intermediate.certificate.pem.utf8),
            privateKeyPEM: intermediate.privateKeyPEM())
        #expect(try self.issue(again).issuer == intermediate.certificate.subject)
        #expect(throws: CryptographyError.self) {
            _ = try again.issueIdentity(
                SPIFFEID("spiffe://other/agent/a"), for: CertificateRequest(der: self.request),
                seconds: 3600)
        }
        #expect(throws: CryptographyError.self) { _ = try self.issue(again, dnsNames: ["a,b"]) }
    }

    private func verify(
        _ leaf: Certificate, _ chain: [Certificate], _ root: Certificate, _ purpose: String
    ) throws -> Int32 {
        let folder = try TemporaryFolder()
        let bundle = try folder.write(Array(root.pem.utf8), "ca.pem")
        return try self.verify(leaf, chain, bundle: bundle, purpose)
    }

    private func verify(
        _ leaf: Certificate, _ chain: [Certificate], bundle: String, _ purpose: String
    ) throws -> Int32 {
        let folder = try TemporaryFolder()
        let file = try folder.write(Array(leaf.pem.utf8), "leaf.pem")
        let untrusted = try folder.write(
            Array((chain + [leaf]).map(\.pem).joined().utf8), "chain.pem")
        return try openssl(
            "verify", "-x509_strict", "-CAfile", bundle, "-untrusted", untrusted, "-purpose",
            purpose, file
        ).code
    }
}

extension String {
    fileprivate func trimmingSuffix() -> String {
        var text = self
        while text.last == " " { text.removeLast() }
        return text
    }
}
