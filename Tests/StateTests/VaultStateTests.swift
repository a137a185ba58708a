import Cryptography
import Testing

@testable import State

@Suite("What the state keeps for the vault service") struct VaultStateTests {
    private static func version(_ number: Int) -> VaultVersion {
        VaultVersion(
            kind: .key, name: "a", version: Self.id(number), protection: .rootKey,
            now: Int64(number))
    }

    private static func id(_ number: Int) -> String {
        String(repeating: "\(number)", count: 32)
    }

    private static let use = VaultUse(actor: "a", serial: "1", action: "rotate", subject: "keys/a")

    private static func rotate(
        _ store: StateStore, _ version: VaultVersion, as request: String? = nil
    ) throws -> VaultVersion {
        try store.addVaultVersion(
            version, sealed: [1], request: request, after: nil, isRotation: true, self.use)
    }

    @Test("a rotation does not undo that the newest version was disabled while its key was made")
    func disabled() throws {
        let folder = StateFolder()
        let store = try StateStore(
            folder: folder.path, rootKey: try SystemRandom.secret(count: 32))
        let first = try store.addVaultVersion(
            Self.version(1), sealed: [1], request: nil, after: nil, Self.use)
        #expect(try Self.rotate(store, Self.version(2), as: "r").version == Self.id(2))
        var newest = try #require(try store.vaultVersion(.key, "a"))
        newest.isEnabled = false
        _ = try store.updateVaultVersion(newest, Self.use)
        #expect(throws: StateError.vaultItem(.disabled)) {
            try Self.rotate(store, Self.version(3))
        }
        #expect(try store.vaultVersion(.key, "a")?.version == Self.id(2))
        // A request that is sent again is told what it made.
        #expect(try Self.rotate(store, Self.version(4), as: "r").version == Self.id(2))
        // A new version of its own is no rotation; what older versions are does not matter.
        _ = try store.addVaultVersion(
            Self.version(5), sealed: [1], request: nil, after: nil, Self.use)
        var old = first
        old.isEnabled = false
        _ = try store.updateVaultVersion(old, Self.use)
        #expect(try Self.rotate(store, Self.version(6)).version == Self.id(6))
    }
}
