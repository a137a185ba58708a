internal import SealedLog
internal import Synchronization

/// Brings what the log's writer says of entries to the workers whose exchanges wait for them.
final class LogReports: Sendable {
    private let workers = Mutex<[WorkerHandle]>([])

    /// Names the workers, by their numbers.
    func start(_ workers: [WorkerHandle]) { self.workers.withLock { $0 = workers } }

    /// Gives outcomes to whose they are; from the writer's thread.
    func give(_ outcomes: [LogWriter.Outcome]) {
        let workers = self.workers.withLock { $0 }
        for (index, worker) in workers.enumerated() {
            let own = outcomes.filter { Recorder.worker(of: $0.ticket) == index }
            if !own.isEmpty { worker.tell { $0.recorder?.settle(own) } }
        }
    }
}
