import Cryptography
import Dispatch
import Foundation
import State
import Synchronization
import Testing

@testable import KeyVault

@Suite struct RootKeyReplacementTests {
    @Test("under a new root key all is as before, and the old one opens nothing")
    func replacement() throws {
        let folder = try VaultFolder()
        let key = try folder.vault.current("iris")
        let secret = try SystemRandom.secret(count: 64)
        let wrapped = try folder.vault.wrap(secret, under: key, "iris")
        let old = try RootKey.read(path: folder.rootKeyPath)
        try folder.store.replaceRootKey(path: folder.rootKeyPath, now: 5000, actor: "test")
        // The process that runs goes on, and one that starts has the same pepper.
        let unwrapped = try folder.vault.unwrap(wrapped, under: key.id, .a256KW, "iris")
        #expect(bytes(unwrapped) == bytes(secret))
        #expect(bytes(try folder.reopen().store.pepper) == bytes(folder.store.pepper))
        #expect(throws: StateError.wrongRootKey) {
            try StateStore(folder: folder.statePath, rootKey: old)
        }
    }

    @Test("a replacement that was cut short after the state is finished at the next start")
    func afterState() throws {
        let folder = try VaultFolder()
        let key = try folder.vault.current("iris")
        let secret = try SystemRandom.secret(count: 64)
        let wrapped = try folder.vault.wrap(secret, under: key, "iris")
        let aside = "\(folder.path)/aside"
        try FileManager.default.copyItem(atPath: folder.rootKeyPath, toPath: aside)
        try folder.store.replaceRootKey(path: folder.rootKeyPath, now: 5000, actor: "test")
        // As it was before the last step.
        try FileManager.default.moveItem(
            atPath: folder.rootKeyPath, toPath: "\(folder.rootKeyPath).next")
        try FileManager.default.moveItem(atPath: aside, toPath: folder.rootKeyPath)
        let meanwhile = try folder.vault.unwrap(wrapped, under: key.id, .a256KW, "iris")
        #expect(bytes(meanwhile) == bytes(secret))
        let vault = try folder.reopen().vault
        #expect(!FileManager.default.fileExists(atPath: "\(folder.rootKeyPath).next"))
        let unwrapped = try vault.unwrap(wrapped, under: key.id, .a256KW, "iris")
        #expect(bytes(unwrapped) == bytes(secret))
    }

    @Test("a replacement that was cut short before the state leaves the old key in force")
    func beforeState() throws {
        let folder = try VaultFolder()
        _ = try folder.vault.current("iris")
        _ = try RootKey.create(path: "\(folder.rootKeyPath).next")
        let (store, vault) = try folder.reopen()
        _ = try vault.current("iris")
        try store.replaceRootKey(path: folder.rootKeyPath, now: 5000, actor: "test")
        #expect(!FileManager.default.fileExists(atPath: "\(folder.rootKeyPath).next"))
        _ = try folder.reopen()
    }

    @Test("a process goes on from a replacement of another that was cut short after the state")
    func otherCutShort() throws {
        let folder = try VaultFolder()
        let key = try folder.vault.current("iris")
        let secret = try SystemRandom.secret(count: 64)
        let wrapped = try folder.vault.wrap(secret, under: key, "iris")
        let aside = "\(folder.path)/aside"
        try FileManager.default.copyItem(atPath: folder.rootKeyPath, toPath: aside)
        let other = try folder.reopen().store
        try folder.store.replaceRootKey(path: folder.rootKeyPath, now: 5000, actor: "test")
        try FileManager.default.moveItem(
            atPath: folder.rootKeyPath, toPath: "\(folder.rootKeyPath).next")
        try FileManager.default.moveItem(atPath: aside, toPath: folder.rootKeyPath)
        try other.replaceRootKey(path: folder.rootKeyPath, now: 6000, actor: "test")
        let unwrapped = try folder.reopen().vault.unwrap(wrapped, under: key.id, .a256KW, "iris")
        #expect(bytes(unwrapped) == bytes(secret))
    }

    @Test("of replacements at the same time each goes on from the one before")
    func atOnce() throws {
        let folder = try VaultFolder()
        let key = try folder.vault.current("iris")
        let secret = try SystemRandom.secret(count: 64)
        let wrapped = try folder.vault.wrap(secret, under: key, "iris")
        let errors = Mutex<[String]>([])
        let (state, root) = (folder.statePath, folder.rootKeyPath)
        DispatchQueue.concurrentPerform(iterations: 4) { _ in
            do {
                for _ in 0..<5 {
                    try StateStore(folder: state, rootKeyPath: root)
                        .replaceRootKey(path: root, now: 5000, actor: "test")
                }
            } catch {
                errors.withLock { $0.append("\(error)") }
            }
        }
        #expect(errors.withLock { $0 } == [])
        let unwrapped = try folder.reopen().vault.unwrap(wrapped, under: key.id, .a256KW, "iris")
        #expect(bytes(unwrapped) == bytes(secret))
        #expect(!FileManager.default.fileExists(atPath: "\(root).next"))
    }

    @Test("no wrapping key is made under a root key that was replaced since it was read")
    func readBefore() throws {
        let folder = try VaultFolder()
        _ = try folder.vault.current("iris")
        let old = try RootKey.read(path: folder.rootKeyPath)
        try folder.store.replaceRootKey(path: folder.rootKeyPath, now: 5000, actor: "test")
        #expect(throws: StateError.wrongRootKey) {
            try folder.store.rotateWrappingKey(
                endpoint: "iris", rootKey: old, now: 6000, actor: "test")
        }
        #expect(try folder.store.wrappingKeys(of: "iris").count == 1)
        _ = try folder.rotate("iris")
    }
}
