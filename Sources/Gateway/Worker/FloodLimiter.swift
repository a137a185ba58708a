internal import ControlServer
internal import NIOCore
internal import ServiceConfiguration

/// Slows down networks whose clients are sent away for flooding again and again.
///
/// Whoever is sent away can come back at once, and a handshake costs more than most floods do. After 20
/// floods in a minute a network (/24 of IPv4, /56 of IPv6) gets two new connections a second, one after
/// another, until ten seconds have passed without a flood. Connections it has already are not slowed
/// down, nor is anybody else. One a worker; time comes in as an argument.
struct FloodLimiter {
    private struct Penalty {
        /// When the last connection that came may go on.
        var last: NIODeadline
        var end: NIODeadline
    }

    private var free = FailureBuckets(capacity: Self.floodsPerMinute, sets: Self.setCount)
    private var penalties: [UInt128: Penalty] = [:]
    /// When the last of them ends.
    private var end = NIODeadline.uptimeNanoseconds(0)

    /// Whether any network is slowed down.
    var isNeeded: Bool { !self.penalties.isEmpty }

    /// Counts a client that was sent away.
    mutating func recordFlood(source: IPAddress, now: NIODeadline) {
        let network = source.sourceNetwork
        let milliseconds = Int64(now.uptimeNanoseconds / 1_000_000)
        guard !self.free.take(network, nowMilliseconds: milliseconds) else { return }
        if self.penalties[network] == nil, self.penalties.count >= Self.maximumPenalties {
            self.penalties = self.penalties.filter { $0.value.end > now }
            guard self.penalties.count < Self.maximumPenalties else { return }
        }
        self.end = now + Self.duration
        self.penalties[network, default: Penalty(last: now, end: now)].end = self.end
    }

    /// How long a new connection has to wait for its handshake; nil if it is one too many.
    mutating func delay(source: IPAddress, now: NIODeadline) -> TimeAmount? {
        // Whoever comes clears what nobody else may come for.
        if self.end <= now { self.penalties = [:] }
        let network = source.sourceNetwork
        guard let penalty = self.penalties[network], penalty.end > now else { return .zero }
        let turn = max(now, penalty.last + Self.spacing)
        guard turn - now <= Self.longestDelay else { return nil }
        self.penalties[network]?.last = turn
        return turn - now
    }

    private static let floodsPerMinute: Int64 = 20
    private static let setCount = 256
    private static let maximumPenalties = 1024
    private static let duration = TimeAmount.seconds(10)
    /// 500 ms: what two handshakes, ours with the client and with a backend, take of a worker's time is
    /// then less than the hundredth part, and others' p99 stays what it was.
    private static let spacing = TimeAmount.milliseconds(500)
    /// 5 s: ten that wait.
    private static let longestDelay = TimeAmount.seconds(5)
}
