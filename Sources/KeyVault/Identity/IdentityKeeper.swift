package import Cryptography
internal import Synchronization

/// Keeps a service's certificate valid as long as the process runs.
///
/// ``start()`` first, then ``run()`` for ever. The files change in the folder; whoever uses them
/// watches them.
package final class IdentityKeeper: Sendable {
    /// What happened, for the process's log.
    package enum Event: Sendable {
        /// A new certificate is in the folder.
        case renewed(Certificate)
        /// There is none yet; it is tried again after that long.
        case failed(KeyVaultError, retryAfter: Duration)
    }

    private let client: IdentityClient
    private let onEvent: @Sendable (Event) -> Void
    private let waiting = Mutex(Waiting())

    /// What ``run()`` waits for.
    private struct Waiting {
        var timer: Task<Void, any Error>?
        /// Whether somebody wants a renewal that has not begun.
        var isWanted = false
    }

    /// A keeper of what `client` gets; nothing is asked yet.
    package init(_ client: IdentityClient, onEvent: @escaping @Sendable (Event) -> Void) {
        self.client = client
        self.onEvent = onEvent
    }

    /// Returns once a valid certificate is in the folder.
    ///
    /// - Parameter patience: How long a vault is asked again that cannot be reached, or wants to be left
    ///   alone: that may be for what another service on the same host does.
    /// - Throws: `.unusable` at once, and what the last attempt failed with after `patience`.
    package func start(patience: Duration = .seconds(60)) async throws(KeyVaultError) {
        let end = ContinuousClock.now + patience
        var failures = 0
        while true {
            do throws(KeyVaultError) {
                _ = try await self.client.ensure()
                return
            } catch {
                failures += 1
                let pause = RenewalSchedule.pause(
                    afterFailures: failures, jitter: .random(in: 0..<1))
                guard error.isOfThisMoment, ContinuousClock.now + pause < end, !Task.isCancelled
                else { throw error }
                self.onEvent(.failed(error, retryAfter: pause))
                try? await Task.sleep(for: pause)
            }
        }
    }

    /// Renews at half of each certificate's life, until the task is cancelled.
    package func run() async {
        var failures = 0
        while !Task.isCancelled {
            await self.pause(failures: failures)
            guard !Task.isCancelled else { return }
            do throws(KeyVaultError) {
                self.onEvent(.renewed(try await self.next()))
                failures = 0
            } catch {
                failures = min(failures + 1, 32)
                let pause = RenewalSchedule.pause(afterFailures: failures, jitter: 1)
                self.onEvent(.failed(error, retryAfter: pause))
            }
        }
    }

    /// Renews as soon as can be.
    package func renewNow() {
        self.waiting.withLock { waiting in
            waiting.isWanted = true
            waiting.timer?.cancel()
        }
    }

    private func next() async throws(KeyVaultError) -> Certificate {
        let now = CertificateAuthority.now
        guard let present = try self.client.folder.certificate(), present.isValid(at: now) else {
            return try await self.client.ensure(now: now)
        }
        do throws(KeyVaultError) {
            return try await self.client.renew()
        } catch {
            return try await self.client.join(after: error)
        }
    }

    /// Waits until it is time for the next attempt, or somebody asks for one.
    private func pause(failures: Int) async {
        let jitter = Double.random(in: 0..<1)
        let pause: Duration
        if failures > 0 {
            pause = RenewalSchedule.pause(afterFailures: failures, jitter: jitter)
        } else if let present = try? self.client.folder.certificate() {
            pause = RenewalSchedule.pause(
                until: present, now: CertificateAuthority.now, jitter: jitter)
        } else {
            pause = .zero
        }
        let timer = self.waiting.withLock { waiting -> Task<Void, any Error>? in
            guard !waiting.isWanted else { return nil }
            let timer = Task { try await Task.sleep(for: pause) }
            waiting.timer = timer
            return timer
        }
        await withTaskCancellationHandler {
            _ = await timer?.result
        } onCancel: {
            timer?.cancel()
        }
        self.waiting.withLock { $0 = Waiting() }
    }
}

extension KeyVaultError {
    /// Whether the same question may be answered in a moment.
    fileprivate var isOfThisMoment: Bool {
        switch self {
        case .unavailable, .throttled: true
        default: false
        }
    }
}

/// When to renew, by the clock it is given.
enum RenewalSchedule {
    /// How long to wait before `certificate` is renewed: until half of its life is over, a twentieth
    /// of it more or less, so that services that joined together do not renew together for ever.
    ///
    /// `now` is Unix time in seconds, `jitter` 0 to 1.
    static func pause(until certificate: Certificate, now: Int64, jitter: Double) -> Duration {
        let life = Double(certificate.notAfter - certificate.notBefore)
        let due = Double(certificate.notBefore) + life * (0.45 + 0.1 * jitter)
        return .seconds(max(0, due - Double(now)))
    }

    /// How long to wait after that many failures in a row: 1 s, 2 s, 4 s and so on to 60 s, of which
    /// the half to all of it.
    static func pause(afterFailures failures: Int, jitter: Double) -> Duration {
        let whole = min(60, Double(1 << min(failures - 1, 6)))
        return .seconds(whole * (0.5 + 0.5 * jitter))
    }
}
