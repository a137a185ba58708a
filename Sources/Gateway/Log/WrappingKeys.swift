internal import KeyVault
internal import Synchronization

/// The vaults that the wrapping keys of a gateway's endpoints are in: the embedded one, and those of
/// customers.
final class WrappingKeys: Sendable {
    /// Has the keys of all endpoints that name none.
    let embedded: EmbeddedVault
    /// By how they are reached: each has one connection, one token and one circuit breaker.
    private let vaults = Mutex<[CustomerKeyConfiguration.Vault: AzureKeyVault]>([:])

    init(embedded: EmbeddedVault) { self.embedded = embedded }

    /// The key of an endpoint; asks nobody.
    ///
    /// - Throws: `.unusable` if a file that its vault is reached with is not right.
    func key(of endpoint: EndpointConfiguration) throws(KeyVaultError) -> EndpointWrappingKey {
        guard let key = endpoint.encryption.customerKey else {
            return EndpointWrappingKey(self.embedded, endpoint.name)
        }
        let vault: AzureKeyVault
        if let known = self.vaults.withLock({ $0[key.vault] }) {
            vault = known
        } else {
            vault = try AzureKeyVault(key.vault.address, key.vault.access)
            self.vaults.withLock { $0[key.vault] = vault }
        }
        return EndpointWrappingKey(
            vault, key.vaultName, former: .init(vault: self.embedded, name: endpoint.name))
    }

    /// Takes over certificates that were replaced, and lets go of vaults that no endpoint names any more.
    ///
    /// - Throws: `.unusable` if a file is not right; the present ones stay.
    func reload(_ endpoints: [EndpointConfiguration]) throws(KeyVaultError) {
        let named = Set(endpoints.compactMap { $0.encryption.customerKey?.vault })
        let vaults = self.vaults.withLock { vaults in
            vaults = vaults.filter { named.contains($0.key) }
            return Array(vaults.values)
        }
        for vault in vaults { try vault.reload() }
    }

    /// Those that tell of changes.
    var services: [AzureKeyVault] {
        self.vaults.withLock { $0.values.filter(\.isService) }
    }
}
