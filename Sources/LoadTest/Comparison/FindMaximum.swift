/// The search for the highest rate that keeps what is asked.
package struct FindMaximum: Sendable, Codable, Equatable {
    /// One run.
    package struct Trial: Sendable, Codable, Equatable {
        /// Requests a second that were due.
        package var rate: Double
        /// Good answers a second.
        package var throughput: Double
        /// Latency in seconds; nil where there are too few samples.
        package var p50: Double?
        package var p99: Double?
        package var failedShare: Double
        package var isKept: Bool
        /// What was not kept.
        package var found: String?
    }

    /// Changes with the meaning of any field.
    package var schema = "scoregate-load-maximum/1"
    package var environment: ReportEnvironment?
    /// Of the first trial.
    package var plan: PlanSummary?
    /// What a rate had to keep.
    package var asked: [String] = []
    /// What percentiles of the latency had to stay below, where that was asked for.
    package var latencyLimits: [LoadReport.Percentile] = []
    /// In the order they were made.
    package var trials: [Trial] = []
    /// The highest rate that kept everything; nil if none did.
    package var maximum: Double?
    /// Whether it is the tester that could do no more.
    package var isLimitedByTester = false

    /// Searches.
    ///
    /// - Parameters:
    ///   - plan: An open loop; its rate is where the search begins, its duration that of each trial.
    ///   - expectations: What a rate must keep.
    ///   - isInterrupted: Ends the search with what it has.
    ///   - observe: Told of each trial.
    /// - Returns: What was found, as far as it came, without the environment; and what ended the search
    ///   before its time, if something did.
    /// - Throws: ``LoadError`` if the first trial cannot be begun.
    package static func run(
        _ plan: LoadPlan, _ expectations: Expectations,
        isInterrupted: @escaping @Sendable () -> Bool, observe: (Trial) -> Void
    ) async throws -> (found: FindMaximum, failure: (any Error)?) {
        guard case .open(let profile, let arrivals) = plan.model, profile.segments.count == 1,
            let first = profile.segments.first, first.from == first.to
        else { throw LoadError.usage("--find-max begins at one rate: --rate N, in an open loop") }
        var result = FindMaximum()
        result.latencyLimits = expectations.latencyLimits
        var search = RateSearch(start: first.from)
        while let rate = search.next, !isInterrupted() {
            var trial = plan
            trial.model = .open(RateProfile(constant: rate, seconds: first.seconds), arrivals)
            let report: LoadReport
            do {
                report = try await LoadRun.run(trial, isInterrupted: isInterrupted)
            } catch {
                guard !result.trials.isEmpty else { throw error }
                return (result, error)
            }
            if report.isInterrupted { break }
            if result.plan == nil { result.plan = report.plan }
            let verdicts = expectations.judge(report)
            result.asked = verdicts.map(\.asked)
            let broken = verdicts.first { !$0.isKept }
            let found = Trial(
                rate: rate, throughput: report.throughput, p50: report.latency?.value(at: 50),
                p99: report.latency?.value(at: 99), failedShare: report.counts.failedShare,
                isKept: broken == nil, found: broken.map { "\($0.asked): \($0.found)" })
            result.trials.append(found)
            observe(found)
            if broken != nil { result.isLimitedByTester = verdicts.first?.isKept == false }
            search.record(isHeld: broken == nil)
            result.maximum = search.held
            if let failure = report.sessionFileFailure {
                return (result, LoadError.environment(failure))
            }
        }
        return (result, nil)
    }

    /// A line a trial and the answer.
    package var text: String {
        var lines = self.trials.map(Self.line)
        if let maximum {
            lines.append("the highest rate that keeps it: \(Quantity.text(maximum)) a second")
            if self.isLimitedByTester {
                lines.append("beyond, it is the tester that falls behind, not the server")
            }
        } else {
            lines.append("no rate keeps it")
        }
        if let floor = self.environment?.floorText { lines.append(floor) }
        return lines.map { $0 + "\n" }.joined()
    }

    /// What one trial found, in a line.
    package static func line(_ trial: Trial) -> String {
        func time(_ seconds: Double?) -> String {
            seconds.map { Quantity.text(nanoseconds: $0 * 1e9) } ?? "–"
        }
        return "\(trial.isKept ? "kept    " : "not kept") \(Quantity.text(trial.rate))/s: "
            + "\(Quantity.text(trial.throughput)) good answers a second, p50 \(time(trial.p50)), "
            + "p99 \(time(trial.p99)), errors \(Quantity.text(trial.failedShare * 100)) %"
            + (trial.found.map { "; \($0)" } ?? "")
    }
}
