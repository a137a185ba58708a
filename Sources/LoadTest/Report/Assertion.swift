internal import NIOCore

/// A condition on a report, such as `p99>5ms` or `errors>=1%`.
package struct Assertion: Sendable, Equatable {
    /// What is compared.
    package enum Metric: Sendable, Equatable {
        /// A percentile of a distribution.
        case percentile(Subject, Double)
        /// The mean of a distribution.
        case mean(Subject)
        /// The greatest of a distribution.
        case maximum(Subject)
        /// The share of requests that failed.
        case errors
        /// Good answers a second.
        case throughput
        /// The share of requests that kept the SLO.
        case goodput
        /// Output tokens a second.
        case tokens
    }

    /// A distribution of a report.
    package enum Subject: String, Sendable, CaseIterable {
        case latency
        case service
        case lag
        case firstByte = "first-byte"
        case handshake
        case resumed
        case firstToken = "ttft"
        case interToken = "itl"
        case perOutputToken = "tpot"

        /// Whether every answer gives a sample, or at most one: how many a run can have is known before it.
        var isOneAnAnswer: Bool {
            switch self {
            case .latency, .service, .lag, .firstByte, .firstToken, .perOutputToken: true
            case .handshake, .resumed, .interToken: false
            }
        }

        func distribution(of report: LoadReport) -> LoadReport.Distribution? {
            switch self {
            case .latency: report.latency
            case .service: report.service
            case .lag: report.scheduleLag
            case .firstByte: report.firstByte
            case .handshake: report.connections.fullHandshake
            case .resumed: report.connections.resumedHandshake
            case .firstToken: report.inference?.timeToFirstToken
            case .interToken: report.inference?.interTokenLatency
            case .perOutputToken: report.inference?.timePerOutputToken
            }
        }
    }

    enum Comparison: String, Sendable, CaseIterable {
        case atLeast = ">="
        case atMost = "<="
        case above = ">"
        case below = "<"

        func holds(_ left: Double, _ right: Double) -> Bool {
            switch self {
            case .atLeast: left >= right
            case .atMost: left <= right
            case .above: left > right
            case .below: left < right
            }
        }
    }

    /// As it was written.
    package let text: String
    let metric: Metric
    let comparison: Comparison
    /// Seconds, a share, or a number a second.
    let limit: Double

    /// Reads a condition.
    ///
    /// - Throws: `.usage` with what there is to compare.
    package init(_ text: String) throws(LoadError) {
        let compact = text.filter { $0 != " " }
        guard let comparison = Comparison.allCases.first(where: { compact.contains($0.rawValue) }),
            let range = compact.firstRange(of: comparison.rawValue),
            let metric = Self.metric(compact[..<range.lowerBound]),
            let limit = Self.limit(compact[range.upperBound...], of: metric)
        else {
            throw .usage(
                """
                "\(text)" is no condition: METRIC>LIMIT, METRIC<LIMIT, >= or <=, where METRIC is p50, p75, \
                p90, p95, p99, p99.9, p99.99, mean or max, of latency or of another as in ttft.p99 \
                (\(Subject.allCases.map(\.rawValue).joined(separator: ", "))) and LIMIT a time such as 5ms; \
                or errors or goodput and a share such as 1%; or throughput or tokens and a number a second
                """)
        }
        self.text = text
        self.metric = metric
        self.comparison = comparison
        self.limit = limit
    }

    /// How many answers a run needs for it to be judged; nil where that depends on more than these.
    var answersNeeded: Int? {
        guard case .percentile(let subject, let percentile) = self.metric, subject.isOneAnAnswer
        else { return nil }
        return LatencyHistogram.samplesNeeded(for: percentile)
    }

    /// Whether a report says so; nil where it cannot say, with the reason in `found`.
    package func judge(_ report: LoadReport) -> (holds: Bool?, found: String) {
        switch self.metric {
        case .percentile(let subject, let percentile):
            guard let distribution = subject.distribution(of: report) else {
                return (nil, "there is no \(subject.rawValue)")
            }
            guard let value = distribution.value(at: percentile) else {
                let needed = LatencyHistogram.samplesNeeded(for: percentile)
                return (
                    nil,
                    "p\(Self.plain(percentile)) needs \(needed) samples, there are \(distribution.count)"
                )
            }
            return self.time(value)
        case .mean(let subject):
            return self.time(subject.distribution(of: report)?.mean)
        case .maximum(let subject):
            return self.time(subject.distribution(of: report)?.maximum)
        case .errors: return self.share(report.counts.failedShare)
        case .goodput: return self.share(report.inference?.goodShare)
        case .throughput: return self.rate(report.throughput)
        case .tokens: return self.rate(report.inference?.outputTokensPerSecond)
        }
    }

    private func time(_ value: Double?) -> (Bool?, String) {
        self.compare(value) { Quantity.text(nanoseconds: $0 * 1e9) }
    }

    private func share(_ value: Double?) -> (Bool?, String) {
        self.compare(value) { Quantity.text($0 * 100) + " %" }
    }

    private func rate(_ value: Double?) -> (Bool?, String) {
        self.compare(value) { Quantity.text($0) + "/s" }
    }

    private func compare(_ value: Double?, _ text: (Double) -> String) -> (Bool?, String) {
        guard let value else { return (nil, "nothing was measured") }
        return (self.comparison.holds(value, self.limit), text(value))
    }

    private static func metric(_ text: Substring) -> Metric? {
        switch text {
        case "errors": return .errors
        case "throughput": return .throughput
        case "goodput": return .goodput
        case "tokens": return .tokens
        default: break
        }
        var subject = Subject.latency
        var statistic = text
        if let dot = text.firstIndex(of: "."), let named = Subject(rawValue: String(text[..<dot])) {
            subject = named
            statistic = text[text.index(after: dot)...]
        }
        switch statistic {
        case "mean": return .mean(subject)
        case "max": return .maximum(subject)
        default:
            guard statistic.first == "p", let number = Quantity.number(statistic.dropFirst()),
                LoadReport.Distribution.percentiles.contains(number)
            else { return nil }
            return .percentile(subject, number)
        }
    }

    private static func limit(_ text: Substring, of metric: Metric) -> Double? {
        switch metric {
        case .percentile, .mean, .maximum:
            Quantity.duration(text).map { Double($0.nanoseconds) / 1e9 }
        case .errors, .goodput: Quantity.share(text)
        case .throughput, .tokens: Quantity.number(text.hasSuffix("/s") ? text.dropLast(2) : text)
        }
    }

    /// `99` or `99.9`.
    static func plain(_ percentile: Double) -> String {
        percentile == percentile.rounded() ? "\(Int(percentile))" : "\(percentile)"
    }
}
