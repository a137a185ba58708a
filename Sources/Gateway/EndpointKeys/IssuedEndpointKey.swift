package import Cryptography
package import State

/// A new endpoint key, with its text, which is kept nowhere.
package struct IssuedEndpointKey: ~Copyable {
    /// The key as its user writes it, 66 bytes of ASCII.
    package let text: SecretBytes
    /// What is kept of it.
    package let record: EndpointKeyRecord

    /// Makes a new random key.
    ///
    /// - Parameters:
    ///   - endpoint: The endpoint's name.
    ///   - slot: Which of its two keys.
    ///   - pepper: What keys are digested with, ``StateStore/pepper``.
    ///   - now: Milliseconds of Unix time; the key is valid from then on.
    ///   - lifetimeMilliseconds: How long it is valid; nil means until revoked.
    /// - Returns: The key, which nobody knows yet.
    /// - Throws: `.system` if there are no random bytes or no lockable memory.
    package static func make(
        endpoint: String, slot: EndpointKeySlot, pepper: borrowing SecretBytes,
        nowMilliseconds now: Int64, lifetimeMilliseconds: Int64?
    ) throws(CryptographyError) -> IssuedEndpointKey {
        let prefix = EndpointKeyText.digestPrefix
        let kid = try Self.digits(ofRandomBytes: 8, count: EndpointKeyText.kid.count)
        let secret = try Self.digits(
            ofRandomBytes: 32, count: EndpointKeyText.digested.count - EndpointKeyText.kid.count)
        let body = try SecretBytes(count: EndpointKeyText.checksum.lowerBound) { output in
            for byte in prefix { output.append(byte) }
            output.append(EndpointKeyText.letter(of: slot))
            output.append(UInt8(ascii: "_"))
            for index in 0..<kid.count { output.append(kid.bytes.byte(at: index)) }
            for index in 0..<secret.count { output.append(secret.bytes.byte(at: index)) }
        }
        var checksum = CRC32.checksum(of: body.bytes)
        var digits: [UInt8] = []
        for _ in EndpointKeyText.checksum {
            digits.insert(EndpointKeyText.digit(of: UInt8(checksum % 62)), at: 0)
            checksum /= 62
        }
        let text = try SecretBytes(count: EndpointKeyText.byteCount) { output in
            for index in 0..<body.count { output.append(body.bytes.byte(at: index)) }
            for digit in digits { output.append(digit) }
        }
        let hash = try HMACSHA256(key: pepper)
        hash.update(prefix.rawSpan)
        hash.update(body.bytes.extracting(EndpointKeyText.digested))
        let record = EndpointKeyRecord(
            kid: EndpointKeyID(body.bytes, at: EndpointKeyText.kid.lowerBound).description,
            endpoint: endpoint, slot: slot, digest: hash.finish(), createdMilliseconds: now,
            notBeforeMilliseconds: now,
            expiresMilliseconds: lifetimeMilliseconds.map { now + $0 })
        return IssuedEndpointKey(text: text, record: record)
    }

    /// A random number of `byteCount` bytes in base 62, `count` digits wide.
    private static func digits(
        ofRandomBytes byteCount: Int, count: Int
    ) throws(CryptographyError) -> SecretBytes {
        let number = try SystemRandom.secret(count: byteCount)
        // The quotients of dividing by 62 again and again stay in locked memory as well.
        var quotient = try SecretBytes(copying: number.bytes)
        var digits: [UInt8] = []
        digits.reserveCapacity(count)
        for _ in 0..<count {
            var remainder: UInt32 = 0
            quotient = try SecretBytes(count: byteCount) { output in
                for index in 0..<byteCount {
                    let value = remainder << 8 | UInt32(quotient.bytes.byte(at: index))
                    output.append(UInt8(value / 62))
                    remainder = value % 62
                }
            }
            digits.append(EndpointKeyText.digit(of: UInt8(remainder)))
        }
        defer { for index in digits.indices { digits[index] = 0 } }
        return try SecretBytes(count: count) { output in
            for index in 0..<count { output.append(digits[count - 1 - index]) }
        }
    }
}
