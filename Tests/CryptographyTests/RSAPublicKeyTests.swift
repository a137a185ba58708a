import Foundation
import Testing

@testable import Cryptography

@Suite struct RSAPublicKeyTests {
    @Test(
        "A private key opens the published OAEP vectors with SHA-256",
        .enabled(if: PublishedVectors.isInstalled, "run Tests/setup to install the vectors"))
    func publishedVectors() throws {
        let examples = try OAEPExample.read(
            PublishedVectors.text(of: "asymmetric/RSA/oaep-custom/oaep-sha256-sha256.txt"))
        #expect(examples.count > 30)
        for example in examples {
            let key = try PrivateKey(pem: secret(Array(example.privateKey.utf8)))
            let opened = try key.unwrap(example.wrapped.rawSpan)
            #expect(contents(opened) == example.message)
        }
    }

    @Test("What the public half wraps only the private half opens, each time another text")
    func roundTrip() throws {
        let key = try PrivateKey.generate(.rsa(bits: 2048))
        let stranger = try PrivateKey.generate(.rsa(bits: 2048))
        let half = try RSAPublicKey(of: key)
        #expect(half.bits == 2048)
        let logKey = try SystemRandom.secret(count: 64)
        let first = try half.wrap(logKey)
        let second = try half.wrap(logKey)
        #expect(first.count == 256 && first != second)
        let opened = try key.unwrap(first.rawSpan)
        #expect(contents(opened) == contents(logKey))
        #expect(throws: CryptographyError.notAuthentic) { _ = try stranger.unwrap(first.rawSpan) }
        for bit in stride(from: 0, to: 8 * first.count, by: 41) {
            var changed = first
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(throws: CryptographyError.notAuthentic) {
                _ = try key.unwrap(changed.rawSpan)
            }
        }
        let (modulus, exponent) = (try half.modulus(), try half.exponent())
        let again = try RSAPublicKey(modulus: modulus.rawSpan, exponent: exponent.rawSpan)
        let third = try again.wrap(logKey)
        let reopened = try key.unwrap(third.rawSpan)
        #expect(contents(reopened) == contents(logKey))
    }

    @Test("The openssl command opens what we wrap")
    func interoperation() throws {
        let folder = try TemporaryFolder()
        let key = try PrivateKey.generate(.rsa(bits: 3072))
        let keyFile = try folder.write(contents(key.pem()), "key.pem")
        let wrapped = try RSAPublicKey(of: key).wrap(secret(Array("a log key".utf8)))
        let file = try folder.write(wrapped, "wrapped")
        let answer = try openssl(
            "pkeyutl", "-decrypt", "-inkey", keyFile, "-in", file, "-pkeyopt",
            "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256", "-pkeyopt",
            "rsa_mgf1_md:sha256")
        #expect(answer.code == 0)
        #expect(answer.output == "a log key")
    }

    @Test("A key too small to wrap with, or none at all, is refused")
    func refusedKeys() throws {
        let exponent: [UInt8] = [1, 0, 1]
        var modulus = [UInt8](repeating: 0xFF, count: 128)
        #expect(throws: CryptographyError.self) {
            _ = try RSAPublicKey(modulus: modulus.rawSpan, exponent: exponent.rawSpan)
        }
        modulus = [UInt8](repeating: 0xFF, count: 2000)
        #expect(throws: CryptographyError.self) {
            _ = try RSAPublicKey(modulus: modulus.rawSpan, exponent: exponent.rawSpan)
        }
        let curve = try PrivateKey.generate(.ecdsaP256)
        #expect(throws: CryptographyError.self) { _ = try RSAPublicKey(of: curve) }
    }
}

/// One case of the OAEP vector file: each number follows a comment line that names it.
private struct OAEPExample {
    let privateKey: String
    let message: [UInt8]
    let wrapped: [UInt8]

    static func read(_ text: String) -> [OAEPExample] {
        var examples: [OAEPExample] = []
        var numbers: [[UInt8]] = []
        var name = ""
        var isPrivate = false
        var message: [UInt8] = []
        for line in text.split(whereSeparator: \.isNewline) {
            if line.hasPrefix("#") {
                name = line.dropFirst().trimmingCharacters(in: .whitespaces)
                if name == "Public key" { (numbers, isPrivate) = ([], false) }
                if name == "Private key" { isPrivate = true }
                continue
            }
            let value = bytes(line.count.isMultiple(of: 2) ? String(line) : "0" + line)
            switch name {
            case "Message:": message = value
            case "Encryption:":
                examples.append(
                    OAEPExample(privateKey: pem(numbers), message: message, wrapped: value))
            case _ where isPrivate: numbers.append(value)
            default: break
            }
        }
        return examples
    }

    /// A PKCS#1 private key (RFC 8017, A.1.2) from its eight numbers, in their order there.
    private static func pem(_ numbers: [[UInt8]]) -> String {
        let body = ([[0]] + numbers).flatMap { number in
            element(0x02, [0] + number.drop { $0 == 0 })
        }
        let text = Data(element(0x30, body)).base64EncodedString(
            options: [.lineLength64Characters, .endLineWithLineFeed])
        return "-----BEGIN RSA PRIVATE KEY-----\n\(text)\n-----END RSA PRIVATE KEY-----\n"
    }

    private static func element(_ tag: UInt8, _ body: [UInt8]) -> [UInt8] {
        var body = body
        // An integer has no leading zero but the one that keeps it positive.
        if tag == 0x02, body.count > 1, body[1] < 0x80 { body.removeFirst() }
        return [tag, 0x82, UInt8(body.count >> 8), UInt8(body.count & 0xFF)] + body
    }
}
