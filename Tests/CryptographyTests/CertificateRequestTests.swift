import Cryptography
import Testing

@Suite struct CertificateRequestTests {
    @Test("openssl accepts a request, and it has the key it was made for")
    func make() throws {
        let key = try PrivateKey.generate(.ecdsaP256)
        let der = try CertificateRequest.make(for: key)
        let folder = try TemporaryFolder()
        let file = try folder.write(der, "request.der")
        let answer = try openssl("req", "-inform", "DER", "-in", file, "-noout", "-verify")
        #expect(answer.code == 0 && answer.output.contains("OK"), "\(answer.output)")
        let authority = try CertificateAuthority.create(trustDomain: "test")
        let issued = try authority.issueIdentity(
            SPIFFEID("spiffe://test/agent/a"), for: CertificateRequest(der: der), seconds: 3600)
        let isRight = try issued.matches(privateKeyPEM: key.pem())
        #expect(isRight)
    }

    @Test("A request is read whole, unchanged and signed by its own key, or not at all")
    func tampered() throws {
        let der = try CertificateRequest.make(for: PrivateKey.generate(.ecdsaP256))
        _ = try CertificateRequest(der: der)
        for index in der.indices {
            var bytes = der
            bytes[index] ^= 0x01
            #expect(throws: CryptographyError.self) { _ = try CertificateRequest(der: bytes) }
        }
        for count in 0..<der.count {
            #expect(throws: CryptographyError.self) {
                _ = try CertificateRequest(der: Array(der.prefix(count)))
            }
        }
        #expect(throws: CryptographyError.self) { _ = try CertificateRequest(der: der + [0]) }
    }

    @Test(
        "A key of another kind, or a request that is too large, is refused",
        arguments: [["rsa:2048"], ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]])
    func otherKeys(options: [String]) throws {
        let folder = try TemporaryFolder()
        let file = folder.path + "/request.der"
        let answer = try openssl(
            ["req", "-new", "-newkey"] + options
                + [
                    "-nodes", "-keyout", "/dev/null", "-subj", "/CN=a", "-outform", "DER", "-out",
                    file,
                ])
        try #require(answer.code == 0, "\(answer.output)")
        let der = try WholeFile.read(file, maximum: 1 << 16)
        #expect(throws: CryptographyError.self) { _ = try CertificateRequest(der: der) }
        #expect(throws: CryptographyError.self) {
            _ = try CertificateRequest(der: [UInt8](repeating: 0x30, count: 4097))
        }
    }

    @Test("A signature holds for its key and its message alone")
    func signatures() throws {
        let key = try PrivateKey.generate(.ecdsaP256)
        let message = Array("message".utf8)
        let signature = try key.sign(message.rawSpan)
        let authority = try CertificateAuthority.create(trustDomain: "test")
        let identity = try SPIFFEID("spiffe://test/agent/a")
        let own = try authority.issueIdentity(
            identity, for: CertificateRequest(der: CertificateRequest.make(for: key)), seconds: 900)
        let other = try authority.issueIdentity(identity)
        #expect(try self.verifies(own, signature, message))
        #expect(try !self.verifies(other.certificate, signature, message))
        #expect(try !self.verifies(own, signature, [0]))
        for index in signature.indices {
            var bytes = signature
            bytes[index] ^= 0x10
            #expect(try !self.verifies(own, bytes, message))
        }
    }

    private func verifies(
        _ certificate: Certificate, _ signature: [UInt8], _ message: [UInt8]
    ) throws -> Bool {
        try certificate.publicKey().verifies(signature.rawSpan, of: message.rawSpan)
    }
}
