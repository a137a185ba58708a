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
        if let made = try self.store.made(by: request) {
            return self.store.answer(made, value: body.value)
        }
        var version = VaultVersion(
            kind: .secret, name: request.name, version: try VaultVersion.newName(),
            protection: self.store.sealing.protection, now: request.now)
        version.contentType = try Self.checked(body.contentType)
        try body.attributes?.apply(to: &version)
        version.tags = try VaultTags.checked(body.tags ?? [:])
        let sealed = try self.store.sealing.seal(
            SecretBytes(of: Array(body.value.utf8)), of: version)
        return self.store.answer(
            try self.store.add(version, sealed: sealed, request), value: body.value)
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
        var version = try self.store.find(request)
        if let type = try Self.checked(body.contentType) { version.contentType = type }
        try body.attributes?.apply(to: &version)
        if let tags = body.tags { version.tags = try VaultTags.checked(tags) }
        return self.store.answer(try self.store.update(version, request))
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
