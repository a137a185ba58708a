internal import Cryptography
package import KeyVault
package import ServiceConfiguration
package import State

/// What identities a vault issues, and where services join.
package struct IdentitiesConfiguration: Sendable, Equatable {
    /// The listener with server authentication only; nil if nobody can join.
    package var joinAddress: ListenAddress?
    /// What services are told to use, `https://` and without a path.
    package var joinURL: String?
    /// DNS names in the vault's own certificate.
    package var dnsNames: [String] = []
    /// How long certificates are valid, in seconds.
    package var leafSeconds: Int64 = 3600
    /// How long after its end a certificate is good for another, in seconds.
    package var rejoinSeconds: Int64 = 7 * 86_400
    /// The folder of the vault's own identity, where it issues that itself.
    package var ownFolder: String?
}

extension VaultConfiguration {
    /// Who issues identities from the state of this vault, which is open as its `token` is, if it has
    /// one; `actor` makes changes, for the audit.
    package func authority(
        _ store: StateStore, token: Token?, actor: String
    ) -> IdentityAuthority {
        IdentityAuthority(
            store: store, rootKeyPath: self.rootKeyFile, token: token,
            trustDomain: self.spiffeID.trustDomain, leafSeconds: self.identities.leafSeconds,
            actor: actor)
    }

    /// Opens the token, if one is configured; `store` is the state, open.
    ///
    /// Nothing is made where the state says that the key which seals it was there before: another in
    /// its place would hide that it is lost.
    ///
    /// - Throws: ``StartError``.
    package func openToken(_ store: StateStore) throws(StartError) -> Token? {
        let isNeeded: Bool
        do throws(StateError) {
            isNeeded = try store.needsToken()
        } catch {
            throw .environment("the vault cannot be opened: \(error)")
        }
        guard let token else {
            guard !isNeeded else {
                throw .configuration(
                    "keys of this state are in a PKCS#11 token, or sealed under it: \"pkcs11\" is missing"
                )
            }
            return nil
        }
        do throws(TokenError) {
            return try Token(token, mayMakeKey: !isNeeded)
        } catch {
            throw .environment("\(error)")
        }
    }

    /// Where services join and renew; nil if they cannot.
    package var location: VaultLocation? {
        guard let joinURL = self.identities.joinURL else { return nil }
        return VaultLocation(
            joinURL: joinURL, vaultURL: self.publicURL, vaultIdentity: self.spiffeID)
    }

    /// The vault's own identity; nil where somebody else keeps its files.
    func ownIdentity(_ authority: IdentityAuthority) -> OwnIdentity? {
        guard let folder = self.identities.ownFolder else { return nil }
        let listeners = self.listeners + [self.identities.joinAddress].compactMap { $0 }
        let addresses = listeners.compactMap { address -> String? in
            guard case .ip(let ip, _) = address, address.isOneAddress else { return nil }
            return ip.description
        }
        return OwnIdentity(
            authority: authority, identity: self.spiffeID, dnsNames: self.identities.dnsNames,
            ipAddresses: Array(Set(addresses)).sorted(), folder: IdentityFolder(path: folder))
    }
}
