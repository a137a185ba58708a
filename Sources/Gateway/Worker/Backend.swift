internal import HTTPTransport
internal import NIOCore

/// One backend as one worker knows it.
///
/// Loop-bound. A backend that failed three times in a row is left out for a while, longer each time,
/// unless all are: then the next in turn is tried rather than none.
final class Backend {
    let address: BackendAddress
    /// ``address`` as the configuration has it.
    let addressBytes: [UInt8]
    let pool: any StreamPool
    private let readiness: BackendReadiness?
    /// Exchanges that wait for it or use it.
    var inFlight = 0
    private var failures = 0
    private var restUntil = NIODeadline.uptimeNanoseconds(0)

    init(address: BackendAddress, pool: any StreamPool, readiness: BackendReadiness? = nil) {
        self.address = address
        self.addressBytes = Array(address.description.utf8)
        self.pool = pool
        self.readiness = readiness
    }

    /// Whether it has said that it is ready, where it is asked.
    var isReady: Bool { self.readiness?.isReady ?? true }

    func isAvailable(at now: NIODeadline) -> Bool { self.restUntil <= now }

    /// Whether the last exchanges did not all fail.
    var isHealthy: Bool { self.failures < Self.toleratedFailures && self.isReady }

    func succeeded() {
        self.failures = 0
        self.restUntil = .uptimeNanoseconds(0)
    }

    func failed() {
        self.failures += 1
        guard self.failures >= Self.toleratedFailures else { return }
        let doublings = min(self.failures - Self.toleratedFailures, Self.maximumDoublings)
        self.restUntil = .now() + .milliseconds(500 << Int64(doublings))
    }

    private static let toleratedFailures = 3
    /// 500 ms × 2^6 = 32 s: the longest rest.
    private static let maximumDoublings = 6
}

extension [Backend] {
    /// The one with the fewest exchanges among those ready and not at rest; of equals, the next after
    /// `turn`.
    func leastLoaded(turn: inout Int, excluding tried: [Backend]) -> Backend? {
        guard self.count > 1 else {
            return tried.isEmpty && self.first?.isReady == true ? self.first : nil
        }
        turn = (turn + 1) % self.count
        let now = NIODeadline.now()
        var best: Backend?
        var bestIsAvailable = false
        for offset in self.indices {
            let backend = self[(turn + offset) % self.count]
            guard backend.isReady, !tried.contains(where: { $0 === backend }) else { continue }
            let isAvailable = backend.isAvailable(at: now)
            if let current = best {
                guard isAvailable || !bestIsAvailable else { continue }
                guard (isAvailable && !bestIsAvailable) || backend.inFlight < current.inFlight
                else { continue }
            }
            best = backend
            bestIsAvailable = isAvailable
        }
        return best
    }
}
