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
        let ids = try self.keyRing.ids()
        // After the ring: the state knows a key before it is in there.
        let record = try self.store.logStreams().first { $0.id == streamID.bytes }
        for id in ids {
            // What is wrong with an entry is for `logs verify` to say: it may be another stream's.
            guard let entry = try? self.keyRing.entry(id), entry.streamID == streamID else {
                continue
            }
            let digest = try entry.wrappedDigest().bytes
            let isNext = record?.nextLogKeys[id.bytes] == digest
            if entry.wrappingKey == wrapping.id {
                outcome.unchanged += 1
                if isNext { try self.store.finishLogKeyDigests([id.bytes], of: streamID.bytes) }
            } else if isNext || record?.logKeys[id.bytes] == digest {
                stale.append(entry)
            } else {
                // To wrap it anew would make a key known that somebody put there.
                outcome.unreadable[id] = "the state does not know it in this form"
            }
        }
        turned(0, stale.count)
        var rest = stale[...]
        var batch = Self.batch(of: &rest)
        var results = try await self.key.rewrap(batch, under: wrapping)
        while !batch.isEmpty {
            let following = Self.batch(of: &rest)
            // The vault computes while we wait for the disk.
            async let ahead = self.key.rewrap(following, under: wrapping)
            var fresh: [KeyRingEntry] = []
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
            try self.keep(fresh, of: streamID)
            outcome.rewrapped += fresh.count
            turned(stale.count - rest.count - following.count, stale.count)
            results = try await ahead
            batch = following
        }
        return outcome
    }

    /// Puts entries into the key ring, and their digests into the state.
    private func keep(_ fresh: [KeyRingEntry], of streamID: LogIdentifier) throws {
        var digests: [[UInt8]: [UInt8]] = [:]
        for entry in fresh {
            digests[entry.logKeyID.bytes] = try entry.wrappedDigest().bytes
        }
        try self.store.beginLogKeyDigests(digests, of: streamID.bytes)
        try self.keyRing.store(fresh)
        try self.store.finishLogKeyDigests(Array(digests.keys), of: streamID.bytes)
    }

    /// Takes the next entries that one vault can open: those from before the endpoint had a customer's key are
    /// another's.
    private static func batch(of rest: inout ArraySlice<KeyRingEntry>) -> [KeyRingEntry] {
        let provider = rest.first?.provider
        let batch = Array(rest.prefix(self.batchKeys).prefix { $0.provider == provider })
        rest = rest.dropFirst(batch.count)
        return batch
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
    /// Stay as they are, for they cannot be unwrapped or the state does not know them; with the reason.
    package var unreadable: [LogIdentifier: String] = [:]
}
