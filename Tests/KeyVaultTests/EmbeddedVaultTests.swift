import Cryptography
import Foundation
import GRDB
import Testing

@testable import KeyVault
@testable import State

@Suite struct EmbeddedVaultTests {
    @Test("the first use makes a key whose id names no endpoint; what it wraps it unwraps")
    func firstUse() async throws {
        let folder = try VaultFolder()
        let vault: any WrappingKeyVault = folder.vault
        let key = try await vault.current("iris")
        #expect(key.version == "1" && key.algorithm == .a256KW)
        #expect(key.id.wholeMatch(of: /embedded:[0-9a-f]{32}\/1/) != nil)
        #expect(try await vault.current("iris") == key)
        let secret = try SystemRandom.secret(count: 64)
        let wrapped = try await vault.wrap(secret, under: key, "iris")
        #expect(wrapped.count == 72)
        // Another process, after a restart.
        let reader = try folder.reopen().vault
        let unwrapped = try reader.unwrap(wrapped, under: key.id, key.algorithm, "iris")
        #expect(bytes(unwrapped) == bytes(secret))
        #expect(try await vault.state(of: key.id, "iris") == .active)
    }

    @Test("a rotation makes the version that wraps from then on; older ones still unwrap")
    func rotation() throws {
        let folder = try VaultFolder()
        let first = try folder.vault.current("iris")
        let secret = try SystemRandom.secret(count: 64)
        let wrapped = try folder.vault.wrap(secret, under: first, "iris")
        let change = try folder.rotate("iris")
        let second = try folder.vault.current("iris")
        #expect(second.version == "2" && change.keys.map(\.vaultID) == [second.id])
        #expect(second.id.dropLast() == first.id.dropLast())
        #expect(try folder.vault.wrap(secret, under: second, "iris") != wrapped)
        let unwrapped = try folder.vault.unwrap(wrapped, under: first.id, .a256KW, "iris")
        #expect(bytes(unwrapped) == bytes(secret))
        #expect(throws: KeyVaultError.notAuthentic) {
            _ = try folder.vault.unwrap(wrapped, under: second.id, .a256KW, "iris")
        }
    }

    @Test("a disabled key is refused everywhere until it is enabled, and is not rotated meanwhile")
    func disable() throws {
        let folder = try VaultFolder()
        let key = try folder.vault.current("iris")
        let other = try folder.vault.current("wine")
        let secret = try SystemRandom.secret(count: 64)
        let wrapped = try folder.vault.wrap(secret, under: key, "iris")
        let change = try folder.set("iris", isEnabled: false)
        #expect(change.keys.count == 1)
        let again = try folder.set("iris", isEnabled: false)
        #expect(again.keys.isEmpty && again.generation == change.generation)
        #expect(throws: KeyVaultError.revoked(.disabled)) { try folder.vault.current("iris") }
        #expect(throws: KeyVaultError.revoked(.disabled)) {
            _ = try folder.vault.unwrap(wrapped, under: key.id, .a256KW, "iris")
        }
        #expect(throws: KeyVaultError.revoked(.disabled)) {
            try folder.vault.wrap(secret, under: key, "iris")
        }
        #expect(try folder.vault.state(of: key.id, "iris") == .disabled)
        #expect(try folder.vault.state(of: other.id, "wine") == .active)
        #expect(throws: StateError.self) { try folder.rotate("iris") }
        _ = try folder.set("iris", isEnabled: true)
        #expect(try folder.vault.current("iris") == key)
        let unwrapped = try folder.vault.unwrap(wrapped, under: key.id, .a256KW, "iris")
        #expect(bytes(unwrapped) == bytes(secret))
    }

    @Test("of a destroyed key nothing is left on disk, and a rotation begins anew under its id")
    func destroy() throws {
        let folder = try VaultFolder()
        let key = try folder.vault.current("iris")
        let sealed = try self.sealed(in: folder)
        #expect(try folder.stateBytes().range(of: Data(sealed)) != nil)
        #expect(try folder.destroy("iris").keys.map(\.version) == [1])
        #expect(try folder.destroy("iris").keys.isEmpty)
        #expect(try folder.store.truncateWriteAheadLog())
        #expect(try folder.stateBytes().range(of: Data(sealed)) == nil)
        #expect(throws: KeyVaultError.revoked(.deleted)) { try folder.vault.current("iris") }
        #expect(try folder.vault.state(of: key.id, "iris") == .deleted)
        #expect(throws: StateError.self) { try folder.set("iris", isEnabled: true) }
        _ = try folder.rotate("iris")
        #expect(try folder.vault.current("iris").version == "2")
        #expect(try folder.vault.state(of: key.id, "iris") == .deleted)
    }

    @Test("a key id of another endpoint, vault or kind is foreign")
    func foreign() throws {
        let folder = try VaultFolder()
        let iris = try folder.vault.current("iris")
        let wine = try folder.vault.current("wine")
        for id in [wine.id, "", "embedded:00/1", "https://v.vault.azure.net/keys/k/1"] {
            #expect(throws: KeyVaultError.foreignKey(id: id)) {
                _ = try folder.vault.unwrap([], under: id, .a256KW, "iris")
            }
            #expect(throws: KeyVaultError.foreignKey(id: id)) {
                try folder.vault.state(of: id, "iris")
            }
        }
        #expect(throws: KeyVaultError.revoked(.deleted)) {
            _ = try folder.vault.unwrap(
                [], under: iris.id.dropLast() + "9", .a256KW, "iris")
        }
        #expect(throws: KeyVaultError.notAuthentic) {
            _ = try folder.vault.unwrap([], under: iris.id, .rsaOAEP256, "iris")
        }
    }

    @Test("a root key that is another, gone or unreadable says nothing about the wrapping key")
    func rootKey() throws {
        let folder = try VaultFolder()
        let key = try folder.vault.current("iris")
        try FileManager.default.removeItem(atPath: folder.rootKeyPath)
        _ = try RootKey.create(path: folder.rootKeyPath)
        self.expectTransient(folder, key)
        try FileManager.default.removeItem(atPath: folder.rootKeyPath)
        self.expectTransient(folder, key)
        #expect(try folder.vault.state(of: key.id, "iris") == .active)
    }

    private func expectTransient(_ folder: VaultFolder, _ key: WrappingKey) {
        do throws(KeyVaultError) {
            _ = try folder.vault.unwrap([], under: key.id, key.algorithm, "iris")
            Issue.record("it was unwrapped")
        } catch {
            #expect(error.isTransient)
        }
    }

    @Test("a key that another endpoint's row was given is not opened")
    func swapped() throws {
        let folder = try VaultFolder()
        let iris = try folder.vault.current("iris")
        _ = try folder.vault.current("wine")
        for (name, newName) in [("iris", "x"), ("wine", "iris"), ("x", "wine")] {
            let sql = "UPDATE wrapping_key SET endpoint = '\(newName)' WHERE endpoint = '\(name)'"
            try folder.store.queue.write { try $0.execute(sql: sql) }
        }
        let id = try folder.vault.current("iris").id
        #expect(id != iris.id)
        self.expectTransient(folder, try folder.vault.current("iris"))
    }

    private func sealed(in folder: VaultFolder) throws -> [UInt8] {
        let data = try folder.store.queue.read {
            try Data.fetchOne($0, sql: "SELECT sealed FROM wrapping_key_version")
        }
        return [UInt8](try #require(data))
    }
}
