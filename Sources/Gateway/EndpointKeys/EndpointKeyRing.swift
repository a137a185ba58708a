internal import Cryptography
package import State

/// Makes, lists and revokes the endpoint keys of a gateway's state.
///
/// Calls block on the disk. Every change is in the audit table of the state.
package struct EndpointKeyRing {
    private let store: StateStore
    private let actor: String

    /// Works on `store`.
    ///
    /// - Parameters:
    ///   - store: The state, open.
    ///   - actor: Who makes changes, for the audit, for instance `cli uid 0`.
    package init(store: StateStore, actor: String) {
        self.store = store
        self.actor = actor
    }

    /// What is known of the keys of `endpoint`: never the keys themselves.
    package func list(endpoint: String) throws(StateError) -> [EndpointKeyRecord] {
        try self.store.endpointKeys().keys.filter { $0.endpoint == endpoint && !$0.keepsStreams }
    }

    /// Puts a new key into `slot`; the one before it ends after `graceMilliseconds`.
    ///
    /// - Parameters:
    ///   - endpoint: The endpoint's name.
    ///   - slot: Which of its two keys; the other is left alone.
    ///   - graceMilliseconds: How long the slot's present key stays valid.
    ///   - lifetimeMilliseconds: How long the new key is valid; nil means until revoked.
    ///   - nowMilliseconds: Unix time.
    /// - Returns: The key, whose text cannot be had again, and the generation of the change.
    /// - Throws: `.database` if nothing could be changed; the present key is then valid still.
    package func regenerate(
        endpoint: String, slot: EndpointKeySlot, graceMilliseconds: Int64 = 0,
        lifetimeMilliseconds: Int64? = nil, nowMilliseconds: Int64 = UnixTime.milliseconds
    ) throws(StateError) -> RegeneratedEndpointKey {
        let issued = try StateError.wrapping {
            () throws(CryptographyError) in
            try IssuedEndpointKey.make(
                endpoint: endpoint, slot: slot, pepper: self.store.pepper,
                nowMilliseconds: nowMilliseconds, lifetimeMilliseconds: lifetimeMilliseconds)
        }
        let generation = try self.store.replaceEndpointKey(
            with: issued.record, graceMilliseconds: graceMilliseconds, actor: self.actor)
        return RegeneratedEndpointKey(key: issued, generation: generation)
    }

    /// Revokes the keys in `slot`, or in both, one still in grace included; with `keepsStreams`,
    /// exchanges they have let in may finish.
    package func revoke(
        endpoint: String, slot: EndpointKeySlot?, keepsStreams: Bool = false,
        nowMilliseconds: Int64 = UnixTime.milliseconds
    ) throws(StateError) -> (kids: [String], generation: Int64) {
        try self.store.revokeEndpointKeys(
            endpoint: endpoint, slot: slot, keepsStreams: keepsStreams, now: nowMilliseconds,
            actor: self.actor)
    }
}

/// A new endpoint key and the generation from which on it is in force.
package struct RegeneratedEndpointKey: ~Copyable {
    /// The key with its text.
    package let key: IssuedEndpointKey
    /// Counts the changes of endpoint keys.
    package let generation: Int64
}

extension StateError {
    /// Runs `body` and turns what it throws into `.cryptography`.
    fileprivate static func wrapping<Value: ~Copyable>(
        _ body: () throws(CryptographyError) -> Value
    ) throws(StateError) -> Value {
        do throws(CryptographyError) {
            return try body()
        } catch {
            throw .cryptography(error)
        }
    }
}
