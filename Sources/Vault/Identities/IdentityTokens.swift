package import Cryptography
package import KeyVault
package import State

/// Makes join tokens.
package enum IdentityTokens {
    /// Makes a token for `identity` and keeps its digest.
    ///
    /// - Parameters:
    ///   - identity: The one it is good for; of the authority's trust domain, and no vault's, whose
    ///     identity comes from its root key.
    ///   - dnsNames: The names granted with it.
    ///   - vault: Where it is to be used.
    ///   - authority: Whose roots the requester is told to expect.
    ///   - store: The authority's state.
    ///   - now: Milliseconds of Unix time.
    ///   - actor: Who makes it, for the audit.
    /// - Returns: The token, which is nowhere else.
    /// - Throws: `.cryptography` if the identity is another domain's or a vault's, or a name is none.
    package static func make(
        _ identity: SPIFFEID, dnsNames: [String], vault: VaultLocation,
        authority: IdentityAuthority, store: StateStore, now: Int64, actor: String
    ) throws(StateError) -> JoinToken {
        guard identity.trustDomain == authority.trustDomain, identity.kind != .vault else {
            throw .cryptography(
                .malformed(
                    "\(identity.text) gets no token: it must be of \(authority.trustDomain), and a "
                        + "vault makes its own identity"))
        }
        // What could not be issued later is refused now.
        let signer = try authority.signer(now: now)
        let token: JoinToken
        let roots = try authority.trustBundle()
        do throws(CryptographyError) {
            let key = try PrivateKey.generate(.ecdsaP256)
            let request = try CertificateRequest(der: CertificateRequest.make(for: key))
            _ = try signer.certify(identity, dnsNames: dnsNames, for: request, now: now)
            token = try JoinToken.make(identity: identity, trustRoots: roots, vault: vault)
        } catch {
            throw .cryptography(error)
        }
        guard let digest = token.digest else {
            preconditionFailure("a token that was just made has a digest")
        }
        try store.insertJoinToken(
            JoinTokenRecord(
                digest: digest, identity: identity, dnsNames: dnsNames, createdMilliseconds: now,
                expiresMilliseconds: now + self.lifeMilliseconds), actor: actor)
        return token
    }

    /// One hour.
    private static let lifeMilliseconds: Int64 = 3_600_000
}
