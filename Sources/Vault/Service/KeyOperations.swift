internal import ControlServer
internal import Cryptography
internal import Foundation
internal import State

/// What can be done with keys, but for using them.
///
/// Each operation answers one request that the policy has let in; it blocks on the disk.
struct KeyOperations: Sendable {
    let store: VaultStore
    /// Whether the peer may do something with a key of another name.
    let allows: @Sendable (VaultRight, String, SPIFFEID) -> Bool

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
        if let made = try self.store.made(by: request) { return self.answer(made) }
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
        return self.answer(added)
    }

    func get(_ request: VaultRequest) throws(VaultError) -> ControlAnswer {
        self.answer(try self.store.find(request))
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
        return self.answer(updated)
    }

    func list(_ request: VaultRequest, isDeleted: Bool) throws(VaultError) -> ControlAnswer {
        let page = try self.store.list(request, isDeleted: isDeleted) { name in
            self.allows(request.right, name, request.identity)
        }
        return VaultJSON.answer(
            200,
            ListAnswer(
                value: page.items.map { KeyItem($0, self.store.baseURL, hasVersion: false) },
                nextLink: self.store.nextLink(request, page.next)))
    }

    func versions(_ request: VaultRequest) throws(VaultError) -> ControlAnswer {
        let page = try self.store.versions(request)
        return VaultJSON.answer(
            200,
            ListAnswer(
                value: page.items.map { KeyItem($0, self.store.baseURL, hasVersion: true) },
                nextLink: self.store.nextLink(request, page.next)))
    }

    func delete(_ request: VaultRequest) throws(VaultError) -> ControlAnswer {
        self.answer(try self.store.delete(request))
    }

    func getDeleted(_ request: VaultRequest) throws(VaultError) -> ControlAnswer {
        self.answer(try self.store.findDeleted(request))
    }

    func recover(_ request: VaultRequest) throws(VaultError) -> ControlAnswer {
        self.answer(try self.store.recover(request))
    }

    func purge(_ request: VaultRequest) throws(VaultError) -> ControlAnswer {
        try self.store.purge(.key, request.name, now: request.now, request.use())
        return ControlAnswer(status: 204, contentType: "application/json", body: .bytes([]))
    }

    private func answer(_ version: VaultVersion) -> ControlAnswer {
        var answer = VaultJSON.answer(200, KeyAnswer(version, self.store.baseURL))
        answer.fields["ETag"] = "\"\(version.revision)\""
        return answer
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
