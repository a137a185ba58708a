import Cryptography
import Testing

@Suite struct CertificateTests {
    @Test(
        "A certificate covers its names and no others",
        arguments: [
            ("iris.example.com", true), ("IRIS.Example.COM", true), ("iris.example.com.", true),
            ("iris.example.com..", false), ("x.iris.example.com", false), ("example.com", false),
            ("iris.example.com:443", false), ("", false), (".", false), ("*", false),
            ("a.wild.example.com", true), ("A.WILD.example.com", true),
            ("wild.example.com", false), (".wild.example.com", false),
            ("a.b.wild.example.com", false), ("*.wild.example.com", true),
            ("127.0.0.1", true), ("127.0.0.2", false), ("127.1", false),
            ("::1", true), ("[::1]", true), ("0:0:0:0:0:0:0:1", true), ("::2", false),
            ("10.0.0.1", false), ("k.example.com", true), ("\u{212A}.example.com", false),
        ])
    func covers(host: String, isCovered: Bool) throws {
        let authority = try CertificateAuthority.create(trustDomain: "test")
        let issued = try authority.issueServer(
            commonName: "only.example.com",
            dnsNames: ["iris.example.com", "*.wild.example.com", "K.example.com"],
            ipAddresses: ["127.0.0.1", "::1"])
        #expect(issued.certificate.covers(host: host) == isCovered)
        #expect(!issued.certificate.covers(host: "only.example.com"))
    }

    @Test("A certificate's values are what openssl says they are")
    func values() throws {
        let authority = try CertificateAuthority.create(trustDomain: "test")
        let issued = try authority.issueServer(
            commonName: "edge, \"x\"", dnsNames: ["a.example.com"], ipAddresses: ["fe80::1"])
        let certificate = issued.certificate
        let folder = try TemporaryFolder()
        let file = try folder.write(Array(certificate.pem.utf8), "a.pem")
        let shown = try openssl(
            "x509", "-in", file, "-noout", "-serial", "-fingerprint", "-sha256", "-subject",
            "-issuer", "-nameopt", "RFC2253"
        ).output.lowercased().replacing(":", with: "")
        #expect(shown.contains("serial=" + certificate.serial))
        #expect(shown.contains("fingerprint=" + certificate.fingerprint.hexadecimal))
        #expect(shown.contains("subject=" + certificate.subject.lowercased()))
        #expect(shown.contains("issuer=" + certificate.issuer.lowercased()))
        #expect(certificate.dnsNames == ["a.example.com"])
        #expect(certificate.ipAddresses == ["fe80::1"])
        #expect(certificate.uriNames.isEmpty)
        #expect(!certificate.isAuthority && authority.certificate.isAuthority)
        #expect(certificate.keyAlgorithm == .ecdsa(curve: "prime256v1"))
        #expect(try Certificate(der: certificate.der).pem == certificate.pem)
    }

    @Test("A chain is read in its order, whatever stands between its blocks")
    func chain() throws {
        let authority = try CertificateAuthority.create(trustDomain: "test")
        let issued = try authority.issueServer(commonName: "a", dnsNames: ["localhost"])
        let key = contents(issued.privateKeyPEM)
        let text = "about\n\(issued.certificate.pem)\nmore\n"
        let pem = Array(text.utf8) + key + Array(authority.certificate.pem.utf8)
        let chain = try Certificate.chain(pem: pem)
        #expect(chain.map(\.serial) == [issued.certificate.serial, authority.certificate.serial])
    }

    @Test("PEM without a whole certificate in it is refused")
    func brokenPEM() throws {
        let pem = try CertificateAuthority.create(trustDomain: "test").certificate.pem
        let broken = [
            "", "no certificate", String(pem.dropLast(30)), String(pem.dropFirst(1)),
            pem.replacing("MII", with: "MIA"), pem + String(pem.dropLast(30)),
            "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ]
        for text in broken {
            #expect(throws: CryptographyError.self, "\(text)") {
                try Certificate.chain(pem: Array(text.utf8))
            }
        }
    }

    @Test(
        "DER cut anywhere, or with a byte more, is refused; with a flipped bit it is read or refused"
    )
    func tampering() throws {
        let authority = try CertificateAuthority.create(trustDomain: "test")
        let der = try authority.issueServer(
            commonName: "a", dnsNames: ["localhost"], ipAddresses: ["::1"]
        ).certificate.der
        for count in 0..<der.count {
            #expect(throws: CryptographyError.self) {
                try Certificate(der: Array(der[..<count]))
            }
        }
        #expect(throws: CryptographyError.self) { try Certificate(der: der + [0]) }
        for index in der.indices {
            var changed = der
            changed[index] ^= 1 << UInt8(index % 8)
            guard let read = try? Certificate(der: changed) else { continue }
            #expect(read.der == changed)
        }
    }

    @Test("A name with a NUL byte in it is refused rather than cut")
    func embeddedNUL() throws {
        let authority = try CertificateAuthority.create(trustDomain: "test")
        let der = try authority.issueServer(
            commonName: "a", dnsNames: ["good.example.com"]
        ).certificate.der
        let name = Array("good.example.com".utf8)
        let start = try #require(
            der.indices.first { der[$0...].starts(with: name) })
        var changed = der
        changed[start + 4] = 0
        #expect(throws: CryptographyError.self) { try Certificate(der: changed) }
    }

    @Test("A private key matches its own certificate only, in each PEM form")
    func matchesKey() throws {
        let authority = try CertificateAuthority.create(trustDomain: "test")
        let folder = try TemporaryFolder()
        for algorithm in [PrivateKey.Algorithm.ecdsaP256, .rsa(bits: 2048)] {
            let issued = try authority.issueServer(
                commonName: "a", dnsNames: ["localhost"], algorithm: algorithm)
            #expect(try issued.certificate.matches(privateKeyPEM: issued.privateKeyPEM))
            #expect(try !authority.certificate.matches(privateKeyPEM: issued.privateKeyPEM))
            let file = try folder.write(contents(issued.privateKeyPEM), "a.key")
            let traditional = folder.path + "/b.key"
            #expect(try openssl("pkey", "-in", file, "-traditional", "-out", traditional).code == 0)
            let other = try SecretBytes(contentsOf: traditional, maximum: 10_000)
            #expect(try issued.certificate.matches(privateKeyPEM: other))
        }
    }

    @Test("A key behind a pass phrase, or none, is refused without asking anybody")
    func unreadableKey() throws {
        let authority = try CertificateAuthority.create(trustDomain: "test")
        let folder = try TemporaryFolder()
        let file = try folder.write(contents(authority.privateKeyPEM()), "a.key")
        let encrypted = folder.path + "/b.key"
        let made = try openssl(
            "pkcs8", "-topk8", "-in", file, "-passout", "pass:abcd", "-out", encrypted)
        #expect(made.code == 0)
        #expect(throws: CryptographyError.self) {
            _ = try authority.certificate.matches(
                privateKeyPEM: SecretBytes(contentsOf: encrypted, maximum: 10_000))
        }
        #expect(throws: CryptographyError.self) {
            _ = try authority.certificate.matches(
                privateKeyPEM: secret(Array(authority.certificate.pem.utf8)))
        }
    }
}
