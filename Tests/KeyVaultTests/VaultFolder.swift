import Cryptography
import Foundation
import State

@testable import KeyVault

/// A state with its root key and its embedded vault, in a temporary folder that is removed at the end.
final class VaultFolder {
    let path = NSTemporaryDirectory() + "scoregate-vault-\(UUID().uuidString)"
    let store: StateStore
    let vault: EmbeddedVault

    var rootKeyPath: String { "\(self.path)/root.key" }
    var statePath: String { "\(self.path)/state" }

    init() throws {
        try FileManager.default.createDirectory(
            atPath: self.path, withIntermediateDirectories: true)
        let rootKeyPath = "\(self.path)/root.key"
        _ = try RootKey.create(path: rootKeyPath)
        self.store = try StateStore(folder: "\(self.path)/state", rootKeyPath: rootKeyPath)
        self.vault = EmbeddedVault(store: self.store, rootKeyPath: rootKeyPath, actor: "test")
    }

    /// The same state as another process has it.
    func reopen() throws -> (store: StateStore, vault: EmbeddedVault) {
        let store = try StateStore(folder: self.statePath, rootKeyPath: self.rootKeyPath)
        return (store, EmbeddedVault(store: store, rootKeyPath: self.rootKeyPath, actor: "test"))
    }

    func rotate(_ endpoint: String) throws -> WrappingKeyChange {
        try self.store.rotateWrappingKey(
            endpoint: endpoint, rootKey: RootKey.read(path: self.rootKeyPath), now: 2000,
            actor: "test")
    }

    func set(_ endpoint: String, isEnabled: Bool) throws -> WrappingKeyChange {
        try self.store.setWrappingKey(
            endpoint: endpoint, isEnabled: isEnabled, now: 3000, actor: "test")
    }

    func destroy(_ endpoint: String) throws -> WrappingKeyChange {
        try self.store.destroyWrappingKey(endpoint: endpoint, now: 4000, actor: "test")
    }

    /// All bytes of the state's files.
    func stateBytes() throws -> Data {
        try FileManager.default.contentsOfDirectory(atPath: self.statePath).reduce(into: Data()) {
            $0 += try Data(contentsOf: URL(fileURLWithPath: "\(self.statePath)/\($1)"))
        }
    }

    deinit {
        try? FileManager.default.removeItem(atPath: self.path)
    }
}

/// The bytes of a secret, for comparing.
func bytes(_ secret: borrowing SecretBytes) -> [UInt8] {
    (0..<secret.count).map { secret.bytes.byte(at: $0) }
}
