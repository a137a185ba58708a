import Testing

@testable import Cryptography

@Suite struct XAES256GCMTests {
    /// The two vectors of c2sp.org/XAES-256-GCM: without and with the reduction of the mask.
    static let vectors: [(key: UInt8, associatedData: String, sealed: String)] = [
        (0x01, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (
            0x03, "c2sp.org/XAES-256-GCM",
            "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"
        ),
    ]
    private let nonce = Array("ABCDEFGHIJKLMNOPQRSTUVWX".utf8)
    private let plaintext = Array("XAES-256-GCM".utf8)

    @Test("The cipher gives and opens the published vectors, also after a change of key")
    func publishedVectors() throws {
        let cipher = try XAES256GCM(key: secret([UInt8](repeating: 9, count: 32)))
        for vector in Self.vectors {
            try cipher.replaceKey(with: secret([UInt8](repeating: vector.key, count: 32)))
            let associatedData = Array(vector.associatedData.utf8)
            var sealed = [UInt8](repeating: 0xEE, count: 3 + 12 + 16 + 1)
            try cipher.seal(
                self.plaintext.rawSpan, nonce: self.nonce.rawSpan,
                associatedData: associatedData.rawSpan, into: &sealed, at: 3)
            #expect(sealed[..<3] == [0xEE, 0xEE, 0xEE] && sealed.last == 0xEE)
            #expect(Array(sealed[3..<31]) == bytes(vector.sealed))
            var opened: [UInt8] = []
            try cipher.open(
                bytes(vector.sealed).rawSpan, nonce: self.nonce.rawSpan,
                associatedData: associatedData.rawSpan, into: &opened)
            #expect(opened == self.plaintext)
        }
    }

    @Test("Any bit of ciphertext, tag, nonce, associated data or key matters, and each length")
    func tampering() throws {
        let key = try SystemRandom.secret(count: 32)
        let cipher = try XAES256GCM(key: key)
        let associatedData = Array("data".utf8)
        var sealed = [UInt8](repeating: 0, count: 12 + 16)
        try cipher.seal(
            self.plaintext.rawSpan, nonce: self.nonce.rawSpan,
            associatedData: associatedData.rawSpan, into: &sealed, at: 0)
        for bit in 0..<8 * sealed.count {
            self.expectRefusal(
                by: cipher, self.flipped(sealed, bit), self.nonce, associatedData)
        }
        for bit in 0..<8 * self.nonce.count {
            self.expectRefusal(
                by: cipher, sealed, self.flipped(self.nonce, bit), associatedData)
        }
        for bit in 0..<8 * associatedData.count {
            self.expectRefusal(
                by: cipher, sealed, self.nonce, self.flipped(associatedData, bit))
        }
        for count in 0..<sealed.count {
            self.expectRefusal(by: cipher, Array(sealed[..<count]), self.nonce, associatedData)
        }
        self.expectRefusal(
            by: try XAES256GCM(key: SystemRandom.secret(count: 32)), sealed, self.nonce,
            associatedData)
        var opened: [UInt8] = []
        try cipher.open(
            sealed.rawSpan, nonce: self.nonce.rawSpan, associatedData: associatedData.rawSpan,
            into: &opened)
        #expect(opened == self.plaintext)
    }

    @Test("A message of no bytes is a tag that opens and may not be changed")
    func emptyMessage() throws {
        let cipher = try XAES256GCM(key: SystemRandom.secret(count: 32))
        var tag = [UInt8](repeating: 0, count: 16)
        let none: [UInt8] = []
        try cipher.seal(
            none.rawSpan, nonce: self.nonce.rawSpan, associatedData: none.rawSpan, into: &tag,
            at: 0)
        var opened: [UInt8] = [1, 2, 3]
        try cipher.open(
            tag.rawSpan, nonce: self.nonce.rawSpan, associatedData: none.rawSpan, into: &opened)
        #expect(opened.isEmpty)
        for bit in 0..<8 * tag.count {
            self.expectRefusal(by: cipher, self.flipped(tag, bit), self.nonce, none)
        }
    }

    private func flipped(_ bytes: [UInt8], _ bit: Int) -> [UInt8] {
        var bytes = bytes
        bytes[bit / 8] ^= 1 << UInt8(bit % 8)
        return bytes
    }

    private func expectRefusal(
        by cipher: XAES256GCM, _ sealed: [UInt8], _ nonce: [UInt8], _ associatedData: [UInt8]
    ) {
        var opened: [UInt8] = [1]
        #expect(throws: CryptographyError.notAuthentic) {
            try cipher.open(
                sealed.rawSpan, nonce: nonce.rawSpan, associatedData: associatedData.rawSpan,
                into: &opened)
        }
        #expect(opened.isEmpty || sealed.count < 16)
    }
}
