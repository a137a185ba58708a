package import KeyVault

/// A customer's wrapping key: the vault it is in, and what it is called there.
package struct CustomerKeyConfiguration: Sendable, Equatable {
    /// A vault, and who we are to it.
    package struct Vault: Sendable, Hashable {
        /// Where it is.
        package var address: VaultAddress
        /// How it is reached.
        package var access: VaultAccess
    }

    /// Where the key is.
    package var vault: Vault
    /// The key's name there.
    package var name: String
    /// The version that is used; nil for the newest one there is.
    package var version: String?

    /// As the vault's client takes it.
    package var vaultName: String { self.version.map { "\(self.name)/\($0)" } ?? self.name }

    /// The key's URL, with the version if it is to stay at one.
    package var url: String { "\(self.vault.address)/keys/\(self.vaultName)" }
}
