package import Cryptography
internal import State

/// What a request's `Authorization` field proves.
package enum EndpointKeyAnswer: Sendable, Equatable {
    /// A valid key of the endpoint.
    case granted(EndpointKeyID)
    /// No valid key of the endpoint; why is not said. The kid it claims, for limiting failures; nil
    /// if it has not the length of a key.
    case denied(EndpointKeyID?)
    /// Not `Bearer` and one token.
    case badHeader
}

/// Checks endpoint keys for one worker.
///
/// Every token costs the same work, whether the key is known, expired, of another endpoint, or
/// not of the right form: one checksum, one lookup, one digest, one comparison. Not Sendable: it
/// owns a digest context. Allocates nothing per request.
package final class EndpointKeyVerifier {
    private let digest: HMACSHA256
    /// Stands in for a token that has not the length of a key.
    private let decoy = [UInt8](repeating: UInt8(ascii: "0"), count: EndpointKeyText.byteCount)

    /// Sets up the digest under `pepper`, which is ``StateStore/pepper``.
    package init(
        pepper: borrowing SecretBytes, in library: LibraryContext = .standard
    ) throws(CryptographyError) {
        self.digest = try HMACSHA256(key: pepper, in: library)
    }

    /// Checks the one `Authorization` value of a request to the endpoint with number `endpoint`.
    ///
    /// - Parameters:
    ///   - authorization: The field's value without surrounding white space.
    ///   - endpoint: The number of the endpoint the request was routed to.
    ///   - table: The worker's present table.
    ///   - now: Milliseconds of Unix time.
    ///   - proven: What the request's connection proved before.
    /// - Returns: Whether the request may pass; the two refusals have bodies of their own.
    package func verify(
        authorization: RawSpan, endpoint: Int, in table: borrowing EndpointKeyTable,
        nowMilliseconds now: Int64, proven: ProvenToken
    ) -> EndpointKeyAnswer {
        if let digest = proven.digest(of: authorization) {
            let token = authorization.extracting(last: EndpointKeyText.byteCount)
            let id = EndpointKeyID(token, at: EndpointKeyText.kid.lowerBound)
            return Self.decide(
                id, table.entry(id), digest, mayBeValid: true, endpoint: endpoint, now: now)
        }
        guard let start = Self.tokenStart(authorization) else { return .badHeader }
        let token = authorization.extracting(start..<authorization.byteCount)
        guard token.byteCount == EndpointKeyText.byteCount else {
            // The same work, and no kid: else all such tokens would be slowed down together.
            let decoy = self.decoy
            _ = self.check(
                decoy.rawSpan, mayBeValid: false, endpoint: endpoint, in: table, now: now)
            return .denied(nil)
        }
        let (answer, digest) = self.check(
            token, mayBeValid: true, endpoint: endpoint, in: table, now: now)
        if case .granted = answer { proven.remember(authorization, digest: digest) }
        return answer
    }

    private func check(
        _ token: RawSpan, mayBeValid: Bool, endpoint: Int, in table: borrowing EndpointKeyTable,
        now: Int64
    ) -> (answer: EndpointKeyAnswer, digest: Digest32) {
        let id = EndpointKeyID(token, at: EndpointKeyText.kid.lowerBound)
        let hasForm = EndpointKeyText.isValid(token)
        let entry = table.entry(id)
        let prefix = EndpointKeyText.digestPrefix
        self.digest.update(prefix.rawSpan)
        self.digest.update(token.extracting(EndpointKeyText.digested))
        let digest = self.digest.finish()
        let answer = Self.decide(
            id, entry, digest, mayBeValid: mayBeValid && hasForm, endpoint: endpoint, now: now)
        return (answer, digest)
    }

    private static func decide(
        _ id: EndpointKeyID, _ entry: EndpointKeyTable.Entry?, _ digest: Digest32,
        mayBeValid: Bool, endpoint: Int, now: Int64
    ) -> EndpointKeyAnswer {
        let isRight = ConstantTime.equal(digest, entry?.digest ?? .zero)
        // Every claim is worked out before any decides; `&&` would stop at the first that fails.
        var claims = mayBeValid ? 1 : 0
        claims &= isRight ? 1 : 0
        claims &= (entry?.endpoint ?? -1) == endpoint ? 1 : 0
        claims &= (entry?.notBeforeMilliseconds ?? .max) <= now ? 1 : 0
        claims &= now < (entry?.expiresMilliseconds ?? 0) ? 1 : 0
        return claims == 1 ? .granted(id) : .denied(id)
    }

    /// Where the token begins; nil unless the value is `Bearer`, spaces and one token.
    ///
    /// The scheme's case does not count (RFC 9110, 11.1); a token is RFC 9110's token68.
    private static func tokenStart(_ value: RawSpan) -> Int? {
        guard value.byteCount > 7 else { return nil }
        let scheme: [6 of UInt8] = [0x62, 0x65, 0x61, 0x72, 0x65, 0x72]
        for index in 0..<6 where value.byte(at: index) | 0x20 != scheme[index] { return nil }
        var start = 6
        while start < value.byteCount, value.byte(at: start) == UInt8(ascii: " ") { start += 1 }
        guard start > 6, start < value.byteCount else { return nil }
        var isToken = true
        for index in start..<value.byteCount {
            let byte = value.byte(at: index)
            let half: UInt64 = byte & 0x40 == 0 ? 0x23ff_e800_0000_0000 : 0x47ff_fffe_87ff_fffe
            isToken = isToken && byte < 0x80 && (half &>> UInt64(byte & 0x3f)) & 1 != 0
        }
        return isToken ? start : nil
    }
}
