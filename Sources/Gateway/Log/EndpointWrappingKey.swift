internal import Cryptography
internal import KeyVault
internal import SealedLog

/// The wrapping key of one endpoint: in which vault it is, and what it is called there.
struct EndpointWrappingKey: Sendable {
    let vault: any WrappingKeyVault
    /// As the vault takes it; for the embedded one the endpoint's name.
    let name: String
    /// Whether the vault is beyond a network.
    var isRemote: Bool { self.former != nil }
    /// The embedded vault's key of the endpoint, from before it named one of its customer's; nil where that
    /// is the key.
    let former: Former?

    struct Former: Sendable {
        let vault: EmbeddedVault
        let name: String
    }

    /// The key `name` of `vault`; with `former` it is a customer's.
    init(_ vault: any WrappingKeyVault, _ name: String, former: Former? = nil) {
        self.vault = vault
        self.name = name
        self.former = former
    }

    func current() async throws(KeyVaultError) -> WrappingKey {
        try await self.vault.current(self.name)
    }

    func state(of id: String) async throws(KeyVaultError) -> WrappingKeyState {
        try await self.vault.state(of: id, self.name)
    }

    /// Unwraps what an entry of the key ring has, under this key or the one from before.
    ///
    /// - Throws: `.foreignKey` before anybody is asked, if it is under neither.
    func unwrap(_ entry: KeyRingEntry) async throws(KeyVaultError) -> SecretBytes {
        guard let algorithm = WrappingAlgorithm(rawValue: entry.algorithm.rawValue) else {
            throw .foreignKey(id: entry.wrappingKey)
        }
        if entry.provider == self.vault.provider {
            return try await self.vault.unwrap(
                entry.wrapped, under: entry.wrappingKey, algorithm, self.name)
        }
        guard let former, entry.provider == former.vault.provider else {
            throw .foreignKey(id: entry.wrappingKey)
        }
        return try former.vault.unwrap(
            entry.wrapped, under: entry.wrappingKey, algorithm, former.name)
    }

    /// Wraps what entries of the key ring have under `key`.
    ///
    /// In the vault where it can, which then shows no log key to this process.
    ///
    /// - Returns: The new forms in the order of the entries, or why one stays as it is.
    /// - Throws: What ends all of it: the vault does not answer, or we have no right.
    func rewrap(
        _ entries: [KeyRingEntry], under key: WrappingKey
    ) async throws(KeyVaultError) -> [Result<[UInt8], KeyVaultError>] {
        guard !entries.isEmpty else { return [] }
        let own = entries.compactMap { entry -> WrappedSecret? in
            guard entry.provider == self.vault.provider,
                let algorithm = WrappingAlgorithm(rawValue: entry.algorithm.rawValue)
            else { return nil }
            return WrappedSecret(wrapped: entry.wrapped, under: entry.wrappingKey, algorithm)
        }
        if own.count == entries.count,
            let results = try await self.vault.rewrap(own, to: key, self.name)
        {
            return results
        }
        var results: [Result<[UInt8], KeyVaultError>] = []
        for entry in entries {
            do throws(KeyVaultError) {
                results.append(.success(try await self.rewrap(entry, under: key)))
            } catch {
                // No right to one is none to the others either.
                guard !error.isTransient, error != .revoked(.forbidden) else { throw error }
                results.append(.failure(error))
            }
        }
        return results
    }

    private func rewrap(
        _ entry: KeyRingEntry, under key: WrappingKey
    ) async throws(KeyVaultError) -> [UInt8] {
        let secret = try await self.unwrap(entry)
        do throws(SealedLogError) {
            // Proves that these 64 bytes were wrapped for this entry.
            _ = try LogKey(unwrapped: secret, of: entry)
        } catch {
            throw .notAuthentic
        }
        return try await self.vault.wrap(secret, under: key, self.name)
    }
}
