import Cryptography
import Foundation
import KeyVault
import SealedLog
import State
import Testing

@testable import Gateway

@Suite("Wrapping log keys anew") struct KeyRingRewrapTests {
    /// A state, its vault and a key ring with `count` log keys of one stream, in a folder.
    private final class Ring {
        let path = NSTemporaryDirectory() + "scoregate-rewrap-\(UUID().uuidString)"
        let store: StateStore
        let vault: EmbeddedVault
        let keyRing: KeyRing
        let streamID: LogIdentifier
        private(set) var ids: [LogIdentifier] = []

        init(_ count: Int) throws {
            let root = self.path + "/root.key"
            try FileManager.default.createDirectory(
                atPath: self.path + "/log", withIntermediateDirectories: true)
            _ = try RootKey.create(path: root)
            self.store = try StateStore(folder: self.path + "/state", rootKeyPath: root)
            self.vault = EmbeddedVault(store: self.store, rootKeyPath: root, actor: "test")
            self.keyRing = KeyRing(log: self.path + "/log", SystemFiles())
            try self.keyRing.prepare(log: self.path + "/log")
            let record = try self.store.logStream(
                of: "iris", newID: LogIdentifier.random().bytes, now: 1)
            self.streamID = LogIdentifier(record.id.rawSpan, at: 0)
            let wrapping = try self.vault.current("iris")
            for _ in 0..<count {
                let key = try LogKey.make(streamID: self.streamID, createdMilliseconds: 1000)
                let input = try key.wrapInput()
                let entry = KeyRingEntry(
                    key, provider: "embedded", wrappingKey: wrapping.id, algorithm: .a256KW,
                    wrapped: try self.vault.wrap(input, under: wrapping, "iris"))
                try self.keyRing.store(entry)
                self.ids.append(key.id)
            }
            try self.store.keepEnd(
                .init(
                    number: 0, segmentID: self.ids[0].bytes,
                    head: [UInt8](repeating: 0, count: 32)),
                logKeys: try self.digests(), of: self.streamID.bytes)
            _ = try self.store.rotateWrappingKey(
                endpoint: "iris", rootKey: RootKey.read(path: root), now: 2, actor: "test")
        }

        func digests() throws -> [[UInt8]: [UInt8]] {
            var digests: [[UInt8]: [UInt8]] = [:]
            for id in self.ids {
                digests[id.bytes] = try self.keyRing.entry(id).wrappedDigest().bytes
            }
            return digests
        }

        /// Whether the state knows the form that each key has on disk, as `logs verify` asks.
        func isKnown() throws -> Bool {
            guard let record = try self.store.logStreams().first else { return false }
            return try self.digests().allSatisfy { id, digest in
                record.logKeys[id] == digest || record.nextLogKeys[id] == digest
            }
        }

        /// Makes the state know the form that `entry` has.
        func know(_ entry: KeyRingEntry) throws {
            let digest = try entry.wrappedDigest().bytes
            try self.store.beginLogKeyDigests(
                [entry.logKeyID.bytes: digest], of: self.streamID.bytes)
            try self.store.finishLogKeyDigests([entry.logKeyID.bytes], of: self.streamID.bytes)
        }

        /// How many keys are under the newest version.
        func renewed() throws -> Int {
            let newest = try self.vault.current("iris").id
            return try self.ids.count { try self.keyRing.entry($0).wrappingKey == newest }
        }

        func run(_ vault: (any WrappingKeyVault)? = nil) async throws -> RewrapOutcome {
            try await KeyRingRewrap(
                key: EndpointWrappingKey(vault ?? self.vault, "iris"), store: self.store,
                keyRing: self.keyRing
            ).run(self.streamID) { _, _ in }
        }

        deinit { try? FileManager.default.removeItem(atPath: self.path) }
    }

    /// A vault that answers so many times and then not any more.
    private final class FailingVault: WrappingKeyVault, @unchecked Sendable {
        let vault: EmbeddedVault
        var rest: Int

        init(_ vault: EmbeddedVault, after rest: Int) {
            self.vault = vault
            self.rest = rest
        }

        var provider: String { self.vault.provider }
        var unwrapsWhatItWraps: Bool { true }

        func current(_ name: String) throws(KeyVaultError) -> WrappingKey {
            try self.vault.current(name)
        }

        func state(
            of id: String, _ name: String
        ) throws(KeyVaultError) -> WrappingKeyState {
            try self.vault.state(of: id, name)
        }

        func wrap(
            _ secret: borrowing SecretBytes, under key: WrappingKey, _ name: String
        ) throws(KeyVaultError) -> [UInt8] {
            guard self.rest > 0 else { throw .unavailable(reason: "test") }
            self.rest -= 1
            return try self.vault.wrap(secret, under: key, name)
        }

        func unwrap(
            _ wrapped: [UInt8], under id: String, _ algorithm: WrappingAlgorithm, _ name: String
        ) throws(KeyVaultError) -> SecretBytes {
            try self.vault.unwrap(wrapped, under: id, algorithm, name)
        }
    }

    @Test("All keys come under the newest version and stay what they are")
    func whole() async throws {
        let ring = try Ring(5)
        let outcome = try await ring.run()
        #expect(outcome.rewrapped == 5 && outcome.unchanged == 0 && outcome.unreadable.isEmpty)
        #expect(try ring.renewed() == 5)
        #expect(try ring.isKnown())
        for id in ring.ids {
            let entry = try ring.keyRing.entry(id)
            let secret = try ring.vault.unwrap(
                entry.wrapped, under: entry.wrappingKey, .a256KW, "iris")
            #expect(throws: Never.self) { _ = try LogKey(unwrapped: secret, of: entry) }
        }
        let again = try await ring.run()
        #expect(again.rewrapped == 0 && again.unchanged == 5)
    }

    @Test(
        "A vault that fails in the middle stops it; the next run goes on", arguments: [0, 64, 70])
    func interrupted(count: Int) async throws {
        let ring = try Ring(130)
        await #expect(throws: KeyVaultError.unavailable(reason: "test")) {
            try await ring.run(FailingVault(ring.vault, after: count))
        }
        // Batches are all or nothing.
        #expect(try ring.renewed() == count / 64 * 64)
        #expect(try ring.isKnown())
        let outcome = try await ring.run()
        #expect(outcome.rewrapped + outcome.unchanged == 130)
        #expect(try ring.renewed() == 130)
        #expect(try ring.isKnown())
    }

    @Test("A crash between the state and the files leaves keys that are known, and is mended")
    func crashed() async throws {
        let ring = try Ring(3)
        let promised = Dictionary(
            uniqueKeysWithValues: ring.ids.map { ($0.bytes, [UInt8](repeating: 1, count: 32)) })
        try ring.store.beginLogKeyDigests(promised, of: ring.streamID.bytes)
        #expect(try ring.isKnown())
        #expect(try await ring.run().rewrapped == 3)
        #expect(try ring.isKnown())
        let record = try #require(try ring.store.logStreams().first)
        #expect(record.nextLogKeys.isEmpty)
    }

    @Test("A key that was wrapped for another entry is named and left alone")
    func foreign() async throws {
        let ring = try Ring(3)
        var swapped = try ring.keyRing.entry(ring.ids[0])
        swapped.wrapped = try ring.keyRing.entry(ring.ids[1]).wrapped
        try ring.keyRing.store(swapped)
        try ring.know(swapped)
        let outcome = try await ring.run()
        #expect(outcome.rewrapped == 2)
        #expect(outcome.unreadable[ring.ids[0]] == "\(KeyVaultError.notAuthentic)")
        #expect(try ring.keyRing.entry(ring.ids[0]) == swapped)
    }

    @Test("A key that the state does not know is named and left alone, and stays unknown")
    func unknown() async throws {
        let ring = try Ring(3)
        let known = try ring.keyRing.entry(ring.ids[0])
        let key = try LogKey.make(streamID: ring.streamID, createdMilliseconds: 1000)
        let input = try key.wrapInput()
        let wrapping = WrappingKey(try ring.store.wrappingKeys(of: "iris")[1])
        let planted = KeyRingEntry(
            key, provider: "embedded", wrappingKey: known.wrappingKey, algorithm: .a256KW,
            wrapped: try ring.vault.wrap(input, under: wrapping, "iris"))
        try ring.keyRing.store(planted)
        let outcome = try await ring.run()
        #expect(outcome.rewrapped == 3)
        #expect(Array(outcome.unreadable.keys) == [key.id])
        #expect(try ring.keyRing.entry(key.id) == planted)
        #expect(try ring.store.logStreams().first?.logKeys[key.id.bytes] == nil)
    }

    @Test("The state knows a new log key before anybody writes under it")
    func fresh() async throws {
        let ring = try Ring(1)
        let key = try await WrappedLogKey.make(
            under: EndpointWrappingKey(ring.vault, "iris"), streamID: ring.streamID,
            knownTo: ring.store)
        let record = try #require(try ring.store.logStreams().first)
        let digest = try key.entry.wrappedDigest().bytes
        #expect(record.logKeys[key.entry.logKeyID.bytes] == digest)
    }
}
