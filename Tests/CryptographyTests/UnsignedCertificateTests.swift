import Testing

@testable import Cryptography

/// Authorities whose root's key is not in this process; here it is, and signs beside them.
@Suite struct UnsignedCertificateTests {
    /// r ‖ s of what ``PrivateKey/sign(_:)`` gives as DER: 30, length, 02, length, r, 02, length, s.
    private static func pair(_ signature: [UInt8]) -> [UInt8] {
        let first = 4 + Int(signature[3])
        return [signature[4..<first], signature[(first + 2)...]].flatMap { number in
            let digits = number.drop { $0 == 0 }
            return [UInt8](repeating: 0, count: 32 - digits.count) + digits
        }
    }

    /// The point of a key on P-256, from a certificate for it.
    private static func point(_ certificate: Certificate) throws -> [UInt8] {
        let head: [UInt8] = [0x01, 0x07, 0x03, 0x42, 0x00, 0x04]
        let place = try #require(certificate.der.firstRange(of: head))
        return Array(certificate.der[(place.upperBound - 1)...].prefix(65))
    }

    private static func root(_ key: borrowing PrivateKey) throws -> Certificate {
        let root = try CertificateAuthority.unsignedRoot(
            trustDomain: "test", publicKey: PublicKey(of: key))
        return try root.signed(by: self.pair(key.sign(root.covered.rawSpan)))
    }

    @Test("openssl verifies a leaf under an intermediate under a root, both signed elsewhere")
    func chain() throws {
        let key = try PrivateKey.generate(.ecdsaP256)
        let root = try Self.root(key)
        #expect(root.isAuthority && root.uriNames == ["spiffe://test"])
        let unsigned = try CertificateAuthority.unsignedIntermediate(under: root)
        let covered = unsigned.certificate.covered
        let signature = Self.pair(try key.sign(covered.rawSpan))
        #expect(unsigned.certificate.digest == (try SHA256().digest(covered.rawSpan).bytes))
        let intermediate = try unsigned.signed(by: signature)
        let leaf = try intermediate.issueIdentity(
            SPIFFEID("spiffe://test/agent/a"),
            for: CertificateRequest(
                der: CertificateRequest.make(for: PrivateKey.generate(.ecdsaP256))), seconds: 900)
        let folder = try TemporaryFolder()
        let files = try [("root", root), ("chain", intermediate.certificate), ("leaf", leaf)].map {
            try folder.write(Array($0.1.pem.utf8), $0.0 + ".pem")
        }
        let outcome = try openssl(
            "verify", "-x509_strict", "-CAfile", files[0], "-untrusted", files[1], files[2])
        #expect(outcome.code == 0, "\(outcome.output)")
        // What stays in the process and what does not make the same certificates.
        let other = try CertificateAuthority.create(trustDomain: "test")
        #expect(other.certificate.subject == root.subject)
        #expect(other.certificate.der.count.distance(to: root.der.count).magnitude < 4)
    }

    @Test("numbers of every length make a certificate, as DER writes them")
    func lengths() throws {
        // One in 128 has a number that begins with a zero, half of them one that needs a zero before it.
        let key = try PrivateKey.generate(.ecdsaP256)
        let unsigned = try CertificateAuthority.unsignedRoot(
            trustDomain: "test", publicKey: PublicKey(of: key))
        var lengths: Set<Int> = []
        var signed = 0
        while lengths.count < 4, signed < 20_000 {
            let signature = try key.sign(unsigned.covered.rawSpan)
            signed += 1
            guard lengths.insert(signature.count).inserted else { continue }
            let certificate = try unsigned.signed(by: Self.pair(signature))
            #expect(certificate.der.suffix(signature.count) == signature[...])
        }
        #expect(lengths.isSuperset(of: 70...72) && lengths.count > 3, "\(lengths)")
    }

    @Test("a signature by another key, of something else or of another length is none")
    func refused() throws {
        let key = try PrivateKey.generate(.ecdsaP256)
        let stranger = try PrivateKey.generate(.ecdsaP256)
        let root = try CertificateAuthority.unsignedRoot(
            trustDomain: "test", publicKey: PublicKey(of: key))
        let covered = root.covered
        let right = Self.pair(try key.sign(covered.rawSpan))
        for wrong in [
            Self.pair(try stranger.sign(covered.rawSpan)),
            Self.pair(try key.sign(covered.dropLast().rawSpan)),
            Array(right.dropLast()), right + [0], [UInt8](repeating: 0, count: 64),
        ] {
            #expect(throws: CryptographyError.self) { _ = try root.signed(by: wrong) }
        }
        #expect(try root.signed(by: right).isAuthority)
    }

    @Test("a key is known by its point; what is no point on the curve is no key")
    func points() throws {
        let key = try PrivateKey.generate(.ecdsaP256)
        let point = try Self.point(Self.root(key))
        let half = try PublicKey(p256Point: point)
        let message = [UInt8](repeating: 7, count: 100)
        let signature = try key.sign(message.rawSpan)
        let verifies = half.verifies(signature.rawSpan, of: message.rawSpan)
        #expect(verifies)
        var wrong = point
        wrong[64] ^= 1
        for bytes in [
            wrong, Array(point.dropLast()), point + [0], [], Array(repeating: 0, count: 65),
        ] {
            #expect(throws: CryptographyError.self) { _ = try PublicKey(p256Point: bytes) }
        }
    }
}
