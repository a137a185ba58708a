internal import Cryptography
internal import State
internal import Synchronization

/// Tells subscribers what becomes of keys and secrets: each of those only that it may `get`.
struct VaultEvents: Sendable {
    let publisher: EventPublisher
    let mayGet: @Sendable (VaultVersion.Kind, _ name: String, SPIFFEID) -> Bool

    /// A version is in another state now.
    ///
    /// - Parameters:
    ///   - version: Which; the newest where it is about all of a name's.
    ///   - state: `created`, `rotated`, `set`, `enabled`, `disabled`, `updated`, `deleted`, `recovered`,
    ///     `purged`.
    func changed(_ version: VaultVersion, to state: String) {
        let (kind, name, mayGet) = (version.kind, version.name, self.mayGet)
        // Names and versions have letters, digits and dashes only.
        self.publisher.publish(
            kind.rawValue,
            data: #"{"name":"\#(name)","state":"\#(state)","version":"\#(version.version)"}"#
        ) { mayGet(kind, name, $0) }
    }

    /// A version's attributes were changed.
    func updated(_ version: VaultVersion, from former: VaultVersion) {
        let state =
            switch (former.isEnabled, version.isEnabled) {
            case (false, true): "enabled"
            case (true, false): "disabled"
            default: "updated"
            }
        self.changed(version, to: state)
    }
}
