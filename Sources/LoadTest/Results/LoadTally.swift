internal import HTTPTransport
internal import TLS

/// Why a request has no good answer.
package enum FailureKind: Int, Sendable, CaseIterable {
    /// No connection.
    case connect
    /// TLS failed.
    case tls
    /// No whole answer in time.
    case timeout
    /// The server closed, or reset, before the answer's end.
    case closed
    /// What came is not HTTP.
    case malformed
    /// The server did not begin with it (RFC 9113, 8.7).
    case refused
    /// A status other than 2xx.
    case status
    /// A stream of events with an error in it.
    case streamError
    /// What came for a stream of events is none, or has events that are no JSON.
    case streamMalformed
    /// A stream of events that ended without `[DONE]`.
    case streamUnfinished
    /// Never sent: more were outstanding than there may be, or the test was over.
    case notSent

    /// As reports call it.
    package var name: String {
        switch self {
        case .connect: "connect"
        case .tls: "tls"
        case .timeout: "timeout"
        case .closed: "closed"
        case .malformed: "malformed"
        case .refused: "refused"
        case .status: "status"
        case .streamError: "stream error"
        case .streamMalformed: "stream malformed"
        case .streamUnfinished: "stream unfinished"
        case .notSent: "not sent"
        }
    }

    init(_ error: StreamError) {
        switch error {
        case .closed, .truncated: self = .closed
        case .malformed: self = .malformed
        case .tooSlow: self = .timeout
        case .tls, .alert: self = .tls
        case .unreachable: self = .connect
        case .exhausted: self = .notSent
        case .refused: self = .refused
        }
    }
}

/// What handshakes agreed on.
package struct Negotiated: Sendable, Hashable {
    let version: TLSVersion
    let cipher: TLSCipher
    let group: TLSGroup?
    let alpn: String?
    let isResumed: Bool

    init(_ session: TLSSessionInfo) {
        self.version = session.version
        self.cipher = session.cipher
        self.group = session.group
        self.alpn = session.alpn
        self.isResumed = session.isResumed
    }
}

/// Texts and how often each came; the ones that come first are kept.
struct TextCounts: Sendable {
    private(set) var counts: [String: Int] = [:]

    mutating func count(_ text: String, _ number: Int = 1) {
        if self.counts[text] != nil || self.counts.count < Self.maximum {
            self.counts[text, default: 0] += number
        } else {
            self.counts["others", default: 0] += number
        }
    }

    mutating func add(_ other: TextCounts) {
        for (text, number) in other.counts { self.count(text, number) }
    }

    /// 32 texts: a server that fails in more ways than that is beyond counting.
    private static let maximum = 32
}

/// What happened in one second of one worker.
struct IntervalTally: Sendable {
    var offered = 0
    var sent = 0
    var completed = 0
    var failed = 0
    var cancelled = 0
    /// Of good answers, and of requests given up for lack of one.
    var latency = LatencyHistogram()

    mutating func add(_ other: IntervalTally) {
        self.offered += other.offered
        self.sent += other.sent
        self.completed += other.completed
        self.failed += other.failed
        self.cancelled += other.cancelled
        self.latency.add(other.latency)
    }
}

/// What happened in all of a run, but for what is counted by the second.
struct LoadTally: Sendable {
    /// End − start: without the time a request waited to be sent at all.
    var service = LatencyHistogram()
    /// Start − intended start: how late the tester was.
    var scheduleLag = LatencyHistogram()
    /// Start to the stream that carries the request.
    var connectionWait = LatencyHistogram()
    /// Request sent to the head of its answer.
    var firstByte = LatencyHistogram()
    /// Latency of answers that are errors.
    var failedLatency = LatencyHistogram()
    var connect = LatencyHistogram()
    var fullHandshake = LatencyHistogram()
    var resumedHandshake = LatencyHistogram()
    var failures = [Int](repeating: 0, count: FailureKind.allCases.count)
    var statuses = [Int](repeating: 0, count: 600)
    var connections = 0
    var connectionFailures = TextCounts()
    var negotiated: [Negotiated: Int] = [:]
    var bodyBytesReceived = 0
    var bodyBytesSent = 0
    var wireBytesReceived = 0
    var wireBytesSent = 0
    var inference = InferenceTally()

    mutating func add(_ other: LoadTally) {
        self.service.add(other.service)
        self.scheduleLag.add(other.scheduleLag)
        self.connectionWait.add(other.connectionWait)
        self.firstByte.add(other.firstByte)
        self.failedLatency.add(other.failedLatency)
        self.connect.add(other.connect)
        self.fullHandshake.add(other.fullHandshake)
        self.resumedHandshake.add(other.resumedHandshake)
        for index in self.failures.indices { self.failures[index] += other.failures[index] }
        for index in self.statuses.indices { self.statuses[index] += other.statuses[index] }
        self.connections += other.connections
        self.connectionFailures.add(other.connectionFailures)
        self.negotiated.merge(other.negotiated) { $0 + $1 }
        self.bodyBytesReceived += other.bodyBytesReceived
        self.bodyBytesSent += other.bodyBytesSent
        self.wireBytesReceived += other.wireBytesReceived
        self.wireBytesSent += other.wireBytesSent
        self.inference.add(other.inference)
    }
}
