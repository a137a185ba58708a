internal import Cryptography
internal import State
internal import Synchronization

/// The policy in force; a reload replaces it for every request that comes after.
final class SharedPolicy: Sendable {
    private let policy: Mutex<VaultPolicy>

    init(_ policy: VaultPolicy) { self.policy = Mutex(policy) }

    func adopt(_ policy: VaultPolicy) { self.policy.withLock { $0 = policy } }

    func allows(
        _ right: VaultRight, _ kind: VaultVersion.Kind, _ name: String, to identity: SPIFFEID
    ) -> Bool {
        self.policy.withLock { $0.allows(right, kind, name, to: identity) }
    }

    func allowsSome(
        _ right: VaultRight, _ kind: VaultVersion.Kind, to identity: SPIFFEID
    ) -> Bool {
        self.policy.withLock { $0.allowsSome(right, kind, to: identity) }
    }
}
