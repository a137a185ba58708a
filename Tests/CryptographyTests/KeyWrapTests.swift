import Testing

@testable import Cryptography

@Suite struct KeyWrapTests {
    @Test(
        "AES key wrap gives and opens NIST's vectors, and refuses those that fail",
        .enabled(if: PublishedVectors.isInstalled, "run Tests/setup to install the vectors"),
        arguments: [
            ("KW_AE_256", AESKeyWrap.Form.unpadded), ("KW_AD_256", .unpadded),
            ("KWP_AE_256", .padded), ("KWP_AD_256", .padded),
        ])
    func publishedVectors(file: String, form: AESKeyWrap.Form) throws {
        let cases = try PublishedVectors.cases(of: "keywrap/kwtestvectors/\(file).txt")
            .filter { $0["COUNT"] != nil }
        #expect(cases.count == 500)
        #expect(file.contains("AE") || cases.contains { $0["FAIL"] != nil })
        for vector in cases {
            let wrap = try AESKeyWrap(key: secret(bytes(vector["K"])), form: form)
            let wrapped = bytes(vector["C"])
            if vector["FAIL"] != nil {
                #expect(throws: CryptographyError.notAuthentic) {
                    _ = try wrap.unwrap(wrapped.rawSpan)
                }
                continue
            }
            let opened = try wrap.unwrap(wrapped.rawSpan)
            #expect(contents(opened) == bytes(vector["P"]))
            let again = try wrap.wrap(secret(bytes(vector["P"])))
            #expect(again == wrapped)
        }
    }

    @Test("A key that is wrapped opens under its own key alone, unchanged in every bit and length")
    func tampering() throws {
        for form in [AESKeyWrap.Form.unpadded, .padded] {
            let wrap = try AESKeyWrap(key: SystemRandom.secret(count: 32), form: form)
            let stranger = try AESKeyWrap(key: SystemRandom.secret(count: 32), form: form)
            let wrapped = try wrap.wrap(SystemRandom.secret(count: 64))
            #expect(wrapped.count == 72)
            for bit in 0..<8 * wrapped.count {
                var changed = wrapped
                changed[bit / 8] ^= 1 << UInt8(bit % 8)
                #expect(throws: CryptographyError.notAuthentic) {
                    _ = try wrap.unwrap(changed.rawSpan)
                }
            }
            for count in 0..<wrapped.count {
                let cut = Array(wrapped[..<count])
                #expect(throws: CryptographyError.notAuthentic) {
                    _ = try wrap.unwrap(cut.rawSpan)
                }
            }
            #expect(throws: CryptographyError.notAuthentic) {
                _ = try stranger.unwrap(wrapped.rawSpan)
            }
        }
    }

    @Test("The form without padding takes 16 bytes or more in steps of 8", arguments: [8, 17, 20])
    func unpaddedLengths(count: Int) throws {
        let wrap = try AESKeyWrap(key: SystemRandom.secret(count: 32), form: .unpadded)
        #expect(throws: CryptographyError.self) {
            _ = try wrap.wrap(SystemRandom.secret(count: count))
        }
    }
}
