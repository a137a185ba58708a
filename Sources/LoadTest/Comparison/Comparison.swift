/// Two targets asked in turn, A B A B, so that what the machine does meanwhile is done to both.
package struct Comparison: Sendable, Codable, Equatable {
    /// What one run found.
    package struct Leg: Sendable, Codable, Equatable {
        package var throughput: Double
        package var mean: Double?
        package var p50: Double?
        package var p90: Double?
        package var p99: Double?
        package var failedShare: Double
    }

    /// One run of each.
    package struct Round: Sendable, Codable, Equatable {
        package var a: Leg
        package var b: Leg
    }

    /// B − A within each round, over the rounds.
    package struct Difference: Sendable, Codable, Equatable {
        package var metric: String
        package var medianOfA: Double
        package var medianOfB: Double
        /// Median, least and greatest of the differences.
        package var median: Double
        package var low: Double
        package var high: Double
        /// Median, least and greatest of B / A; nil where A is zero.
        package var ratio: Double?
        package var lowRatio: Double?
        package var highRatio: Double?
    }

    /// Changes with the meaning of any field.
    package var schema = "scoregate-load-comparison/1"
    package var environment: ReportEnvironment?
    package var a: PlanSummary?
    package var b: PlanSummary?
    package var rounds: [Round] = [] {
        didSet { self.differences = Self.differences(of: self.rounds) }
    }
    /// The differences of what was measured in every round; files have them too.
    package private(set) var differences: [Difference] = []
    /// What was not kept in any run.
    package var broken: [String] = []

    /// Compares.
    ///
    /// - Parameters:
    ///   - first: A.
    ///   - second: B.
    ///   - rounds: How often.
    ///   - expectations: What each run must keep.
    ///   - isInterrupted: Ends the comparison with the rounds it has.
    ///   - observe: Told of each round.
    /// - Returns: The rounds, as far as there are, without the environment; and what kept further ones from
    ///   being, if something did.
    /// - Throws: ``LoadError`` if the first round cannot be.
    package static func run(
        _ first: LoadPlan, _ second: LoadPlan, rounds: Int, _ expectations: Expectations,
        isInterrupted: @escaping @Sendable () -> Bool, observe: (Round) -> Void
    ) async throws -> (found: Comparison, failure: (any Error)?) {
        var comparison = Comparison()
        for number in 1...rounds where !isInterrupted() {
            let a: LoadReport
            let b: LoadReport
            do {
                a = try await LoadRun.run(first, isInterrupted: isInterrupted)
                b = try await LoadRun.run(second, isInterrupted: isInterrupted)
            } catch {
                guard !comparison.rounds.isEmpty else { throw error }
                return (comparison, error)
            }
            if a.isInterrupted || b.isInterrupted { break }
            comparison.a = a.plan
            comparison.b = b.plan
            let round = Round(a: Leg(a), b: Leg(b))
            comparison.rounds.append(round)
            for (name, report) in [("A", a), ("B", b)] {
                for verdict in expectations.judge(report) where !verdict.isKept {
                    comparison.broken.append(
                        "round \(number), \(name), \(verdict.asked): \(verdict.found)")
                }
            }
            observe(round)
            if let failure = a.sessionFileFailure ?? b.sessionFileFailure {
                return (comparison, LoadError.environment(failure))
            }
        }
        return (comparison, nil)
    }

    private static func differences(of rounds: [Round]) -> [Difference] {
        let metrics: [(String, (Leg) -> Double?)] = [
            ("throughput", { $0.throughput }), ("latency mean", { $0.mean }),
            ("latency p50", { $0.p50 }), ("latency p90", { $0.p90 }), ("latency p99", { $0.p99 }),
        ]
        return metrics.compactMap { name, value in
            let pairs = rounds.compactMap { round in
                value(round.a).flatMap { a in value(round.b).map { (a: a, b: $0) } }
            }
            return pairs.count == rounds.count ? Difference(name, pairs) : nil
        }
    }

    /// A table for a terminal.
    package var text: String {
        var lines = [
            "A  \(self.a?.url ?? "") (\(self.a?.http ?? ""))",
            "B  \(self.b?.url ?? "") (\(self.b?.http ?? ""))",
            "\(self.rounds.count) rounds of A B; B − A and B / A within each round: median (range)",
            "",
        ]
        for difference in self.differences {
            let isTime = difference.metric.hasPrefix("latency")
            func value(_ number: Double) -> String {
                guard isTime else { return Quantity.text(number) }
                let text = Quantity.text(nanoseconds: abs(number) * 1e9)
                return number < 0 ? "-" + text : text
            }
            var line =
                "\(difference.metric): A \(value(difference.medianOfA)), B \(value(difference.medianOfB)); "
                + "B − A \(value(difference.median)) "
                + "(\(value(difference.low)) to \(value(difference.high)))"
            if let ratio = difference.ratio, let low = difference.lowRatio,
                let high = difference.highRatio
            {
                line +=
                    "; B / A \(Quantity.text(ratio)) "
                    + "(\(Quantity.text(low)) to \(Quantity.text(high)))"
            }
            lines.append(line)
        }
        if let floor = self.environment?.floorText { lines.append(floor) }
        lines += self.broken.map { "NOT KEPT  \($0)" }
        return lines.map { $0 + "\n" }.joined()
    }
}

extension Comparison.Leg {
    init(_ report: LoadReport) {
        self.throughput = report.throughput
        self.mean = report.latency?.mean
        self.p50 = report.latency?.value(at: 50)
        self.p90 = report.latency?.value(at: 90)
        self.p99 = report.latency?.value(at: 99)
        self.failedShare = report.counts.failedShare
    }
}

extension Comparison.Difference {
    /// nil without pairs.
    init?(_ metric: String, _ pairs: [(a: Double, b: Double)]) {
        let differences = pairs.map { $0.b - $0.a }.sorted()
        guard let low = differences.first, let high = differences.last else { return nil }
        self.metric = metric
        self.medianOfA = Self.median(pairs.map(\.a).sorted())
        self.medianOfB = Self.median(pairs.map(\.b).sorted())
        self.median = Self.median(differences)
        self.low = low
        self.high = high
        guard pairs.allSatisfy({ $0.a > 0 }) else { return }
        let ratios = pairs.map { $0.b / $0.a }.sorted()
        self.ratio = Self.median(ratios)
        self.lowRatio = ratios.first
        self.highRatio = ratios.last
    }

    /// Of numbers in order, at least one.
    private static func median(_ sorted: [Double]) -> Double {
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }
}
