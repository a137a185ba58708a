internal import Dispatch
internal import Logging
internal import SealedLog
internal import State
internal import Synchronization

/// Keeps the anchors of streams in the state, off the writer's thread; of several the last.
final class AnchorKeeper: Sendable {
    private let store: StateStore
    private let logger: Logger
    private let queue = DispatchQueue(label: "log anchors")
    private let latest = Mutex<[LogIdentifier: StreamAnchor]>([:])

    init(_ store: StateStore, _ logger: Logger) {
        self.store = store
        self.logger = logger
    }

    func keep(_ anchor: StreamAnchor) {
        let isScheduled = self.latest.withLock { latest in
            latest.updateValue(anchor, forKey: anchor.streamID) != nil
        }
        if isScheduled { return }
        self.queue.async { self.write(anchor.streamID) }
    }

    /// Returns once everything is kept.
    func finish() { self.queue.sync {} }

    private func write(_ streamID: LogIdentifier) {
        guard let anchor = self.latest.withLock({ $0.removeValue(forKey: streamID) }) else {
            return
        }
        do throws(StateError) {
            try self.store.keep(anchor)
        } catch {
            self.logger.error(
                """
                where a stream of the log ends could not be kept: a roll-back, or what was lost at its end, \
                would go unnoticed
                """,
                metadata: ["error": "\(error)"])
        }
    }
}
