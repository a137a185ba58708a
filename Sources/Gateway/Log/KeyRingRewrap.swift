internal import KeyVault
package import SealedLog
internal import State

/// Wraps the log keys of a stream anew, under the newest version of its wrapping key, so that older
/// versions can be destroyed; nothing that was sealed is touched.
///
/// Can be cut short anywhere and begun again: the state keeps both forms of a key while its entry in
/// the key ring is replaced. Whoever runs it holds the log's `rewrap.lock`.
struct KeyRingRewrap {
    /// What to wrap them under, and what they are wrapped under.
    let key: EndpointWrappingKey
    /// Keeps the digests of the wrapped forms.
    let store: StateStore
    /// Where the wrapped forms are.
    let keyRing: KeyRing

    /// Runs it.
    ///
    /// - Parameters:
    ///   - streamID: Whose log keys.
    ///   - turned: Told how many keys are done, and of how many.
    /// - Returns: What became of them.
    /// - Throws: ``KeyVaultError``, ``SealedLogError`` or ``StateError``, which ends it where it is.
    func run(
        _ streamID: LogIdentifier, turned: (Int, Int) -> Void
    ) async throws -> RewrapOutcome {
        let wrapping = try await self.key.current()
        guard let algorithm = KeyRingEntry.Algorithm(rawValue: wrapping.algorithm.rawValue) else {
            throw KeyVaultError.unusable(reason: "it wraps in a way the key ring has no name for")
        }
        var outcome = RewrapOutcome()
        var stale: [KeyRingEntry] = []
        let begun = try self.store.logStreams().first { $0.id == streamID.bytes }?.nextLogKeys
        for id in try self.keyRing.ids() {
            // What is wrong with an entry is for `logs verify` to say: it may be another stream's.
            guard let entry = try? self.keyRing.entry(id), entry.streamID == streamID else {
                continue
            }
            if entry.wrappingKey != wrapping.id {
                stale.append(entry)
            } else {
                outcome.unchanged += 1
                if try begun?[id.bytes] == entry.wrappedDigest().bytes {
                    try self.store.finishLogKeyDigests([id.bytes], of: streamID.bytes)
                }
            }
        }
        turned(0, stale.count)
        var rest = stale[...]
        while !rest.isEmpty {
            // Those from before the endpoint had a customer's key are another vault's to open.
            let provider = rest.first?.provider
            let batch = Array(rest.prefix(Self.batchKeys).prefix { $0.provider == provider })
            rest = rest.dropFirst(batch.count)
            var fresh: [KeyRingEntry] = []
            let results = try await self.key.rewrap(batch, under: wrapping)
            for (entry, result) in zip(batch, results) {
                switch result {
                case .success(let wrapped):
                    var next = entry
                    next.wrapped = wrapped
                    next.provider = self.key.vault.provider
                    next.wrappingKey = wrapping.id
                    next.algorithm = algorithm
                    fresh.append(next)
                case .failure(let error):
                    outcome.unreadable[entry.logKeyID] = error.description
                }
            }
            var digests: [[UInt8]: [UInt8]] = [:]
            for entry in fresh {
                digests[entry.logKeyID.bytes] = try entry.wrappedDigest().bytes
            }
            try self.store.beginLogKeyDigests(digests, of: streamID.bytes)
            try self.keyRing.store(fresh)
            try self.store.finishLogKeyDigests(Array(digests.keys), of: streamID.bytes)
            outcome.rewrapped += fresh.count
            turned(stale.count - rest.count, stale.count)
        }
        return outcome
    }

    /// 64: each batch costs two synchronisations of the state.
    private static let batchKeys = 64
}

/// What became of the log keys of a stream.
package struct RewrapOutcome: Sendable, Equatable {
    /// Wrapped anew.
    package var rewrapped = 0
    /// Were under the newest version before.
    package var unchanged = 0
    /// Stay as they are, for they cannot be unwrapped; with the reason.
    package var unreadable: [LogIdentifier: String] = [:]
}
