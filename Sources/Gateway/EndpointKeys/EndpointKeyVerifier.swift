package import Cryptography
internal import State

/// What a request's `Authorization` field proves.
package enum EndpointKeyAnswer: Sendable, Equatable {
    /// A valid key of the endpoint.
    case granted(EndpointKeyID)
    /// No valid key of the endpoint; why is not said. The kid it claims, for limiting failures.
    case denied(EndpointKeyID)
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
    /// - Returns: Whether the request may pass; the two refusals have bodies of their own.
    package func verify(
        authorization: RawSpan, endpoint: Int, in table: borrowing EndpointKeyTable,
        nowMilliseconds now: Int64
    ) -> EndpointKeyAnswer {
        guard let start = Self.tokenStart(authorization) else { return .badHeader }
        let token = authorization.extracting(start..<authorization.byteCount)
        guard token.byteCount == EndpointKeyText.byteCount else {
            let decoy = self.decoy
            return self.check(
                decoy.rawSpan, mayBeValid: false, endpoint: endpoint, in: table, now: now)
        }
        return self.check(token, mayBeValid: true, endpoint: endpoint, in: table, now: now)
    }

    private func check(
        _ token: RawSpan, mayBeValid: Bool, endpoint: Int, in table: borrowing EndpointKeyTable,
        now: Int64
    ) -> EndpointKeyAnswer {
        let id = EndpointKeyID(token, at: EndpointKeyText.kid.lowerBound)
        let hasForm = EndpointKeyText.isValid(token)
        let entry = table.entry(id)
        let prefix = EndpointKeyText.digestPrefix
        self.digest.update(prefix.rawSpan)
        self.digest.update(token.extracting(EndpointKeyText.digested))
        let isRight = ConstantTime.equal(self.digest.finish(), entry?.digest ?? .zero)
        // Every claim is worked out before any decides; `&&` would stop at the first that fails.
        var claims = mayBeValid ? 1 : 0
        claims &= hasForm ? 1 : 0
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
        for index in 0..<6 where value.byte(at: index) | 0x20 != Self.scheme[index] { return nil }
        var start = 6
        while start < value.byteCount, value.byte(at: start) == UInt8(ascii: " ") { start += 1 }
        guard start > 6, start < value.byteCount else { return nil }
        for index in start..<value.byteCount {
            switch value.byte(at: index) {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
                UInt8(ascii: "_"), UInt8(ascii: "~"), UInt8(ascii: "+"), UInt8(ascii: "/"),
                UInt8(ascii: "="):
                continue
            default: return nil
            }
        }
        return start
    }

    private static let scheme = Array("bearer".utf8)
}
