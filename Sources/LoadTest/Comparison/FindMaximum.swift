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
    /// The lowest rate whose trials have samples enough for what was asked.
    package var lowest = RateSearch.lowest
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
    /// - Throws: ``LoadError`` if the first trial cannot be begun, or would have too few samples.
    package static func run(
        _ plan: LoadPlan, _ expectations: Expectations,
        isInterrupted: @escaping @Sendable () -> Bool, observe: (Trial) -> Void
    ) async throws -> (found: FindMaximum, failure: (any Error)?) {
        guard case .open(let profile, let arrivals) = plan.model, profile.segments.count == 1,
            let first = profile.segments.first, first.from == first.to
        else { throw LoadError.usage("--find-max begins at one rate: --rate N, in an open loop") }
        var result = FindMaximum()
        result.latencyLimits = expectations.latencyLimits
        let needed = try Self.answersNeeded(expectations, of: first)
        var search = RateSearch(start: first.from, lowest: needed / first.seconds)
        result.lowest = search.lowest
        while let rate = search.next, !isInterrupted() {
            var trial = plan
            // A few answers may fail, or come by chance a little later than the trial is long.
            let seconds = max(first.seconds, needed * Self.reserve / rate)
            trial.model = .open(RateProfile(constant: rate, seconds: seconds), arrivals)
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
            let broken = verdicts.first { !$0.isKept && $0.isKnown }
            // Too few samples say nothing of the rate: to try a lower one would only give fewer.
            if broken == nil, let unknown = verdicts.first(where: { !$0.isKnown }) {
                let failure = LoadError.usage(
                    "\(unknown.asked): cannot be said at \(Quantity.short(rate))/s: \(unknown.found); "
                        + "a longer --duration gives more samples")
                return (result, failure)
            }
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

    /// How many answers a trial needs for everything to be judged.
    ///
    /// - Throws: `.usage` if the first trial cannot have so many.
    private static func answersNeeded(
        _ expectations: Expectations, of first: RateProfile.Segment
    ) throws(LoadError) -> Double {
        let most = expectations.failIf.max { $0.answersNeeded ?? 0 < $1.answersNeeded ?? 0 }
        guard let most, let needed = most.answersNeeded, case .percentile(_, let p) = most.metric
        else { return 0 }
        guard first.arrivals >= Double(needed) else {
            let seconds = (Double(needed) / first.from * 1000).rounded(.up) / 1000
            throw .usage(
                "--find-max: p\(Assertion.plain(p)) needs \(needed) samples, and "
                    + "\(Quantity.short(first.from)) requests a second for "
                    + "\(Quantity.short(first.seconds)) s are too few: a --duration of "
                    + "\(Quantity.short(seconds))s or more, or a higher --rate")
        }
        return Double(needed)
    }

    /// What was found, in a sentence.
    package var answer: String {
        if let maximum {
            return "the highest rate that keeps it: \(Quantity.text(maximum)) a second"
        }
        guard let last = self.trials.last, last.rate <= self.lowest else {
            return "no rate was found that keeps it, before the search was at its end"
        }
        guard self.lowest > RateSearch.lowest else { return "no rate keeps it" }
        return
            "no rate of \(Quantity.short(self.lowest)) a second or more keeps it; for lower ones "
            + "--duration is too short"
    }

    /// A line a trial and the answer.
    package var text: String {
        var lines = self.trials.map(Self.line) + [self.answer]
        if self.maximum != nil, self.isLimitedByTester {
            lines.append("beyond, it is the tester that falls behind, not the server")
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

    /// 1.1: how many more answers than are needed a trial is made long enough for.
    private static let reserve = 1.1
}
