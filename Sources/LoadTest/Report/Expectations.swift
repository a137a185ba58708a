package import NIOCore

/// What is asked of a run, whatever the server.
package struct Expectations: Sendable {
    /// None of these may hold.
    package var failIf: [Assertion] = []
    /// The greatest share of requests that may fail.
    package var maximumErrors = 0.01
    /// How late the tester may start one request in a hundred.
    package var maximumLag = TimeAmount.milliseconds(10)

    /// The defaults.
    package init() {}

    /// What percentiles of the latency must stay below, in seconds: what charts can show as a line.
    var latencyLimits: [LoadReport.Percentile] {
        self.failIf.compactMap { assertion in
            guard case .percentile(.latency, let percentile) = assertion.metric,
                assertion.comparison == .above || assertion.comparison == .atLeast
            else { return nil }
            return LoadReport.Percentile(percentile: percentile, value: assertion.limit)
        }
    }

    /// Judges a run: the verdicts of ``LoadReport/verdicts``.
    package func judge(_ report: LoadReport) -> [LoadReport.Verdict] {
        var verdicts = [self.tester(report), self.errors(report)]
        for assertion in self.failIf {
            let (holds, found) = assertion.judge(report)
            verdicts.append(
                LoadReport.Verdict(
                    asked: "not \(assertion.text)", isKept: holds == false,
                    isKnown: holds != nil, found: found))
        }
        if !report.missedMarks.isEmpty {
            let commands = report.missedMarks.map {
                "at \(Quantity.short($0.at)) s \($0.command)"
            }
            verdicts.append(
                LoadReport.Verdict(
                    asked: "every command of --at is run", isKept: false,
                    found: "it was over before " + commands.joined(separator: ", ")))
        }
        return verdicts
    }

    /// Whether the tester kept up: otherwise its delays are in what it says of the server.
    private func tester(_ report: LoadReport) -> LoadReport.Verdict {
        let limit = Quantity.text(nanoseconds: Double(self.maximumLag.nanoseconds))
        let lag = report.scheduleLag
        let (name, late) =
            lag?.value(at: 99).map { ("p99", $0) } ?? ("at most", lag?.maximum ?? 0)
        let notSent = report.failures[FailureKind.notSent.name] ?? 0
        var found = "schedule lag \(name) \(Quantity.text(nanoseconds: late * 1e9))"
        var isKept = late * 1e9 <= Double(self.maximumLag.nanoseconds)
        if !isKept {
            found =
                "the tester fell behind: one request in a hundred was started "
                + "\(Quantity.text(nanoseconds: late * 1e9)) or more after it was due; its delay is in "
                + "the latency above. Lower --rate, or use more --workers or a faster machine"
        }
        if notSent > 0 {
            isKept = false
            found =
                "\(notSent) requests were never sent: more were waiting than --outstanding allows, "
                + "because server or tester is slower than --rate"
        }
        return LoadReport.Verdict(
            asked: "the tester keeps up (lag at most \(limit))", isKept: isKept, found: found)
    }

    private func errors(_ report: LoadReport) -> LoadReport.Verdict {
        let counts = report.counts
        let all = counts.completed + counts.failed
        let asked =
            self.maximumErrors == 0
            ? "no errors" : "errors at most \(Quantity.short(self.maximumErrors * 100)) %"
        guard all > 0 else {
            return LoadReport.Verdict(
                asked: asked, isKept: counts.cancelled > 0, found: "not one answer came")
        }
        var found = "\(counts.failed) of \(all) failed"
        if counts.failed > 0 { found += ": " + Self.reasons(report) }
        return LoadReport.Verdict(
            asked: asked, isKept: counts.failedShare <= self.maximumErrors, found: found)
    }

    /// The kinds of errors, the most frequent first, and what they most likely mean.
    private static func reasons(_ report: LoadReport) -> String {
        let kinds = report.failures.sorted { ($0.value, $1.key) > ($1.value, $0.key) }
        var parts: [String] = []
        for (kind, count) in kinds {
            switch kind {
            case FailureKind.status.name:
                let statuses = report.statuses.filter { !$0.key.hasPrefix("2") }
                    .sorted { ($0.value, $1.key) > ($1.value, $0.key) }
                for (status, count) in statuses {
                    let meaning = Self.meanings[status].map { " (\($0))" } ?? ""
                    parts.append("\(count) answered \(status)\(meaning)")
                }
            case FailureKind.timeout.name:
                parts.append(
                    "\(count) without an answer in \(Quantity.text(report.plan.timeoutSeconds)) s")
            case FailureKind.malformed.name: parts.append("\(count) answered what is not HTTP")
            case FailureKind.closed.name: parts.append("\(count) closed before the answer's end")
            case FailureKind.connect.name, FailureKind.tls.name:
                let text = report.connections.failed.max { $0.value < $1.value }?.key
                parts.append("\(count) without a connection" + (text.map { " (\($0))" } ?? ""))
            default: parts.append("\(count) \(kind)")
            }
        }
        return parts.joined(separator: ", ")
    }

    private static let meanings = [
        "401": "the key is missing or wrong: --key-file", "404": "no such path",
        "413": "the body is too large", "421": "the host is not the server's",
        "429": "the server is at its limit",
    ]
}
