package import Cryptography
package import State

/// The vault inside the state: a wrapping key for each endpoint, with versions, sealed under the root
/// key.
///
/// The root key is read anew for each operation, so that it is in memory no longer than that and a
/// replaced one is taken over at once. Calls block on the disk. Whoever can read state and root key
/// can unwrap: this vault has no host that may only wrap.
package final class EmbeddedVault: WrappingKeyVault {
    /// As the key ring has it.
    package static let providerName = "embedded"
    package var provider: String { Self.providerName }
    /// Whoever has state and root key has every right.
    package var unwrapsWhatItWraps: Bool { true }

    private let store: StateStore
    private let rootKeyPath: String
    private let actor: String

    /// Works on `store`, which was opened with the root key in the file at `rootKeyPath`.
    ///
    /// - Parameters:
    ///   - store: The state, open.
    ///   - rootKeyPath: The root key's file.
    ///   - actor: Who makes changes, for the audit, for instance `gateway`.
    package init(store: StateStore, rootKeyPath: String, actor: String) {
        self.store = store
        self.rootKeyPath = rootKeyPath
        self.actor = actor
    }

    /// The newest version of an endpoint's key; the first is made where there was never one.
    package func current(_ endpoint: String) throws(KeyVaultError) -> WrappingKey {
        let newest = try self.asking { () throws(StateError) -> WrappingKeyRecord? in
            if let newest = try self.store.wrappingKeys(of: endpoint).first { return newest }
            _ = try self.withRootKey { rootKey throws(StateError) in
                try self.store.makeFirstWrappingKey(
                    endpoint: endpoint, rootKey: rootKey, now: UnixTime.milliseconds,
                    actor: self.actor)
            }
            // Another process may have been faster: what counts is what is there.
            return try self.store.wrappingKeys(of: endpoint).first
        }
        guard let newest else { throw .revoked(.deleted) }
        guard newest.vaultState == .active else { throw .revoked(newest.vaultState) }
        return WrappingKey(newest)
    }

    package func state(
        of id: String, _ endpoint: String
    ) throws(KeyVaultError) -> WrappingKeyState {
        let versions = try self.asking { () throws(StateError) in
            try self.store.wrappingKeys(of: endpoint)
        }
        return try self.version(id, among: versions)?.vaultState ?? .deleted
    }

    package func wrap(
        _ secret: borrowing SecretBytes, under key: WrappingKey, _ endpoint: String
    ) throws(KeyVaultError) -> [UInt8] {
        let wrapping = try self.open(key.id, key.algorithm, endpoint)
        do throws(CryptographyError) {
            return try wrapping.wrap(secret)
        } catch {
            throw .cryptography(error)
        }
    }

    package func unwrap(
        _ wrapped: [UInt8], under id: String, _ algorithm: WrappingAlgorithm, _ endpoint: String
    ) throws(KeyVaultError) -> SecretBytes {
        let wrapping = try self.open(id, algorithm, endpoint)
        do throws(CryptographyError) {
            return try wrapping.unwrap(wrapped.rawSpan)
        } catch .notAuthentic {
            throw .notAuthentic
        } catch {
            throw .cryptography(error)
        }
    }

    /// Sets up one version for use.
    private func open(
        _ id: String, _ algorithm: WrappingAlgorithm, _ endpoint: String
    ) throws(KeyVaultError) -> AESKeyWrap {
        guard algorithm == .a256KW else { throw .notAuthentic }
        let versions = try self.asking { () throws(StateError) in
            try self.store.wrappingKeys(of: endpoint)
        }
        guard let record = try self.version(id, among: versions) else { throw .revoked(.deleted) }
        guard record.vaultState == .active else { throw .revoked(record.vaultState) }
        let key = try self.asking { () throws(StateError) -> SecretBytes? in
            try self.withRootKey { rootKey throws(StateError) in
                try self.store.openWrappingKey(record, rootKey: rootKey)
            }
        }
        // Destroyed since its record was read.
        guard let key else { throw .revoked(.deleted) }
        do throws(CryptographyError) {
            return try AESKeyWrap(key: key, form: .unpadded)
        } catch {
            throw .cryptography(error)
        }
    }

    /// Gives `body` the root key; another time if it was replaced meanwhile.
    private func withRootKey<Value: ~Copyable>(
        _ body: (borrowing SecretBytes) throws(StateError) -> Value
    ) throws(StateError) -> Value {
        do throws(StateError) {
            return try body(RootKey.read(path: self.rootKeyPath))
        } catch .wrongRootKey {
            // Between the two steps of a replacement the next one is right, and after them the file's.
            guard let next = try RootKey.readNext(path: self.rootKeyPath) else {
                return try body(RootKey.read(path: self.rootKeyPath))
            }
            return try body(next)
        }
    }

    /// The version with that id; nil if the endpoint's key has none of that number.
    private func version(
        _ id: String, among versions: [WrappingKeyRecord]
    ) throws(KeyVaultError) -> WrappingKeyRecord? {
        if let record = versions.first(where: { $0.vaultID == id }) { return record }
        guard let keyID = versions.first?.vaultKeyID, id.hasPrefix(keyID + "/") else {
            throw .foreignKey(id: id)
        }
        return nil
    }

    private func asking<Value: ~Copyable>(
        _ body: () throws(StateError) -> Value
    ) throws(KeyVaultError) -> Value {
        do throws(StateError) {
            return try body()
        } catch .cryptography(let error) {
            throw .cryptography(error)
        } catch .database(let operation, let reason) {
            throw .unavailable(reason: "\(operation) failed: \(reason)")
        } catch {
            throw .unusable(reason: error.description)
        }
    }
}

extension WrappingKeyRecord {
    /// Which version of which key, as the key ring has it.
    package var vaultID: String { "\(self.vaultKeyID)/\(self.version)" }

    /// Which key, in the same form.
    var vaultKeyID: String {
        "\(EmbeddedVault.providerName):\(Hexadecimal.text(of: self.keyID.rawSpan))"
    }

    /// What state it is in.
    package var vaultState: WrappingKeyState {
        if self.isDestroyed { return .deleted }
        return self.isEnabled ? .active : .disabled
    }
}

extension WrappingKey {
    /// The version as its users see it.
    package init(_ record: WrappingKeyRecord) {
        self.init(
            id: record.vaultID, version: "\(record.version)", algorithm: .a256KW,
            createdMilliseconds: record.createdMilliseconds)
    }
}
