/// Whether what workers have in force can be trusted to be recent.
package enum StateHealth: Sendable, Equatable {
    /// The state was read within the last 2 seconds.
    case ready
    /// Not for 2 seconds: the process should get no new traffic.
    case notReady
    /// Not for 10 seconds: a key revoked since would still work, so no key should be accepted.
    case unavailable

    /// The health that long after the last time the state could be read.
    package init(millisecondsSinceSuccess: Int64) {
        self =
            switch millisecondsSinceSuccess {
            case ..<2_000: .ready
            case ..<10_000: .notReady
            default: .unavailable
            }
    }
}
