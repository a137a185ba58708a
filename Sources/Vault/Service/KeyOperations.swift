internal import ControlServer
internal import Cryptography
internal import Foundation
internal import State

/// What can be done with keys, but for using them.
///
/// Each operation answers one request that the policy has let in; it blocks on the disk.
struct KeyOperations: Sendable {
    let store: VaultStore

    func create(_ request: VaultRequest) throws(VaultError) -> ControlAnswer {
        let body = try VaultJSON.read(KeyCreateBody.self, request.control.body)
        let type = try KeyType(body, self.store.sealing.token)
        var version = VaultVersion(
            kind: .key, name: request.name, version: try VaultVersion.newName(),
            keyType: type.name, protection: self.store.sealing.protection, now: request.now)
        version.keyOperations = try Self.operations(body.operations)
        try body.attributes?.apply(to: &version)
        version.tags = try VaultTags.checked(body.tags ?? [:])
        return try self.make(version, type, request, isRotation: false)
    }

    /// Makes a further version that is as the newest is.
    func rotate(_ request: VaultRequest) throws(VaultError) -> ControlAnswer {
        let newest = try self.store.find(request)
        // A new version would undo what was done to the last. Looked at again when it is added.
        guard newest.isEnabled else { throw .unusable(.key, "Disabled") }
        let type = try KeyType(newest)
        var version = VaultVersion(
            kind: .key, name: newest.name, version: try VaultVersion.newName(),
            keyType: newest.keyType, protection: self.store.sealing.protection, now: request.now)
        version.keyOperations = newest.keyOperations
        version.tags = newest.tags
        if let expires = newest.expiresMilliseconds {
            // As long as the one before it.
            version.expiresMilliseconds = request.now + expires - newest.createdMilliseconds
        }
        return try self.make(version, type, request, isRotation: true)
    }

    private func make(
        _ version: VaultVersion, _ type: KeyType, _ request: VaultRequest, isRotation: Bool
    ) throws(VaultError) -> ControlAnswer {
        if let made = try self.store.made(by: request) { return self.store.answer(made) }
        var version = version
        let sealed = try type.make(&version, self.store.sealing)
        let added: VaultVersion
        do throws(VaultError) {
            added = try self.store.add(version, sealed: sealed, request, isRotation: isRotation)
        } catch {
            self.store.discard(version, sealed)
            throw error
        }
        if added.version == version.version {
            self.store.events.changed(added, to: isRotation ? "rotated" : "created")
        } else {
            self.store.discard(version, sealed)
        }
        return self.store.answer(added)
    }

    /// Says what is known of a key; of one that was destroyed in its token, that it is not there.
    func get(_ request: VaultRequest) throws(VaultError) -> ControlAnswer {
        let version = try self.store.find(request)
        if version.protection == .token { try self.checkPresence(of: version) }
        return self.store.answer(version)
    }

    private func checkPresence(of version: VaultVersion) throws(VaultError) {
        let sealed = try self.store.asking(.key) { () throws(StateError) in
            try self.store.state.sealedVaultVersion(version)
        }
        guard let sealed else { throw .notFound(.key) }
        do throws(TokenError) {
            try self.store.sealing.token?.checkKey(
                sealed, version.keyType == KeyType.octHSMName ? .aes : .rsa)
        } catch .noKey {
            throw .notFound(.key)
        } catch {
            // A token that is away says nothing of its keys: what is known here goes on being so.
        }
    }

    func update(_ request: VaultRequest) throws(VaultError) -> ControlAnswer {
        let body = try VaultJSON.read(KeyUpdateBody.self, request.control.body)
        let present = try self.store.find(request)
        var version = present
        if let operations = body.operations {
            version.keyOperations = try Self.operations(operations)
        }
        try body.attributes?.apply(to: &version)
        if let tags = body.tags { version.tags = try VaultTags.checked(tags) }
        let updated = try self.store.update(version, request)
        self.store.events.updated(updated, from: present)
        return self.store.answer(updated)
    }

    /// What a key may be used for: what is asked, or all there is.
    private static func operations(_ asked: [String]?) throws(VaultError) -> [String] {
        guard let asked else { return self.allOperations }
        for operation in asked where !self.allOperations.contains(operation) {
            throw .badParameter(
                "key_ops are some of \(self.allOperations.joined(separator: ", ")).")
        }
        return self.allOperations.filter(asked.contains)
    }

    private static let allOperations = ["encrypt", "decrypt", "wrapKey", "unwrapKey"]
}
