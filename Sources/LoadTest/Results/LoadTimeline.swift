internal import Synchronization

/// What happened second by second, put together from all workers.
///
/// Workers only hand over what they counted, once a second. To merge and sort it takes milliseconds,
/// which ``advance()`` takes from another thread: on a worker's it would make requests late.
final class LoadTimeline: Sendable {
    private struct State {
        var seconds: [IntervalTally] = []
        /// How many workers have reported each.
        var reports: [Int] = []
        var total = IntervalTally()
        var points: [SecondPoint] = []
    }

    private let handedOver = Mutex<[(second: Int, tally: IntervalTally)]>([])
    private let state = Mutex(State())
    private let workers: Int
    private let observe: (@Sendable (SecondPoint) -> Void)?

    /// No second yet.
    ///
    /// - Parameters:
    ///   - workers: How many report each second.
    ///   - observe: Told of each second, on the thread that calls ``advance()``.
    init(workers: Int, observe: (@Sendable (SecondPoint) -> Void)?) {
        self.workers = workers
        self.observe = observe
    }

    /// Takes what one worker counted in second `second` of the run.
    func add(_ tally: IntervalTally, second: Int) {
        self.handedOver.withLock { $0.append((second, tally)) }
    }

    /// Merges what was handed over, and tells of the seconds that are complete.
    func advance() { self.advance(whereReports: self.workers) }

    /// All seconds, and all of them together; also those that not every worker has reported.
    func finish() -> (points: [SecondPoint], total: IntervalTally) {
        self.advance(whereReports: 0)
        return self.state.withLock { state in
            while let last = state.points.last, last.isEmpty { state.points.removeLast() }
            return (state.points, state.total)
        }
    }

    private func advance(whereReports needed: Int) {
        var tallies: [(second: Int, tally: IntervalTally)] = []
        self.handedOver.withLock { swap(&$0, &tallies) }
        let points = self.state.withLock { state -> [SecondPoint] in
            for (second, tally) in tallies { Self.merge(tally, second, into: &state) }
            let told = state.points.count
            while state.points.count < state.seconds.count,
                state.reports[state.points.count] >= needed
            {
                let second = state.points.count
                state.points.append(SecondPoint(second: second, state.seconds[second]))
                state.total.add(state.seconds[second])
                // Of a second gone by only the point is kept: a histogram has 130 KiB.
                state.seconds[second] = IntervalTally()
            }
            return Array(state.points[told...])
        }
        for point in points { self.observe?(point) }
    }

    private static func merge(_ tally: IntervalTally, _ second: Int, into state: inout State) {
        while state.seconds.count <= second {
            state.seconds.append(IntervalTally())
            state.reports.append(0)
        }
        state.seconds[second].add(tally)
        state.reports[second] += 1
    }
}

/// One second of a run, as reports have it; times in seconds.
package struct SecondPoint: Sendable, Codable, Equatable {
    /// From the end of the warm-up.
    package let second: Int
    /// Requests that were due.
    package let offered: Int
    /// Requests given to a connection.
    package let sent: Int
    /// Good answers.
    package let completed: Int
    /// Requests without a good answer.
    package let failed: Int
    /// Requests given up on purpose.
    package let cancelled: Int
    /// Of good answers and time-outs; nil where too few came to say.
    package let p50: Double?
    package let p90: Double?
    package let p99: Double?
    package let p999: Double?
    /// nil where none came.
    package let maximum: Double?

    init(second: Int, _ tally: IntervalTally) {
        func value(_ percentile: Double) -> Double? {
            tally.latency.value(at: percentile).map { $0 / 1e9 }
        }
        self.second = second
        self.offered = tally.offered
        self.sent = tally.sent
        self.completed = tally.completed
        self.failed = tally.failed
        self.cancelled = tally.cancelled
        self.p50 = value(50)
        self.p90 = value(90)
        self.p99 = value(99)
        self.p999 = value(99.9)
        self.maximum = tally.latency.count > 0 ? tally.latency.maximum / 1e9 : nil
    }

    var isEmpty: Bool {
        self.offered + self.sent + self.completed + self.failed + self.cancelled == 0
            && self.maximum == nil
    }
}
