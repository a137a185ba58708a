internal import Cryptography
internal import KeyVault
internal import SealedLog
internal import State
internal import Synchronization

/// A log key on its way to the writer's thread, with its entry in the key ring.
final class WrappedLogKey: Sendable {
    let entry: KeyRingEntry
    private let key: Mutex<LogKey?>

    init(_ entry: KeyRingEntry, _ key: consuming sending LogKey) {
        self.entry = entry
        self.key = Mutex(.some(key))
    }

    /// The key, once.
    func take() -> LogKey? {
        self.key.withLock { key in
            let taken = consume key
            key = nil
            return taken
        }
    }

    /// Makes a log key and has it wrapped; where we may, unwraps it once, so that a log nobody can read
    /// is noticed before anything is written.
    ///
    /// - Parameters:
    ///   - wrappingKey: What to wrap it under.
    ///   - streamID: Which stream the key is for.
    ///   - store: Has its digest from then on.
    /// - Returns: The key, not yet in the key ring.
    /// - Throws: ``KeyVaultError``, ``SealedLogError`` or ``StateError``.
    static func make(
        under wrappingKey: EndpointWrappingKey, streamID: LogIdentifier, knownTo store: StateStore
    ) async throws -> WrappedLogKey {
        let (vault, name) = (wrappingKey.vault, wrappingKey.name)
        let wrapping = try await vault.current(name)
        guard let algorithm = KeyRingEntry.Algorithm(rawValue: wrapping.algorithm.rawValue) else {
            throw KeyVaultError.unusable(reason: "it wraps in a way the key ring has no name for")
        }
        let key = try LogKey.make(
            streamID: streamID, createdMilliseconds: SystemClocks.now.unixMilliseconds)
        let input = try key.wrapInput()
        let wrapped = try await vault.wrap(input, under: wrapping, name)
        if vault.unwrapsWhatItWraps {
            let unwrapped = try await vault.unwrap(
                wrapped, under: wrapping.id, wrapping.algorithm, name)
            guard ConstantTime.equal(unwrapped.bytes, input.bytes) else {
                throw KeyVaultError.notAuthentic
            }
        }
        let entry = KeyRingEntry(
            key, provider: vault.provider, wrappingKey: wrapping.id, algorithm: algorithm,
            wrapped: wrapped)
        try store.keep(entry)
        return WrappedLogKey(entry, key)
    }
}
