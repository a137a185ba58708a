internal import ControlServer
internal import Cryptography
internal import Dispatch
internal import Foundation
internal import State
internal import Synchronization

/// Wraps and unwraps under keys.
///
/// Each operation answers one request that the policy has let in; it blocks on the disk and computes.
struct KeyUses: Sendable {
    let store: VaultStore

    /// Wraps, or encrypts, which is the same.
    func wrap(_ request: VaultRequest, _ operation: String) throws(VaultError) -> ControlAnswer {
        let body = try VaultJSON.read(KeyUseBody.self, request.control.body)
        let version = try self.version(request, operation)
        let secret = try Self.secret(body.value)
        let wrapped = try OpenKey(wrapping: version, self.store).wrap(secret, body)
        try self.store.audit(request, version)
        return self.answer(version, wrapped)
    }

    /// Unwraps, or decrypts, which is the same.
    func unwrap(_ request: VaultRequest, _ operation: String) throws(VaultError) -> ControlAnswer {
        let body = try VaultJSON.read(KeyUseBody.self, request.control.body)
        let version = try self.version(request, operation)
        let secret = try OpenKey(unwrapping: version, self.store).unwrap(body)
        // Before the secret leaves: there is no use that the audit does not have.
        try self.store.audit(request, version)
        return self.answer(
            version, KeyUseBody(alg: body.alg, value: Base64URL.text(of: secret.bytes)))
    }

    /// Has what older versions wrapped wrapped by the newest; what was wrapped is seen by nobody.
    func rewrap(_ request: VaultRequest) throws(VaultError) -> ControlAnswer {
        let body = try VaultJSON.read(KeyRewrapBody.self, request.control.body)
        guard 1...Self.mostItems ~= body.items.count else {
            throw .badParameter("1 to \(Self.mostItems) items at a time.")
        }
        let newest = try self.version(request, "wrapKey")
        let wrapping = OpenKey(wrapping: newest, self.store)
        var older: [String: Result<OpenKey, VaultError>] = [:]
        for version in Set(body.items.map(\.version)) {
            older[version] = Result { () throws(VaultError) in try self.older(version, request) }
        }
        let items = try Self.rewrap(body.items, older, wrapping)
        try self.store.audit(request, newest)
        return VaultJSON.answer(
            200, KeyRewrapAnswer(kid: newest.id(self.store.baseURL), items: items))
    }

    /// Rewraps on as many threads as there are processors: nearly all of it is computing.
    private static func rewrap(
        _ items: [KeyRewrapBody.Item], _ older: [String: Result<OpenKey, VaultError>],
        _ wrapping: OpenKey
    ) throws(VaultError) -> [KeyRewrapAnswer.Item] {
        let done = Mutex<[Int: Result<KeyRewrapAnswer.Item, VaultError>]>([:])
        let threads = min(ProcessInfo.processInfo.activeProcessorCount, items.count)
        DispatchQueue.concurrentPerform(iterations: threads) { thread in
            for index in stride(from: thread, to: items.count, by: threads) {
                let result = Result { () throws(VaultError) in
                    try self.rewrap(items[index], older, wrapping)
                }
                done.withLock { $0[index] = result }
            }
        }
        let results = done.withLock { $0 }
        return try items.indices.map { (index) throws(VaultError) in
            switch results[index] {
            case .success(let item): return item
            case .failure(.unavailable(let reason)): throw .unavailable(reason)
            // The rest of the batch is not to wait for one that is damaged.
            case .failure(let error): return KeyRewrapAnswer.Item(error: error.result)
            case nil: preconditionFailure("each item was done by one of the threads")
            }
        }
    }

    private static func rewrap(
        _ item: KeyRewrapBody.Item, _ older: [String: Result<OpenKey, VaultError>],
        _ wrapping: OpenKey
    ) throws(VaultError) -> KeyRewrapAnswer.Item {
        guard let key = try older[item.version]?.get() else { throw .notFound(.key) }
        let secret = try key.unwrap(item.use)
        // The newest may be of another type.
        let use = KeyUseBody(alg: wrapping.algorithm(like: item.alg), value: "", aad: item.aad)
        let wrapped = try wrapping.wrap(secret, use)
        return KeyRewrapAnswer.Item(
            alg: wrapped.alg, value: wrapped.value, iv: wrapped.iv, aad: wrapped.aad,
            tag: wrapped.tag)
    }

    /// The version that is asked for, if it may be used for this now.
    private func version(
        _ request: VaultRequest, _ operation: String
    ) throws(VaultError) -> VaultVersion {
        let version = try self.store.find(request)
        try version.checkUsable(at: request.now)
        try Self.check(version, allows: operation)
        return version
    }

    private func older(
        _ version: String, _ request: VaultRequest
    ) throws(VaultError) -> OpenKey {
        let found = try self.store.asking(.key) { () throws(StateError) in
            try self.store.state.vaultVersion(.key, request.name, version)
        }
        guard let found else { throw .notFound(.key) }
        try found.checkUsable(at: request.now)
        try Self.check(found, allows: "unwrapKey")
        return try OpenKey(unwrapping: found, self.store)
    }

    private static func check(
        _ version: VaultVersion, allows operation: String
    ) throws(VaultError) {
        guard version.keyOperations.contains(operation) else {
            throw .badParameter("The key's key_ops do not have \(operation).")
        }
    }

    private func answer(_ version: VaultVersion, _ result: KeyUseBody) -> ControlAnswer {
        VaultJSON.answer(
            200,
            KeyUseAnswer(
                kid: version.id(self.store.baseURL), alg: result.alg, value: result.value,
                iv: result.iv, aad: result.aad, tag: result.tag))
    }

    /// The bytes that `text` stands for, as a secret.
    private static func secret(_ text: String) throws(VaultError) -> SecretBytes {
        guard let bytes = Base64URL.bytes(of: text), !bytes.isEmpty else {
            throw .badParameter("value is base64url without padding, of at least one byte.")
        }
        return try SecretBytes(of: bytes)
    }

    /// 256 log keys: one request of some 200 KB, below a second of work.
    static let mostItems = 256
}
