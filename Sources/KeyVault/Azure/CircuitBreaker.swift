/// Leaves a peer alone that has not answered several times in a row, so that nobody waits for it.
///
/// A value without a clock: times come as arguments.
struct CircuitBreaker {
    private var failures = 0
    /// Until when nobody asks.
    private var openUntil: ContinuousClock.Instant?

    /// Whether to ask now; of those who ask while it recovers, only the first may.
    mutating func admits(at now: ContinuousClock.Instant) -> Bool {
        guard let openUntil else { return true }
        guard now >= openUntil else { return false }
        self.openUntil = now + Self.trial
        return true
    }

    /// The peer answered, whatever.
    mutating func succeeded() {
        self.failures = 0
        self.openUntil = nil
    }

    /// The peer did not answer.
    mutating func failed(at now: ContinuousClock.Instant) {
        self.failures += 1
        if self.failures >= Self.threshold { self.openUntil = now + Self.pause }
    }

    /// The peer wants to be left alone.
    mutating func pause(until time: ContinuousClock.Instant) {
        self.openUntil = max(self.openUntil ?? time, time)
    }

    /// How long it stays closed to questions from `now` on.
    func remaining(at now: ContinuousClock.Instant) -> Duration {
        self.openUntil.map { max($0 - now, .zero) } ?? .zero
    }

    /// 6: two questions with all their retries.
    private static let threshold = 6
    /// 1 s: less than the time from probe to probe, so that each probe finds the peer when it is back.
    private static let pause = Duration.seconds(1)
    /// 2 s: as long as one question may take.
    private static let trial = Duration.seconds(2)
}
