internal import NIOCore

/// What a load test found: what is printed, and the JSON file.
///
/// Times are in seconds. What was not measured, or not often enough to say, is not there.
package struct LoadReport: Sendable, Codable, Equatable {
    /// Changes with the meaning of any field; further fields do not change it.
    package static let schema = "scoregate-load/1"

    /// Which form of report this is.
    package var schema = Self.schema
    /// Where and how it was made.
    package var environment: ReportEnvironment?
    /// What was to be done.
    package var plan: PlanSummary
    /// Requests, all times together.
    package var counts: Counts
    /// Seconds from the end of the warm-up to the last answer.
    package var elapsed: Double
    /// Good answers a second, over the time requests were due and, if that is longer, until the last
    /// good answer.
    package var throughput: Double
    /// End − intended start, of good answers and of time-outs as far as they had come.
    package var latency: Distribution?
    /// End − start.
    package var service: Distribution?
    /// Start − intended start: the tester's own delay.
    package var scheduleLag: Distribution?
    /// Start to a stream of a connection that is there.
    package var connectionWait: Distribution?
    /// Request sent to head of the answer.
    package var firstByte: Distribution?
    /// End − intended start, of errors.
    package var failedLatency: Distribution?
    /// Errors by kind.
    package var failures: [String: Int]
    /// Answers by status.
    package var statuses: [String: Int]
    /// How the connections came about; the warm-up's are among them.
    package var connections: Connections
    /// Bytes of bodies, and of all that TLS gave to and took from the network.
    package var bytes: Bytes
    /// Of streamed answers, and goodput.
    package var inference: Inference?
    /// What the test cost where it ran.
    package var generator: Generator
    /// Second by second.
    package var seconds: [SecondPoint]
    /// Of short windows, where they were asked for.
    package var windows: Windows?
    /// Latency by percentile, closer and closer to 100.
    package var spectrum: [Percentile]
    /// Commands run in mid-run.
    package var marks: [Mark] = []
    /// Commands of the plan that were not run: the run was over before their time.
    package var missedMarks: [MissedMark] = []
    /// Why the session file could not be written; nil if it was, or there is none.
    package var sessionFileFailure: String?
    /// Whether it was ended before its time.
    package var isInterrupted: Bool
    /// What was asked of it, and whether it was kept.
    package var verdicts: [Verdict] = []

    /// Numbers of requests.
    package struct Counts: Sendable, Codable, Equatable {
        /// Due.
        package var offered: Int
        /// Given to a connection.
        package var sent: Int
        /// Good answers.
        package var completed: Int
        /// Without a good answer.
        package var failed: Int
        /// Given up on purpose.
        package var cancelled: Int

        /// Of what was done with, the share that failed.
        package var failedShare: Double {
            let all = self.completed + self.failed
            return all == 0 ? 0 : Double(self.failed) / Double(all)
        }
    }

    /// A percentile.
    package struct Percentile: Sendable, Codable, Equatable {
        /// 0 to 100.
        package var percentile: Double
        /// Seconds that so many of 100 are not above.
        package var value: Double
    }

    /// How times are spread.
    package struct Distribution: Sendable, Codable, Equatable {
        /// How many there were.
        package var count: Int
        package var mean: Double
        package var minimum: Double
        package var maximum: Double
        /// Those of 50, 75, 90, 95, 99, 99.9 and 99.99 that so many samples support.
        package var percentiles: [Percentile]

        /// nil where nothing was counted.
        init?(_ histogram: LatencyHistogram) {
            guard histogram.count > 0 else { return nil }
            self.count = histogram.count
            self.mean = histogram.mean / 1e9
            self.minimum = histogram.minimum / 1e9
            self.maximum = histogram.maximum / 1e9
            self.percentiles = Self.percentiles.compactMap { percentile in
                histogram.value(at: percentile).map {
                    Percentile(percentile: percentile, value: $0 / 1e9)
                }
            }
        }

        /// The value of one of the percentiles; nil where there are too few samples.
        package func value(at percentile: Double) -> Double? {
            self.percentiles.first { $0.percentile == percentile }?.value
        }

        /// The percentiles reports have.
        package static let percentiles = [50, 75, 90, 95, 99, 99.9, 99.99]
    }

    /// Connections and handshakes.
    package struct Connections: Sendable, Codable, Equatable {
        /// Made.
        package var made: Int
        /// Not made, by reason.
        package var failed: [String: Int]
        /// TCP.
        package var connect: Distribution?
        /// With certificates.
        package var fullHandshake: Distribution?
        /// With a ticket.
        package var resumedHandshake: Distribution?
        /// Handshakes a second, warm-up included.
        package var handshakesPerSecond: Double
        /// What was agreed on, and how often.
        package var negotiated: [NegotiatedRow]
    }

    /// A row of the table of what TLS agreed on.
    package struct NegotiatedRow: Sendable, Codable, Equatable {
        package var version: String
        package var cipher: String
        package var group: String?
        package var alpn: String?
        package var isResumed: Bool
        package var count: Int
    }

    /// Numbers of bytes.
    package struct Bytes: Sendable, Codable, Equatable {
        package var bodiesSent: Int
        package var bodiesReceived: Int
        /// Warm-up and handshakes included; zero without TLS.
        package var wireSent: Int
        package var wireReceived: Int
    }

    /// Of streamed answers.
    package struct Inference: Sendable, Codable, Equatable {
        /// Intended start to the first event with text.
        package var timeToFirstToken: Distribution?
        /// Between events with text.
        package var interTokenLatency: Distribution?
        /// (End − first token) / (tokens − 1), one value an answer.
        package var timePerOutputToken: Distribution?
        /// A stamped event's way from the model to the tester.
        package var eventAge: Distribution?
        package var outputTokens: Int
        package var outputTokensPerSecond: Double
        /// Good answers a second that kept the SLO.
        package var goodput: Double
        /// Their share of all requests done with.
        package var goodShare: Double
        /// Streams that ended without `[DONE]`.
        package var withoutDone: Int
    }

    /// Medians over the windows of a run: a stall of the machine in one of them does not reach these.
    package struct Windows: Sendable, Codable, Equatable {
        /// How long each was.
        package var seconds: Double
        /// How many had answers enough to say their p50.
        package var count: Int
        /// The median of each percentile of the latency; nil where half of the windows lack it.
        package var p50: Double?
        package var p90: Double?
        package var p99: Double?

        init(_ window: TimeAmount, _ points: [SecondPoint]) {
            func median(_ values: [Double]) -> Double? {
                let sorted = values.sorted()
                guard !sorted.isEmpty, sorted.count * 2 > points.count else { return nil }
                let middle = sorted.count / 2
                return sorted.count.isMultiple(of: 2)
                    ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
            }
            self.seconds = Double(window.nanoseconds) / 1e9
            self.count = points.count { $0.p50 != nil }
            self.p50 = median(points.compactMap(\.p50))
            self.p90 = median(points.compactMap(\.p90))
            self.p99 = median(points.compactMap(\.p99))
        }
    }

    /// What the test cost.
    package struct Generator: Sendable, Codable, Equatable {
        /// User and system time of the whole process.
        package var processorSeconds: Double
        package var requestsPerProcessorSecond: Double
        package var workers: Int
    }

    /// One thing asked of a run.
    package struct Verdict: Sendable, Codable, Equatable {
        package var asked: String
        package var isKept: Bool
        /// Whether there was enough to judge by; where there was not, it is not kept.
        package var isKnown = true
        package var found: String
    }
}

/// A plan, as reports have it.
package struct PlanSummary: Sendable, Codable, Equatable {
    package var url: String
    /// Where connections went.
    package var address: String
    package var http: String
    /// `open, constant arrivals`, and so on.
    package var model: String
    /// The stretches of an open loop.
    package var rates: [RateRow]
    package var seconds: Double
    package var warmUpSeconds: Double
    package var timeoutSeconds: Double
    package var workers: Int
    package var connections: Int
    package var streams: Int
    package var requestsPerConnection: Int?
    package var resumedShare: Double
    package var api: String
    package var serviceLevel: String?

    /// A stretch of an open loop.
    package struct RateRow: Sendable, Codable, Equatable {
        package var from: Double
        package var to: Double
        package var seconds: Double
    }
}
