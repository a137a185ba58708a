internal import NIOCore
internal import TLS

/// One worker's counters: plain integers on its loop, summed when somebody asks.
final class MetricsShard {
    /// Upper bounds of the latency histogram's buckets, seconds; the last is open.
    static let latencyBounds: [Double] = [
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180,
    ]
    private static let latencyBoundNanoseconds = latencyBounds.map { Int64($0 * 1e9) }

    /// Counts of one endpoint and deployment.
    struct Slot {
        /// By status − 100.
        var requests = [Int](repeating: 0, count: 500)
        var latencyBuckets = [Int](repeating: 0, count: MetricsShard.latencyBounds.count + 1)
        var latencySum: Int64 = 0
        var requestBytes = 0
        var responseBytes = 0

        mutating func add(_ other: Slot) {
            for index in self.requests.indices { self.requests[index] += other.requests[index] }
            for index in self.latencyBuckets.indices {
                self.latencyBuckets[index] += other.latencyBuckets[index]
            }
            self.latencySum += other.latencySum
            self.requestBytes += other.requestBytes
            self.responseBytes += other.responseBytes
        }
    }

    /// By ``slotIndex(endpoint:deployment:)``; the first is for requests of no endpoint.
    private(set) var slots: [Slot]
    /// Names of endpoint and deployment of each slot.
    private(set) var labels: [SlotLabel]
    private var snapshot: Snapshot
    private var endpointSlots: [Int]
    private var deploymentSlots: [Int]
    private(set) var inFlight = 0
    var connections = 0
    var acceptedConnections = 0
    /// By ``AcceptObstacle``'s raw value.
    var acceptPauses = [Int](repeating: 0, count: AcceptObstacle.allCases.count)
    var cutHandshakes = 0
    /// HTTP/2 clients sent away for what they overdid.
    var floods = 0
    /// Connections made to wait, or refused, because their network had floods.
    var delayedConnections = 0
    var refusedConnections = 0
    /// Refusals of keys that were held back.
    var delayedRefusals = 0
    /// Of those whose handshake is done, the ones that agreed on HTTP/2.
    var acceptedHTTP2Connections = 0
    var accessLogDrops = 0
    let tls = TLSCounters()

    struct SlotLabel: Hashable, Sendable {
        var endpoint: String
        var deployment: String
    }

    init(_ snapshot: Snapshot) {
        self.slots = [Slot()]
        self.labels = [SlotLabel(endpoint: "", deployment: "")]
        self.snapshot = snapshot
        self.endpointSlots = []
        self.deploymentSlots = []
        self.adopt(snapshot)
    }

    /// Makes room for a snapshot's deployments; counts of those that stay go on.
    func adopt(_ snapshot: Snapshot) {
        self.snapshot = snapshot
        self.endpointSlots = snapshot.endpoints.map {
            self.slot(SlotLabel(endpoint: $0.configuration.publicName, deployment: ""))
        }
        self.deploymentSlots = snapshot.deployments.map {
            self.slot(
                SlotLabel(
                    endpoint: snapshot.endpoints[$0.endpointIndex].configuration.publicName,
                    deployment: $0.configuration.publicName))
        }
    }

    func exchangeBegan() {
        self.inFlight += 1
    }

    func exchangeEnded(
        _ record: ExchangeRecord, endpoint: Endpoint?, deployment: Deployment?, now: NIODeadline
    ) {
        self.inFlight -= 1
        let slot: Int
        switch (endpoint, deployment) {
        case (_, let deployment?) where self.snapshot.has(deployment):
            slot = self.deploymentSlots[deployment.index]
        case (let endpoint?, nil) where self.snapshot.has(endpoint):
            slot = self.endpointSlots[endpoint.index]
        case (let endpoint?, _):
            // Begun under a former configuration, whose numbers may be others' now.
            slot = self.slot(
                SlotLabel(
                    endpoint: endpoint.configuration.publicName,
                    deployment: deployment?.configuration.publicName ?? ""))
        case (nil, _):
            slot = 0
        }
        if 100..<600 ~= record.status { self.slots[slot].requests[record.status - 100] += 1 }
        let nanoseconds = (now - record.start).nanoseconds
        let bounds = Self.latencyBoundNanoseconds
        var bucket = 0
        while bucket < bounds.count, nanoseconds > bounds[bucket] { bucket += 1 }
        self.slots[slot].latencyBuckets[bucket] += 1
        self.slots[slot].latencySum += nanoseconds
        self.slots[slot].requestBytes += record.requestBytes
        self.slots[slot].responseBytes += record.responseBytes
    }

    private func slot(_ label: SlotLabel) -> Int {
        if let slot = self.labels.firstIndex(of: label) { return slot }
        self.labels.append(label)
        self.slots.append(Slot())
        return self.slots.count - 1
    }
}
