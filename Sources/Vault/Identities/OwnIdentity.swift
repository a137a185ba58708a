package import Cryptography
package import KeyVault
internal import State

/// The vault's own identity, which it issues to itself: it needs no join.
package struct OwnIdentity: Sendable {
    private let authority: IdentityAuthority
    private let identity: SPIFFEID
    private let dnsNames: [String]
    private let ipAddresses: [String]
    /// Where it is kept.
    package let folder: IdentityFolder

    /// The identity of the vault that issues by `authority`.
    ///
    /// - Parameters:
    ///   - authority: Who issues.
    ///   - identity: The vault's SPIFFE ID.
    ///   - dnsNames: Names by which clients outside the trust domain know it.
    ///   - ipAddresses: The same for addresses.
    ///   - folder: Where it is kept.
    package init(
        authority: IdentityAuthority, identity: SPIFFEID, dnsNames: [String],
        ipAddresses: [String], folder: IdentityFolder
    ) {
        self.authority = authority
        self.identity = identity
        self.dnsNames = dnsNames
        self.ipAddresses = ipAddresses
        self.folder = folder
    }

    /// Issues a new certificate unless the present one is good for half of its life still.
    ///
    /// Its chain goes as far as the trust root: a service that joins has that root's digest only.
    ///
    /// - Parameter now: Milliseconds of Unix time.
    /// - Returns: Whether there is a new one.
    /// - Throws: ``StateError`` or ``KeyVaultError``.
    package func renewIfDue(now: Int64) throws -> Bool {
        if let present = try self.folder.certificate(), self.isGood(present, now: now / 1000) {
            return false
        }
        let signer = try self.authority.signer(now: now)
        let pending = try self.folder.pending()
        let issued = try signer.issue(
            self.identity, dnsNames: self.dnsNames, ipAddresses: self.ipAddresses,
            for: CertificateRequest(der: pending.request), now: now)
        let bundle = try self.authority.trustBundle().map(\.pem).joined()
        _ = try self.folder.adopt(
            IdentityAnswer(chain: issued.chain + signer.root.pem, trustBundle: bundle),
            for: pending, identity: self.identity, vault: nil)
        return true
    }

    private func isGood(_ present: Certificate, now: Int64) -> Bool {
        let half = (present.notAfter - present.notBefore) / 2
        return present.uriNames == [self.identity.text] && present.dnsNames == self.dnsNames
            && present.ipAddresses == self.ipAddresses && present.notBefore <= now
            && now < present.notBefore + half
    }
}
