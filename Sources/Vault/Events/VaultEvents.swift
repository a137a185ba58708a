internal import Cryptography
internal import State
internal import Synchronization

/// Tells subscribers what becomes of keys: each of those only that it may `get`.
struct VaultEvents: Sendable {
    let publisher: EventPublisher
    let mayGet: @Sendable (_ name: String, SPIFFEID) -> Bool

    /// A version is in another state now; secrets are nobody's concern but their users'.
    ///
    /// - Parameters:
    ///   - version: Which; the newest where it is about all of a name's.
    ///   - state: `created`, `rotated`, `enabled`, `disabled`, `updated`, `deleted`, `recovered`, `purged`.
    func changed(_ version: VaultVersion, to state: String) {
        guard version.kind == .key else { return }
        let (name, mayGet) = (version.name, self.mayGet)
        // Names and versions have letters, digits and dashes only.
        self.publisher.publish(
            "key",
            data: #"{"name":"\#(name)","state":"\#(state)","version":"\#(version.version)"}"#
        ) { mayGet(name, $0) }
    }
}
