internal import Cryptography
internal import KeyVault
internal import ServiceConfiguration

/// Where a service gets its identity from, if not from files that somebody else keeps.
package struct VaultIdentityConfiguration: Sendable, Equatable {
    /// The folder the identity is kept in, by absolute path.
    package var directory: String
    /// The file of the join token, by absolute path; needed for the first certificate only.
    package var tokenFile: String?
}

/// A service's identity, and where it comes from.
struct ReadIdentity {
    let configuration: IdentityConfiguration
    let vault: VaultIdentityConfiguration?
    /// The certificate there is; nil for a service that has not joined yet.
    let leaf: Certificate?
    /// Where ``leaf`` is named; nil if the vault issues it.
    var place: ConfigurationCursor?
}

extension ConfigurationReader {
    /// Reads `identity`: three files, or a vault and the folder for what it issues.
    func identity(_ place: ConfigurationCursor) -> ReadIdentity? {
        let keys = ["chain", "key", "trust_roots", "vault", "directory"]
        guard let identity = place.mapping(keys: keys) else { return nil }
        guard let vault = identity["vault"] else {
            return self.files.identity(place).map { configuration in
                ReadIdentity(
                    configuration: configuration, vault: nil,
                    leaf: Self.leaf(of: configuration.certificate.chain),
                    place: identity["chain"])
            }
        }
        for key in ["chain", "key", "trust_roots"] {
            identity[key]?.report("the vault issues this: leave out either \"\(key)\" or \"vault\"")
        }
        let directory = identity.required("directory").flatMap(self.files.path)
        var tokenFile: String?
        if let vault = vault.mapping(keys: ["token"]), let token = vault["token"] {
            tokenFile = token.mapping(keys: ["file"])?.required("file").flatMap(self.files.path)
        }
        guard let directory else { return nil }
        // Its files are not checked: what is missing or has expired is asked for at the start.
        let folder = IdentityFolder(path: directory)
        return ReadIdentity(
            configuration: IdentityConfiguration(
                certificate: CertificateFiles(chain: folder.chain, key: folder.key),
                trustRoots: folder.trustBundle),
            vault: VaultIdentityConfiguration(directory: directory, tokenFile: tokenFile),
            leaf: Self.leaf(of: folder.chain))
    }

    /// Reports a certificate that those who are shown it cannot accept.
    ///
    /// Agents, the vault and an admin listener let in identities only, and `scoregate health` the one that
    /// is configured. Other servers may go by anything else in a certificate.
    func check(
        _ identity: ReadIdentity, of id: SPIFFEID, isNamed: Bool, needsIdentity: Bool
    ) {
        guard let leaf = identity.leaf, let place = identity.place, isNamed || needsIdentity else {
            return
        }
        self.files.checkIdentity(
            leaf, in: identity.configuration.certificate.chain, of: id, isNamed: isNamed, at: place)
    }

    private static func leaf(of chain: String) -> Certificate? {
        guard
            let pem = try? WholeFile.read(chain, maximum: ConfigurationFiles.maximumFileBytes)
        else { return nil }
        return try? Certificate.chain(pem: pem).first
    }
}
