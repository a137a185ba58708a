import Testing

@testable import Cryptography

@Suite struct AES256GCMTests {
    @Test(
        "The cipher seals and opens NIST's vectors, and refuses those that fail",
        .enabled(if: PublishedVectors.isInstalled, "run Tests/setup to install the vectors"))
    func publishedVectors() throws {
        // Of each combination of lengths, the ones with our nonce and tag, and something to seal.
        let cases = try PublishedVectors.cases(of: "ciphers/AES/GCM/gcmDecrypt256.rsp").filter {
            $0["IVlen"] == "96" && $0["Taglen"] == "128" && $0["PTlen"] != "0" && $0["CT"] != nil
        }
        #expect(cases.count > 100)
        #expect(cases.contains { $0["FAIL"] != nil })
        for vector in cases {
            let cipher = try AES256GCM(key: secret(bytes(vector["Key"])))
            let associatedData = bytes(vector["AAD"])
            let sealed = bytes(vector["IV"]) + bytes(vector["CT"]) + bytes(vector["Tag"])
            if vector["FAIL"] != nil {
                #expect(throws: CryptographyError.notAuthentic) {
                    _ = try cipher.open(sealed.rawSpan, associatedData: associatedData.rawSpan)
                }
                continue
            }
            let opened = try cipher.open(sealed.rawSpan, associatedData: associatedData.rawSpan)
            #expect(contents(opened) == bytes(vector["PT"]))
            let again = try cipher.seal(
                secret(bytes(vector["PT"])), associatedData: associatedData.rawSpan,
                nonce: bytes(vector["IV"]))
            #expect(again == sealed)
        }
    }

    @Test("Sealed bytes open under the same key and associated data, each time sealed anew")
    func roundTrip() throws {
        let cipher = try AES256GCM(key: SystemRandom.secret(count: 32))
        let pepper = try SystemRandom.secret(count: 32)
        let first = try cipher.seal(pepper, associatedData: Array("pepper 1".utf8).rawSpan)
        let second = try cipher.seal(pepper, associatedData: Array("pepper 1".utf8).rawSpan)
        #expect(first.count == 32 + AES256GCM.overheadBytes)
        #expect(first != second)
        let opened = try cipher.open(first.rawSpan, associatedData: Array("pepper 1".utf8).rawSpan)
        #expect(contents(opened) == contents(pepper))
    }

    @Test("A flipped bit, a cut, other associated data or another key: not authentic")
    func tampering() throws {
        let key = try SystemRandom.secret(count: 32)
        let cipher = try AES256GCM(key: key)
        let name = Array("pepper 1".utf8)
        let sealed = try cipher.seal(
            secret(Array("some secret".utf8)), associatedData: name.rawSpan)
        for index in sealed.indices {
            var changed = sealed
            changed[index] ^= 1 << UInt8(index % 8)
            self.expectRefusal(of: changed, name, by: cipher)
        }
        for count in 0..<sealed.count {
            self.expectRefusal(of: Array(sealed[..<count]), name, by: cipher)
            self.expectRefusal(of: Array(sealed[(sealed.count - count)...]), name, by: cipher)
        }
        self.expectRefusal(of: sealed + [0], name, by: cipher)
        self.expectRefusal(of: sealed, Array("pepper 2".utf8), by: cipher)
        self.expectRefusal(of: sealed, [], by: cipher)
        self.expectRefusal(
            of: sealed, name, by: try AES256GCM(key: SystemRandom.secret(count: 32)))
        let opened = try cipher.open(sealed.rawSpan, associatedData: name.rawSpan)
        #expect(contents(opened) == Array("some secret".utf8))
    }

    @Test("A key of another length is refused", arguments: [1, 16, 31, 33])
    func keyLength(count: Int) {
        #expect(throws: CryptographyError.self) {
            _ = try AES256GCM(key: SystemRandom.secret(count: count))
        }
    }

    private func expectRefusal(of sealed: [UInt8], _ name: [UInt8], by cipher: AES256GCM) {
        #expect(throws: CryptographyError.notAuthentic) {
            _ = try cipher.open(sealed.rawSpan, associatedData: name.rawSpan)
        }
    }
}
