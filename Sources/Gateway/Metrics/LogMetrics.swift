internal import KeyVault
internal import SealedLog
internal import Synchronization

/// What the metrics say of the sealed log.
enum LogMetrics {
    static func write(
        _ counts: Recorder.Counts, _ keeper: LogKeeper, _ configuration: GatewayConfiguration,
        to text: inout PrometheusText
    ) {
        let all = keeper.metrics
        text.counter(
            "gateway_log_entries_total", "Entries handed to the sealed log's writer.",
            [([], counts.entries)])
        text.counter(
            "gateway_log_lost_entries_total",
            "Entries lost because the writer's queue or the disk was full, a write failed or the "
                + "wrapping key was revoked, or not made because that key could not be used.",
            [([], all.reduce(counts.lostEntries) { $0 + Int(clamping: $1.log.lostEntries) })])
        text.counter(
            "gateway_log_shed_bodies_total", "Bodies left out of entries for want of room.",
            [([], counts.shedBodies)])
        text.gauge(
            "gateway_log_queue_bytes", "Bytes that wait for the sealed log's writer.",
            [([], Double(keeper.queue.waitingBytes))])
        // By the configuration's names: a stream outlives its endpoint, whose number another may have now.
        let names = Dictionary(
            uniqueKeysWithValues: configuration.endpoints.map { ($0.name, $0.publicName) })
        let streams = all.compactMap { stream in
            names[stream.log.endpoint].map { (label: [("endpoint", $0)], stream: stream) }
        }
        text.gauge(
            "gateway_log_serving",
            "Whether what the endpoint serves is logged: 1, or 0 while its wrapping key cannot be used or "
                + "its log cannot be written.",
            streams.map { ($0.label, $0.stream.log.isLogging ? 1 : 0) })
        text.gauge(
            "gateway_log_key_age_seconds", "How long the endpoint's log key has been in use.",
            streams.map { ($0.label, $0.stream.keyAge) })
        text.gauge(
            "gateway_log_stale_keys",
            "Log keys that are still under an older version of their wrapping key.",
            streams.map { ($0.label, Double($0.stream.staleKeys)) })
        text.gauge(
            "gateway_wrapping_key_state",
            "What is known of the endpoint's wrapping key: 1 for the state it is in.",
            streams.flatMap { label, stream in
                WrappingKeyCondition.State.allCases.map { state in
                    (
                        label + [("state", state.rawValue)],
                        state == stream.state ? 1 : 0
                    )
                }
            })
        let heard = keeper.heard.withLock { $0 }.sorted { $0.key.description < $1.key.description }
        guard !heard.isEmpty else { return }
        text.gauge(
            "gateway_key_vault_events_connected",
            "Whether the changes that a key vault tells of are heard.",
            heard.map { ([("vault", $0.key.description)], $0.value ? 1 : 0) })
    }
}

extension Recorder.Counts {
    mutating func add(_ other: Self) {
        self.entries += other.entries
        self.lostEntries += other.lostEntries
        self.shedBodies += other.shedBodies
    }
}
