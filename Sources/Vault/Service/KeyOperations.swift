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
        let type = try KeyType(body, hasToken: self.store.sealing.token != nil)
        var version = VaultVersion(
            kind: .key, name: request.name, version: try VaultVersion.newName(),
            keyType: type.name, protection: self.store.sealing.protection, now: request.now)
        version.keyOperations = try Self.operations(body.operations)
        try body.attributes?.apply(to: &version)
        version.tags = try VaultTags.checked(body.tags ?? [:])
        return try self.make(version, type, request, event: "created")
    }

    /// Makes a further version that is as the newest is.
    func rotate(_ request: VaultRequest) throws(VaultError) -> ControlAnswer {
        let newest = try self.store.find(request)
        // A new version would undo what was done to the last.
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
        return try self.make(version, type, request, event: "rotated")
    }

    private func make(
        _ version: VaultVersion, _ type: KeyType, _ request: VaultRequest, event: String
    ) throws(VaultError) -> ControlAnswer {
        if let made = try self.store.made(by: request) { return self.store.answer(made) }
        var version = version
        let sealed = try type.make(&version, self.store.sealing)
        let added: VaultVersion
        do throws(VaultError) {
            added = try self.store.add(version, sealed: sealed, request)
        } catch {
            self.store.discard(version, sealed)
            throw error
        }
        if added.version == version.version {
            self.store.events.changed(added, to: event)
        } else {
            self.store.discard(version, sealed)
        }
        return self.store.answer(added)
    }

    func get(_ request: VaultRequest) throws(VaultError) -> ControlAnswer {
        self.store.answer(try self.store.find(request))
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
        let state =
            switch (present.isEnabled, updated.isEnabled) {
            case (false, true): "enabled"
            case (true, false): "disabled"
            default: "updated"
            }
        self.store.events.changed(updated, to: state)
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
