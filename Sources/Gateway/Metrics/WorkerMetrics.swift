internal import HTTPTransport
internal import TLS

/// A worker's counts at one moment, as a value that can leave its loop.
struct WorkerMetrics: Sendable {
    let slots: [MetricsShard.Slot]
    let labels: [MetricsShard.SlotLabel]
    let inFlight: Int
    let connections: Int
    let acceptedConnections: Int
    let acceptPauses: [Int]
    let handshakesInProgress: Int
    let cutHandshakes: Int
    let floods: Int
    let delayedConnections: Int
    let refusedConnections: Int
    let delayedRefusals: Int
    let acceptedHTTP2Connections: Int
    let accessLogDrops: Int
    let clientHandshakes: HandshakeCounts
    let backendHandshakes: HandshakeCounts
    let pools: [Pool]

    /// Connections to one backend.
    struct Pool: Sendable {
        var endpoint: String
        var deployment: String
        var backend: String
        var open: Int
        var idle: Int
        var opened: Int
        var failures: Int
        var isHealthy: Bool
    }

    init(_ worker: Worker) {
        let shard = worker.metrics
        self.slots = shard.slots
        self.labels = shard.labels
        self.inFlight = shard.inFlight
        self.connections = shard.connections
        self.acceptedConnections = shard.acceptedConnections
        self.acceptPauses = shard.acceptPauses
        self.handshakesInProgress = worker.loop.tls.handshakes.count
        self.cutHandshakes = shard.cutHandshakes
        self.floods = shard.floods
        self.delayedConnections = shard.delayedConnections
        self.refusedConnections = shard.refusedConnections
        self.delayedRefusals = shard.delayedRefusals
        self.acceptedHTTP2Connections = shard.acceptedHTTP2Connections
        self.accessLogDrops = shard.accessLogDrops
        self.clientHandshakes = HandshakeCounts(shard.tls)
        self.backendHandshakes = HandshakeCounts(worker.loop.backendHandshakes)
        self.pools = worker.backendsByDeployment.flatMap { deployment, backends in
            backends.map { backend in
                Pool(
                    endpoint: worker.snapshot.endpoints[deployment.endpointIndex].configuration
                        .publicName,
                    deployment: deployment.configuration.publicName,
                    backend: deployment.configuration.publicAddress(backend.address),
                    open: backend.pool.open,
                    idle: backend.pool.idleConnections, opened: backend.pool.opened,
                    failures: backend.pool.failures, isHealthy: backend.isHealthy)
            }
        }
    }
}

/// Handshakes of one side by outcome.
struct HandshakeCounts: Sendable {
    private(set) var full: [Key: Int] = [:]
    private(set) var resumed: [Key: Int] = [:]
    private(set) var failures: [TLSCounters.Failure: Int] = [:]
    private(set) var truncations = 0

    struct Key: Hashable, Sendable {
        var version: TLSVersion
        var cipher: TLSCipher
    }

    init() {}

    init(_ counters: TLSCounters) {
        for version in TLSVersion.allCases {
            for cipher in TLSCipher.allCases {
                let key = Key(version: version, cipher: cipher)
                let full = counters.handshakes(version: version, cipher: cipher, isResumed: false)
                let resumed = counters.handshakes(version: version, cipher: cipher, isResumed: true)
                if full > 0 { self.full[key] = full }
                if resumed > 0 { self.resumed[key] = resumed }
            }
        }
        for failure in TLSCounters.Failure.allCases {
            self.failures[failure] = counters.failures(failure)
        }
        self.truncations = counters.truncations
    }

    mutating func add(_ other: HandshakeCounts) {
        self.full.merge(other.full, uniquingKeysWith: +)
        self.resumed.merge(other.resumed, uniquingKeysWith: +)
        self.failures.merge(other.failures, uniquingKeysWith: +)
        self.truncations += other.truncations
    }

    func samples(_ side: String) -> [(PrometheusText.Labels, Int)] {
        let kinds = [("full", self.full), ("resumed", self.resumed)]
        return kinds.flatMap { kind, counts in
            counts.sorted {
                ($0.key.version.rawValue, $0.key.cipher.rawValue) < (
                    $1.key.version.rawValue, $1.key.cipher.rawValue
                )
            }
            .map { key, count in
                (
                    [
                        ("side", side), ("kind", kind), ("version", key.version.name),
                        ("cipher", key.cipher.name),
                    ], count
                )
            }
        }
    }
}

/// The counts of all workers together.
struct MetricsSum {
    private var slots: [MetricsShard.SlotLabel: MetricsShard.Slot] = [:]
    private var inFlight = 0
    private var connections = 0
    private var accepted = 0
    private var acceptPauses = [Int](repeating: 0, count: AcceptObstacle.allCases.count)
    private var handshakesInProgress = 0
    private var cutHandshakes = 0
    private var floods = 0
    private var delayedConnections = 0
    private var refusedConnections = 0
    private var delayedRefusals = 0
    private var acceptedHTTP2 = 0
    var accessLogDrops = 0
    private var client = HandshakeCounts()
    private var backend = HandshakeCounts()
    private var pools: [String: WorkerMetrics.Pool] = [:]

    mutating func add(_ worker: WorkerMetrics) {
        for (label, slot) in zip(worker.labels, worker.slots) {
            self.slots[label, default: MetricsShard.Slot()].add(slot)
        }
        self.inFlight += worker.inFlight
        self.connections += worker.connections
        self.accepted += worker.acceptedConnections
        for (index, count) in worker.acceptPauses.enumerated() { self.acceptPauses[index] += count }
        self.handshakesInProgress += worker.handshakesInProgress
        self.cutHandshakes += worker.cutHandshakes
        self.floods += worker.floods
        self.delayedConnections += worker.delayedConnections
        self.refusedConnections += worker.refusedConnections
        self.delayedRefusals += worker.delayedRefusals
        self.acceptedHTTP2 += worker.acceptedHTTP2Connections
        self.accessLogDrops += worker.accessLogDrops
        self.client.add(worker.clientHandshakes)
        self.backend.add(worker.backendHandshakes)
        for pool in worker.pools {
            let key = "\(pool.endpoint)/\(pool.deployment)/\(pool.backend)"
            guard var sum = self.pools[key] else {
                self.pools[key] = pool
                continue
            }
            sum.open += pool.open
            sum.idle += pool.idle
            sum.opened += pool.opened
            sum.failures += pool.failures
            sum.isHealthy = sum.isHealthy && pool.isHealthy
            self.pools[key] = sum
        }
    }

    func write(to text: inout PrometheusText) {
        self.writeRequests(to: &text)
        text.gauge(
            "gateway_requests_in_flight", "Exchanges in progress.", [([], Double(self.inFlight))])
        text.gauge(
            "gateway_connections", "Client connections open.", [([], Double(self.connections))])
        text.counter(
            "gateway_connections_accepted_total", "Client connections accepted.",
            [([], self.accepted)])
        text.counter(
            "gateway_accept_pauses_total", "Times a worker stopped accepting for a while.",
            AcceptObstacle.allCases.map {
                ([("cause", $0.name)], self.acceptPauses[$0.rawValue])
            })
        text.gauge(
            "gateway_tls_handshakes_in_progress", "Clients' handshakes begun and not finished.",
            [([], Double(self.handshakesInProgress))])
        text.counter(
            "gateway_tls_handshakes_cut_total",
            "Clients' handshakes that stood still while others waited, and were ended.",
            [([], self.cutHandshakes)])
        text.counter(
            "gateway_http2_floods_total", "HTTP/2 clients sent away for what they overdid.",
            [([], self.floods)])
        text.counter(
            "gateway_flood_limited_connections_total",
            "Connections made to wait, or refused, because their network had many floods.",
            [
                ([("result", "delayed")], self.delayedConnections),
                ([("result", "refused")], self.refusedConnections),
            ])
        text.counter(
            "gateway_delayed_refusals_total",
            "Refusals of keys held back, because network or key id had many.",
            [([], self.delayedRefusals)])
        text.counter(
            "gateway_http2_connections_accepted_total",
            "Client connections that agreed on HTTP/2.", [([], self.acceptedHTTP2)])
        text.counter(
            "gateway_access_log_dropped_lines_total",
            "Access log lines that nobody took in time, or that could not be written.",
            [([], self.accessLogDrops)])
        text.counter(
            "gateway_tls_handshakes_total", "Handshakes completed.",
            self.client.samples("client") + self.backend.samples("backend"))
        let failures = [("client", self.client), ("backend", self.backend)]
        text.counter(
            "gateway_tls_handshake_failures_total", "Handshakes failed.",
            failures.flatMap { side, counts in
                TLSCounters.Failure.allCases.map {
                    ([("side", side), ("reason", $0.name)], counts.failures[$0] ?? 0)
                }
            })
        text.counter(
            "gateway_tls_truncations_total", "Connections ended without close_notify.",
            failures.map { ([("side", $0)], $1.truncations) })
        self.writePools(to: &text)
    }

    private func writeRequests(to text: inout PrometheusText) {
        let sorted = self.slots.sorted {
            ($0.key.endpoint, $0.key.deployment) < ($1.key.endpoint, $1.key.deployment)
        }
        let used = sorted.filter { $0.value.latencyBuckets.contains { $0 > 0 } }
        text.counter(
            "gateway_requests_total", "Requests answered, by status.",
            sorted.flatMap { label, slot in
                slot.requests.enumerated().filter { $1 > 0 }.map {
                    (Self.labels(label) + [("status", "\($0 + 100)")], $1)
                }
            })
        text.histogram(
            "gateway_request_duration_seconds",
            "From a request's first byte to the end of its answer.",
            bounds: MetricsShard.latencyBounds,
            used.map { (Self.labels($0), $1.latencyBuckets, Double($1.latencySum) / 1e9) })
        text.counter(
            "gateway_request_body_bytes_total", "Bytes of request bodies.",
            used.map { (Self.labels($0), $1.requestBytes) })
        text.counter(
            "gateway_response_body_bytes_total", "Bytes of response bodies.",
            used.map { (Self.labels($0), $1.responseBytes) })
    }

    private func writePools(to text: inout PrometheusText) {
        let pools = self.pools.sorted { $0.key < $1.key }.map(\.value)
        func samples<Value>(_ value: (WorkerMetrics.Pool) -> Value) -> [(
            PrometheusText.Labels, Value
        )] {
            pools.map {
                (
                    [
                        ("endpoint", $0.endpoint), ("deployment", $0.deployment),
                        ("backend", $0.backend),
                    ], value($0)
                )
            }
        }
        text.gauge(
            "gateway_backend_connections", "Connections to backends, leased or idle.",
            samples { Double($0.open) })
        text.gauge(
            "gateway_backend_idle_connections", "Connections to backends that wait for a request.",
            samples { Double($0.idle) })
        text.counter(
            "gateway_backend_connections_opened_total", "Connections opened to backends.",
            samples(\.opened))
        text.counter(
            "gateway_backend_connect_failures_total", "Connections to backends that failed.",
            samples(\.failures))
        text.gauge(
            "gateway_backend_healthy", "1 unless the last exchanges with it all failed.",
            samples { $0.isHealthy ? 1 : 0 })
    }

    private static func labels(_ label: MetricsShard.SlotLabel) -> PrometheusText.Labels {
        [("endpoint", label.endpoint), ("deployment", label.deployment)]
    }
}
