internal import KeyVault

/// What is known of an endpoint's wrapping key, and what follows from it.
///
/// ```
/// active ──▶ degraded    its vault does not answer, or not as a vault; what was begun goes on
/// degraded ──▶ suspended after the grace period; nothing is written, the log keys stay in memory
/// any ──▶ revoked        its vault says that it may not be used; the log keys are wiped
/// any ──▶ active         its vault says that it may be used
/// ```
/// A value without a clock: times come as arguments. That something could be wrapped says nothing about a
/// key and never comes here.
struct WrappingKeyCondition: Sendable, Equatable {
    enum State: String, CaseIterable, Sendable {
        case active
        case degraded
        case suspended
        case revoked
    }

    /// What is to be done.
    enum Consequence: Equatable {
        case nothing
        /// Tell that the vault does not answer.
        case warn
        /// Write no more, and serve as the endpoint wants it.
        case suspend
        /// The same, and wipe the log keys.
        case revoke
        /// Go on with the log keys there are.
        case resume
        /// Go on, with a new log key.
        case restore
    }

    private(set) var state: State
    /// Since when nothing is known; nil while something is.
    private var unknownSince: ContinuousClock.Instant?
    /// How long that is put up with.
    var grace: Duration

    /// A key that may be used.
    init(grace: Duration) {
        self.state = .active
        self.grace = grace
    }

    /// A key that could not be used from the start.
    init(_ error: KeyVaultError, grace: Duration, at now: ContinuousClock.Instant) {
        self.state = error.isTransient ? .suspended : .revoked
        self.unknownSince = error.isTransient ? now : nil
        self.grace = grace
    }

    /// The vault says that the key may be used.
    mutating func mayBeUsed() -> Consequence {
        let before = self.state
        self.unknownSince = nil
        switch before {
        case .active: return .nothing
        case .degraded, .suspended:
            self.state = .active
            return .resume
        // Active again once there is a log key: ``restored()``.
        case .revoked: return .restore
        }
    }

    /// There is a new log key.
    mutating func restored() {
        self.state = .active
        self.unknownSince = nil
    }

    /// The vault says that the key may not be used, or nothing that says anything about it.
    mutating func cannotBeUsed(
        _ error: KeyVaultError, at now: ContinuousClock.Instant
    ) -> Consequence {
        guard error.isTransient else {
            let before = self.state
            self.state = .revoked
            self.unknownSince = nil
            return before == .revoked ? .nothing : .revoke
        }
        switch self.state {
        case .suspended, .revoked: return .nothing
        case .active, .degraded:
            let isNew = self.unknownSince == nil
            let since = self.unknownSince ?? now
            self.unknownSince = since
            guard now - since < self.grace else {
                self.state = .suspended
                return .suspend
            }
            self.state = .degraded
            return isNew ? .warn : .nothing
        }
    }
}
