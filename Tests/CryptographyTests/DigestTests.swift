import Cryptography
import Testing

@Suite struct DigestTests {
    @Test(
        "SHA-256 gives the digests of FIPS 180-4's validation files",
        .enabled(if: PublishedVectors.isInstalled, "run Tests/setup to install the vectors"),
        arguments: ["SHA256ShortMsg.rsp", "SHA256LongMsg.rsp"])
    func sha256(file: String) throws {
        let cases = try PublishedVectors.cases(of: "hashes/SHA2/" + file).filter { $0["MD"] != nil }
        #expect(cases.count >= 64)
        let digest = try SHA256()
        for vector in cases {
            let message = Array(bytes(vector["Msg"]).prefix(Int(vector["Len"]!)! / 8))
            let whole = digest.digest(message.rawSpan)
            #expect(whole.hexadecimal == vector["MD"])
            let half = message.count / 2
            let (first, second) = (Array(message[..<half]), Array(message[half...]))
            digest.update(first.rawSpan)
            digest.update(second.rawSpan)
            #expect(digest.finish().hexadecimal == vector["MD"])
        }
    }

    @Test("A digest of nothing is that of the empty message, first and later")
    func emptyMessage() throws {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        let digest = try SHA256()
        #expect(digest.finish().hexadecimal == empty)
        #expect(digest.finish().hexadecimal == empty)
        let some: [UInt8] = [1, 2, 3]
        digest.update(some.rawSpan)
        let nothing: [UInt8] = []
        let last = digest.digest(nothing.rawSpan)
        #expect(last.hexadecimal == empty)
    }

    @Test(
        "HMAC-SHA-256 gives the digests of RFC 4231, whole and in three parts",
        .enabled(if: PublishedVectors.isInstalled, "run Tests/setup to install the vectors"))
    func hmac() throws {
        let cases = try PublishedVectors.cases(of: "HMAC/rfc-4231-sha256.txt")
            .filter { $0["MD"] != nil }
        #expect(cases.count >= 6)
        for vector in cases {
            let message = bytes(vector["Msg"])
            let code = try HMACSHA256(key: secret(bytes(vector["Key"])), in: .make())
            for _ in 0..<2 {
                let whole = code.digest(message.rawSpan)
                #expect(whole.hexadecimal == vector["MD"])
            }
            let third = message.count / 3
            let first = Array(message[..<third])
            let second = Array(message[third..<2 * third])
            let rest = Array(message[(2 * third)...])
            let digest = code.digest(first.rawSpan, second.rawSpan, rest.rawSpan)
            #expect(digest.hexadecimal == vector["MD"])
        }
    }

    @Test("Another key, or a message one bit away, gives another HMAC")
    func hmacDiffers() throws {
        let message: [UInt8] = Array("sgk1 and some bytes".utf8)
        let code = try HMACSHA256(key: secret([1, 2, 3]))
        let other = try HMACSHA256(key: secret([1, 2, 4]))
        let digest = code.digest(message.rawSpan)
        let stranger = other.digest(message.rawSpan)
        #expect(!ConstantTime.equal(digest, stranger))
        for index in message.indices {
            var changed = message
            changed[index] ^= 1
            let changedDigest = code.digest(changed.rawSpan)
            #expect(!ConstantTime.equal(digest, changedDigest))
        }
        let again = code.digest(message.rawSpan)
        #expect(ConstantTime.equal(digest, again))
    }

    @Test(
        "HKDF gives the keys of RFC 5869",
        .enabled(if: PublishedVectors.isInstalled, "run Tests/setup to install the vectors"))
    func hkdf() throws {
        // A blank line may part a case's input from its output.
        let cases = try PublishedVectors.cases(of: "KDF/rfc-5869-HKDF-SHA256.txt")
            .reduce(into: [[String: String]]()) { cases, block in
                guard block["IKM"] == nil, let last = cases.popLast() else {
                    return cases.append(block)
                }
                cases.append(last.merging(block) { $1 })
            }
            .filter { $0["OKM"] != nil }
        #expect(cases.count == 3)
        for vector in cases {
            let (salt, information) = (bytes(vector["salt"]), bytes(vector["info"]))
            let key = try HKDF.sha256(
                secret(bytes(vector["IKM"])), salt: salt.rawSpan,
                information: information.rawSpan, count: Int(vector["L"]!)!)
            #expect(contents(key) == bytes(vector["OKM"]))
        }
    }

    @Test("CRC-32 gives the check value of its definition")
    func crc32() {
        let digits = Array("123456789".utf8)
        let check = CRC32.checksum(of: digits.rawSpan)
        #expect(check == 0xCBF4_3926)
        let empty: [UInt8] = []
        let none = CRC32.checksum(of: empty.rawSpan)
        #expect(none == 0)
    }

    @Test("CRC-32C gives the check value of its definition and of RFC 3720")
    func crc32Castagnoli() {
        let digits = Array("123456789".utf8)
        let check = CRC32.castagnoli.checksum(of: digits.rawSpan)
        #expect(check == 0xE306_9283)
        let zeros = [UInt8](repeating: 0, count: 32)
        let ofZeros = CRC32.castagnoli.checksum(of: zeros.rawSpan)
        #expect(ofZeros == 0x8A91_36AA)
    }

    @Test("Base64 for names gives the texts of RFC 4648, and each has one reading")
    func base64URL() {
        for (plain, text) in [
            ("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"),
            ("fooba", "Zm9vYmE"), ("foobar", "Zm9vYmFy"), ("\u{7F}??>", "fz8_Pg"),
        ] {
            let plain = Array(plain.utf8)
            let written = Base64URL.text(of: plain.rawSpan)
            #expect(written == text)
            #expect(Base64URL.bytes(of: text) == plain)
        }
        for text in ["Z", "Zg==", "Zh", "Zm9", "Zm9v\n", "Zm+v", "Zm/v", "Zm9vY"] {
            #expect(Base64URL.bytes(of: text) == nil)
        }
    }

    @Test("Hexadecimal digits have one reading")
    func hexadecimal() {
        #expect(Hexadecimal.bytes(of: "00ff7a") == [0, 0xFF, 0x7A])
        for text in ["0", "0g", "FF", " 0"] { #expect(Hexadecimal.bytes(of: text) == nil) }
    }

    @Test("A digest keeps its 32 bytes and takes no other number")
    func digest32() {
        let some = (0..<32).map { UInt8($0) }
        #expect(self.digest(some)?.bytes == some)
        #expect(self.digest(Array(some.dropLast())) == nil)
        #expect(self.digest(some + [0]) == nil)
    }

    @Test("Comparison sees every bit of every byte, and the length")
    func constantTime() throws {
        let some = (0..<32).map { UInt8($0) }
        let digest = try #require(self.digest(some))
        #expect(self.areEqual(some, some))
        #expect(ConstantTime.equal(digest, digest))
        #expect(!self.areEqual(some, Array(some.dropLast())))
        for index in some.indices {
            var changed = some
            changed[index] ^= 1 << UInt8(index % 8)
            let other = try #require(self.digest(changed))
            #expect(!self.areEqual(some, changed))
            #expect(!ConstantTime.equal(digest, other))
            #expect(self.contains([other, other, digest], digest))
            #expect(self.contains([digest, other], digest))
            #expect(!self.contains([other, other], digest))
        }
        #expect(!self.contains([], digest))
    }

    // #expect cannot take spans apart, so they are made here.

    private func digest(_ bytes: [UInt8]) -> Digest32? {
        Digest32(bytes: bytes.rawSpan)
    }

    private func areEqual(_ first: [UInt8], _ second: [UInt8]) -> Bool {
        ConstantTime.equal(first.rawSpan, second.rawSpan)
    }

    private func contains(_ digests: [Digest32], _ digest: Digest32) -> Bool {
        ConstantTime.contains(digests.span, digest)
    }
}
