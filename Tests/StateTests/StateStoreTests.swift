import Cryptography
import Foundation
import Synchronization
import Testing

@testable import State

/// A temporary folder, removed at the end.
final class StateFolder: Sendable {
    let path = NSTemporaryDirectory() + "scoregate-state-\(UUID().uuidString)"

    deinit {
        try? FileManager.default.removeItem(atPath: self.path)
    }
}

/// A record with a kid that ends in `number`.
func record(
    _ number: Int, slot: EndpointKeySlot = .primary, created: Int64 = 1000
) throws -> EndpointKeyRecord {
    let bytes = [UInt8](repeating: UInt8(number), count: 32)
    let digest = Digest32(bytes: bytes.rawSpan)
    return EndpointKeyRecord(
        kid: "0000000" + String(1000 + number), endpoint: "iris", slot: slot,
        digest: try #require(digest), createdMilliseconds: created,
        notBeforeMilliseconds: created, expiresMilliseconds: nil)
}

@Suite struct StateStoreTests {
    private func mode(_ path: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        return try #require(attributes[.posixPermissions] as? NSNumber).intValue
    }

    private func hexadecimal(_ secret: borrowing SecretBytes) -> String {
        Hexadecimal.text(of: secret.bytes)
    }

    @Test("folder and files are the owner's alone, and a folder open to others is refused")
    func modes() throws {
        let folder = StateFolder()
        let root = try SystemRandom.secret(count: 32)
        let store = try StateStore(folder: folder.path, rootKey: root)
        #expect(try self.mode(folder.path) == 0o700)
        for file in try FileManager.default.contentsOfDirectory(atPath: folder.path) {
            #expect(try self.mode("\(folder.path)/\(file)") == 0o600)
        }
        withExtendedLifetime(store) {}
        try FileManager.default.setAttributes(
            [.posixPermissions: 0o755], ofItemAtPath: folder.path)
        #expect(throws: StateError.self) { try StateStore(folder: folder.path, rootKey: root) }
    }

    @Test("the pepper survives reopening, lies sealed, and needs the right root key")
    func pepper() throws {
        let folder = StateFolder()
        let root = try SystemRandom.secret(count: 32)
        let first = self.hexadecimal(try StateStore(folder: folder.path, rootKey: root).pepper)
        let store = try StateStore(folder: folder.path, rootKey: root)
        #expect(self.hexadecimal(store.pepper) == first)
        for file in try FileManager.default.contentsOfDirectory(atPath: folder.path) {
            let bytes = try Data(contentsOf: URL(fileURLWithPath: "\(folder.path)/\(file)"))
            #expect(!Hexadecimal.text(of: [UInt8](bytes).rawSpan).contains(first))
        }
        let other = try SystemRandom.secret(count: 32)
        #expect(throws: StateError.wrongRootKey) {
            try StateStore(folder: folder.path, rootKey: other)
        }
    }

    @Test("those that make the state at the same moment, as `serve` and `keys` may, share it")
    func madeAtOnce() throws {
        let keyFolder = StateFolder()
        try FileManager.default.createDirectory(
            atPath: keyFolder.path, withIntermediateDirectories: true)
        let keyPath = "\(keyFolder.path)/root.key"
        _ = try RootKey.create(path: keyPath)
        for _ in 0..<20 {
            let folder = StateFolder()
            let generations = Mutex<[Int64]>([])
            DispatchQueue.concurrentPerform(iterations: 4) { number in
                do {
                    let store = try StateStore(
                        folder: folder.path, rootKey: RootKey.read(path: keyPath))
                    let generation = try store.replaceEndpointKey(
                        with: record(number), graceMilliseconds: 0, actor: "test")
                    generations.withLock { $0.append(generation) }
                } catch {
                    Issue.record(error)
                }
            }
            let store = try StateStore(folder: folder.path, rootKey: RootKey.read(path: keyPath))
            let last = try store.endpointKeys().generation
            // Each change is one of the same state: the one before it is seen.
            #expect(generations.withLock { $0.sorted() } == Array(last - 3...last))
        }
    }

    @Test("a write is durable: full synchronisation and a write-ahead log")
    func settings() throws {
        let folder = StateFolder()
        let store = try StateStore(
            folder: folder.path, rootKey: try SystemRandom.secret(count: 32))
        for (name, value) in [
            ("synchronous", "2"), ("journal_mode", "wal"), ("foreign_keys", "1"),
            ("secure_delete", "1"),
        ] {
            #expect(try store.pragma(name) == value, "\(name)")
        }
    }

    @Test("replacing a key ends the one before it, at once or after its grace")
    func replace() throws {
        let folder = StateFolder()
        let store = try StateStore(
            folder: folder.path, rootKey: try SystemRandom.secret(count: 32))
        let start = try store.endpointKeys().generation
        _ = try store.replaceEndpointKey(with: record(1), graceMilliseconds: 0, actor: "test")
        _ = try store.replaceEndpointKey(
            with: record(2, slot: .secondary), graceMilliseconds: 0, actor: "test")
        _ = try store.replaceEndpointKey(with: record(3), graceMilliseconds: 0, actor: "test")
        #expect(try store.endpointKeys().keys.map(\.kid) == ["00000001003", "00000001002"])
        let generation = try store.replaceEndpointKey(
            with: record(4, created: 5000), graceMilliseconds: 600, actor: "test")
        #expect(generation == start + 4)
        var keys = try store.endpointKeys().keys
        #expect(keys.map(\.kid) == ["00000001004", "00000001003", "00000001002"])
        #expect(keys.map(\.isFormer) == [false, true, false])
        #expect(keys[1].expiresMilliseconds == 5600)
        #expect(keys[1].isValid(at: 5599) && !keys[1].isValid(at: 5600))
        _ = try store.replaceEndpointKey(
            with: record(5, created: 5100), graceMilliseconds: 600, actor: "test")
        keys = try store.endpointKeys().keys
        #expect(keys.map(\.kid) == ["00000001005", "00000001004", "00000001002"])
        let revoked = try store.revokeEndpointKeys(
            endpoint: "iris", slot: .primary, now: 6000, actor: "test")
        #expect(Set(revoked.kids) == ["00000001004", "00000001005"])
        #expect(try store.endpointKeys().keys.map(\.kid) == ["00000001002"])
    }

    @Test("a state of a newer version is refused")
    func newer() throws {
        let folder = StateFolder()
        let root = try SystemRandom.secret(count: 32)
        let store = try StateStore(folder: folder.path, rootKey: root)
        _ = try store.pragma("user_version = 99")
        #expect(throws: StateError.newerSchema(found: 99, known: 10)) {
            try StateStore(folder: folder.path, rootKey: root)
        }
    }

    @Test("a root key is 32 bytes or 64 digits, and nothing else")
    func rootKey() throws {
        let folder = StateFolder()
        try FileManager.default.createDirectory(
            atPath: folder.path, withIntermediateDirectories: true)
        let path = "\(folder.path)/root.key"
        let made = self.hexadecimal(try RootKey.create(path: path))
        #expect(try self.mode(path) == 0o600)
        #expect(self.hexadecimal(try RootKey.read(path: path)) == made)
        #expect(throws: StateError.self) { _ = try RootKey.create(path: path) }
        let bytes = [UInt8](0..<32)
        for (contents, isKey) in [
            (bytes, true), (Array(bytes.dropLast()), false), (bytes + [0], false),
            (Array(String(repeating: "aF", count: 32).utf8), true),
            (Array("\(String(repeating: "0g", count: 32))\n".utf8), false),
            (Array("\(String(repeating: "00", count: 32)) ".utf8), false),
        ] {
            try WholeFile.write(contents.rawSpan, to: path, mode: 0o600, isReplacing: true)
            #expect((try? RootKey.read(path: path).count) == (isKey ? 32 : nil))
        }
    }
}
