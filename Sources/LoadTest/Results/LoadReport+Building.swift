internal import NIOCore
internal import TLS

extension LoadReport {
    /// Puts together what the workers of a run counted.
    init(
        _ plan: LoadPlan, setups: [LoadWorkerSetup], _ tallies: [LoadTally],
        _ timeline: (points: [SecondPoint], total: IntervalTally), elapsed: Double,
        isInterrupted: Bool, processorSeconds: Double
    ) {
        var tally = LoadTally()
        for other in tallies { tally.add(other) }
        let total = timeline.total
        // Not to the end of a request that is given up long after the last answer.
        let lastAnswer = timeline.points.last { $0.completed > 0 }.map { Double($0.second + 1) }
        let answering = min(elapsed, lastAnswer ?? elapsed)
        let seconds = max(isInterrupted ? elapsed : max(plan.seconds, answering), 1e-9)
        self.plan = PlanSummary(plan, setups)
        self.counts = Counts(
            offered: total.offered, sent: total.sent, completed: total.completed,
            failed: total.failed, cancelled: total.cancelled)
        self.elapsed = elapsed
        self.throughput = Double(total.completed) / seconds
        self.latency = Distribution(total.latency)
        self.service = Distribution(tally.service)
        self.scheduleLag = Distribution(tally.scheduleLag)
        self.connectionWait = Distribution(tally.connectionWait)
        self.firstByte = Distribution(tally.firstByte)
        self.failedLatency = Distribution(tally.failedLatency)
        self.failures = Self.named(tally.failures)
        self.statuses = Self.statuses(tally.statuses)
        let warm = Double(plan.warmUp.nanoseconds) / 1e9
        self.connections = Connections(tally, seconds: seconds + warm)
        self.bytes = Bytes(
            bodiesSent: tally.bodyBytesSent, bodiesReceived: tally.bodyBytesReceived,
            wireSent: tally.wireBytesSent, wireReceived: tally.wireBytesReceived)
        self.inference = Inference(plan, tally.inference, total, seconds: seconds)
        self.generator = Generator(
            processorSeconds: processorSeconds,
            requestsPerProcessorSecond: Double(total.completed + total.failed)
                / max(processorSeconds, 1e-9),
            workers: setups.count)
        self.seconds = timeline.points
        self.spectrum = Self.spectrum(total.latency)
        self.isInterrupted = isInterrupted
    }

    private static func named(_ failures: [Int]) -> [String: Int] {
        var named: [String: Int] = [:]
        for kind in FailureKind.allCases where failures[kind.rawValue] > 0 {
            named[kind.name] = failures[kind.rawValue]
        }
        return named
    }

    private static func statuses(_ counts: [Int]) -> [String: Int] {
        var statuses: [String: Int] = [:]
        for (status, count) in counts.enumerated() where count > 0 { statuses["\(status)"] = count }
        return statuses
    }

    /// Percentiles at even distances on a scale of 1/(1 − p), as far as there are samples.
    private static func spectrum(_ histogram: LatencyHistogram) -> [Percentile] {
        guard histogram.count > 0 else { return [] }
        var points: [Percentile] = []
        var beyond = 1.0
        while true {
            let percentile = 100 * (1 - beyond)
            guard let value = histogram.value(at: percentile) else { return points }
            points.append(Percentile(percentile: percentile, value: value / 1e9))
            // Twelve points for each time the rest becomes a tenth.
            beyond *= 0.825_404_185_268
        }
    }
}

extension LoadReport.Connections {
    init(_ tally: LoadTally, seconds: Double) {
        self.made = tally.connections
        self.failed = tally.connectionFailures.counts
        self.connect = LoadReport.Distribution(tally.connect)
        self.fullHandshake = LoadReport.Distribution(tally.fullHandshake)
        self.resumedHandshake = LoadReport.Distribution(tally.resumedHandshake)
        let handshakes = tally.fullHandshake.count + tally.resumedHandshake.count
        self.handshakesPerSecond = Double(handshakes) / seconds
        self.negotiated = tally.negotiated.map { key, count in
            LoadReport.NegotiatedRow(
                version: key.version.name, cipher: key.cipher.name, group: key.group?.name,
                alpn: key.alpn, isResumed: key.isResumed, count: count)
        }.sorted { ($0.count, $0.cipher) > ($1.count, $1.cipher) }
    }
}

extension LoadReport.Inference {
    /// nil where neither streams nor an SLO were asked for.
    init?(_ plan: LoadPlan, _ tally: InferenceTally, _ total: IntervalTally, seconds: Double) {
        guard plan.api.isStreaming || plan.serviceLevel != ServiceLevel() else { return nil }
        self.timeToFirstToken = LoadReport.Distribution(tally.firstToken)
        self.interTokenLatency = LoadReport.Distribution(tally.interToken)
        self.timePerOutputToken = LoadReport.Distribution(tally.perOutputToken)
        self.eventAge = LoadReport.Distribution(tally.eventAge)
        self.outputTokens = tally.outputTokens
        self.outputTokensPerSecond = Double(tally.outputTokens) / seconds
        self.goodput = Double(tally.good) / seconds
        let all = total.completed + total.failed
        self.goodShare = all == 0 ? 0 : Double(tally.good) / Double(all)
        self.withoutDone = tally.withoutDone
    }
}

extension PlanSummary {
    init(_ plan: LoadPlan, _ setups: [LoadWorkerSetup]) {
        self.url = SecretMask.text(SecretMask.url(plan.target.url))
        self.address = plan.target.place
        self.http = setups.first?.isHTTP2 == true ? "HTTP/2" : "HTTP/1.1"
        let what = plan.tls.isHandshakeOnly ? ", handshakes only" : ""
        switch plan.model {
        case .open(let profile, let arrivals):
            self.model = "open loop, \(arrivals.rawValue) arrivals\(what)"
            self.rates = profile.segments.map {
                RateRow(from: $0.from, to: $0.to, seconds: $0.seconds)
            }
        case .closed:
            self.model = "closed loop\(what)"
            self.rates = []
        }
        self.seconds = plan.seconds
        self.warmUpSeconds = Double(plan.warmUp.nanoseconds) / 1e9
        self.timeoutSeconds = Double(plan.timeout.nanoseconds) / 1e9
        self.workers = setups.count
        self.connections = setups.reduce(0) { $0 + $1.connections }
        self.streams = setups.first?.streams ?? 1
        self.requestsPerConnection =
            plan.requestsPerConnection == .max ? nil : plan.requestsPerConnection
        self.resumedShare = plan.tls.resumedShare
        self.api = plan.api.rawValue
        self.serviceLevel = plan.serviceLevel.text
    }
}

extension ServiceLevel {
    /// As it is written on the command line; nil without limits.
    fileprivate var text: String? {
        let limits = [
            ("latency", self.latency), ("ttft", self.firstToken), ("tpot", self.perOutputToken),
        ]
        let terms = limits.compactMap { name, limit in
            limit.map { "\(name)<\(Quantity.text(nanoseconds: Double($0.nanoseconds)))" }
        }
        return terms.isEmpty ? nil : terms.joined(separator: ", ")
    }
}
