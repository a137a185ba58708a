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

    /// Issues a new certificate unless the present one is good for half of its life still, and leads to
    /// the trust root that signs among those there are.
    ///
    /// Its chain goes as far as the trust root: a service that joins has that root's digest only.
    ///
    /// - Parameter now: Milliseconds of Unix time.
    /// - Returns: Whether there is a new one.
    /// - Throws: ``StateError`` or ``KeyVaultError``.
    package func renewIfDue(now: Int64) throws -> Bool {
        if let present = try self.folder.certificate(), self.isGood(present, now: now / 1000),
            try self.hasPresentRoots()
        {
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

    /// Whether chain and trust roots in the folder are of the roots there are now: services that have got
    /// the new ones do not know the old any more, however long it would be valid.
    private func hasPresentRoots() throws(StateError) -> Bool {
        let roots = try self.authority.trustBundle().map(\.fingerprint.hexadecimal)
        return Self.fingerprints(in: self.folder.chain).last == roots.first
            && Self.fingerprints(in: self.folder.trustBundle) == roots
    }

    /// Of the certificates in a file; none if it cannot be read.
    private static func fingerprints(in path: String) -> [String] {
        let pem = try? WholeFile.read(path, maximum: Self.maximumBytes)
        let chain = pem.flatMap { try? Certificate.chain(pem: $0) }
        return (chain ?? []).map(\.fingerprint.hexadecimal)
    }

    private func isGood(_ present: Certificate, now: Int64) -> Bool {
        let half = (present.notAfter - present.notBefore) / 2
        return present.uriNames == [self.identity.text] && present.dnsNames == self.dnsNames
            && present.ipAddresses == self.ipAddresses && present.notBefore <= now
            && now < present.notBefore + half
    }

    /// 64 KiB: a chain has three certificates of 1 KiB, a bundle a few.
    private static let maximumBytes = 65_536
}
