internal import Logging
internal import SealedLog
internal import Synchronization

/// Tells endpoints whether their stream can be written, and what of it was lost; looks on the writer's
/// thread.
final class WritableWatch: Sendable {
    private let logs = Mutex<[EndpointLog]>([])
    private let failing = Mutex<Set<Int>>([])
    private let logger: Logger

    init(_ logger: Logger) { self.logger = logger }

    func follow(_ log: EndpointLog) { self.logs.withLock { $0.append(log) } }

    func look(at writer: LogWriter) {
        for log in self.logs.withLock({ $0 }) {
            guard let stream = writer[log.stream] else { continue }
            log.adopt(lostEntries: stream.lostEntries)
            let failure = stream.failure
            let isFailing = failure != nil && failure != .revoked
            let changed = self.failing.withLock { failing in
                isFailing
                    ? failing.insert(log.stream).inserted : failing.remove(log.stream) != nil
            }
            guard changed else { continue }
            log.adopt(isWritable: !isFailing)
            if let failure, isFailing {
                self.logger.error(
                    "the log cannot be written",
                    metadata: ["endpoint": "\(log.publicName)", "error": "\(failure)"])
            } else {
                self.logger.notice(
                    "the log can be written again", metadata: ["endpoint": "\(log.publicName)"])
            }
        }
    }

    /// Tells what the end of the streams cost.
    func tell(_ losses: [Int: LogWriter.EndLoss]) {
        for log in self.logs.withLock({ $0 }) {
            guard let loss = losses[log.stream] else { continue }
            self.logger.error(
                "entries lost as the log ended",
                metadata: [
                    "endpoint": "\(log.publicName)", "entries": "\(loss.entries)",
                    "told_by": "\(loss.teller.rawValue)",
                ])
        }
    }
}
