internal import ControlServer
internal import Cryptography
internal import State

/// What can be done with secrets.
///
/// Each operation answers one request that the policy has let in; it blocks on the disk.
struct SecretOperations: Sendable {
    let store: VaultStore

    func set(_ request: VaultRequest) throws(VaultError) -> ControlAnswer {
        let body = try VaultJSON.read(SecretSetBody.self, request.control.body)
        guard 1...Self.maximumBytes ~= body.value.utf8.count else {
            throw .badParameter("value has 1 to \(Self.maximumBytes) bytes.")
        }
        let value = try SecretBytes(of: Array(body.value.utf8))
        let made = try self.store.made(by: request)
        if let made, try self.isValue(value, of: made) {
            return self.store.answer(made, value: body.value)
        }
        var version = VaultVersion(
            kind: .secret, name: request.name, version: try VaultVersion.newName(),
            protection: self.store.sealing.protection, now: request.now)
        version.contentType = try Self.checked(body.contentType)
        try body.attributes?.apply(to: &version)
        version.tags = try VaultTags.checked(body.tags ?? [:])
        let sealed = try self.store.sealing.seal(value, of: version)
        let added = try self.store.add(version, sealed: sealed, request, besides: made)
        // The same request came twice at once: with another value it is not this one that is kept.
        if added.version != version.version {
            guard try self.isValue(value, of: added) else { throw .changed }
        } else {
            self.store.events.changed(added, to: "set")
        }
        return self.store.answer(added, value: body.value)
    }

    /// Whether a version has this value: a request that is sent again has, whatever else calls itself so.
    private func isValue(
        _ value: borrowing SecretBytes, of version: VaultVersion
    ) throws(VaultError) -> Bool {
        let kept = try self.store.open(version)
        return ConstantTime.equal(value.bytes, kept.bytes)
    }

    func get(_ request: VaultRequest) throws(VaultError) -> ControlAnswer {
        let version = try self.store.find(request)
        try version.checkUsable(at: request.now)
        let value = try self.store.open(version)
        // Before the secret leaves: there is no use that the audit does not have.
        try self.store.audit(request, version)
        return self.store.answer(version, value: String(decoding: value.bytes.array, as: UTF8.self))
    }

    func update(_ request: VaultRequest) throws(VaultError) -> ControlAnswer {
        let body = try VaultJSON.read(SecretUpdateBody.self, request.control.body)
        guard body.value == nil else {
            throw .badParameter("A value is not changed: PUT makes a new version.")
        }
        let present = try self.store.find(request)
        var version = present
        if let type = try Self.checked(body.contentType) { version.contentType = type }
        try body.attributes?.apply(to: &version)
        if let tags = body.tags { version.tags = try VaultTags.checked(tags) }
        let updated = try self.store.update(version, request)
        self.store.events.updated(updated, from: present)
        return self.store.answer(updated)
    }

    private static func checked(_ contentType: String?) throws(VaultError) -> String? {
        if let contentType, contentType.utf8.count > 255 {
            throw .badParameter("contentType has at most 255 bytes.")
        }
        return contentType
    }

    /// As Azure Key Vault's: 25 KiB.
    private static let maximumBytes = 25_600
}

extension SecretBytes {
    /// A secret with these bytes, at least one.
    init(of bytes: [UInt8]) throws(VaultError) {
        do throws(CryptographyError) {
            try self.init(copying: bytes.rawSpan)
        } catch {
            throw .unavailable("\(error)")
        }
    }
}
