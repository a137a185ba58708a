internal import SealedLog
internal import Synchronization

/// The thread that writes the sealed log, and what it is told to do between two batches.
final class LogThread: Sendable {
    typealias Command = @Sendable (LogWriter, LogTime) -> Void

    private struct Inbox {
        var commands: [Command] = []
        var isStopped = false
    }

    /// 2 ms: with as much until a worker hands its entries over, less than `bounded` allows.
    private static let pause: UInt64 = 2_000_000

    private let inbox = Mutex(Inbox())
    private let doorbell: Doorbell
    private let thread: Mutex<WriterThread?>

    /// Starts it.
    ///
    /// - Parameters:
    ///   - queue: Where entries come from.
    ///   - doorbell: The queue's.
    ///   - make: Makes the writer, on the thread.
    ///   - turned: Called after each turn, with the writer.
    ///   - ended: Called at the end, with what that cost, by stream.
    /// - Throws: `.file` if there is no thread to be had.
    init(
        _ queue: EntryQueue, _ doorbell: Doorbell, make: @escaping @Sendable () -> LogWriter,
        turned: @escaping @Sendable (LogWriter) -> Void,
        ended: @escaping @Sendable ([Int: LogWriter.EndLoss]) -> Void
    ) throws(SealedLogError) {
        self.doorbell = doorbell
        self.thread = Mutex(nil)
        let thread = try WriterThread { [weak self] in
            let writer = make()
            while true {
                guard let inbox = self?.take() else { break }
                let now = SystemClocks.now
                for command in inbox.commands { command(writer, now) }
                if inbox.isStopped { break }
                let deadline = writer.step(now: now)
                turned(writer)
                // While entries come it looks again by itself, which costs less than to be woken.
                guard queue.watch(writer.isBusy) else { continue }
                let wait = deadline.map { deadline in
                    let now = SystemClocks.now.monotonicNanoseconds
                    return deadline > now ? deadline - now : 0
                }
                doorbell.wait(
                    nanoseconds: writer.isBusy ? min(wait ?? Self.pause, Self.pause) : wait)
            }
            ended(writer.close(now: SystemClocks.now))
        }
        self.thread.withLock { $0 = thread }
    }

    /// Has `command` run on the thread, after those before it.
    func tell(_ command: @escaping Command) {
        self.inbox.withLock { $0.commands.append(command) }
        self.doorbell.ring()
    }

    /// Runs `body` on the thread and waits for what it gives; must not be called there.
    func ask<Answer: Sendable>(
        _ body: @escaping @Sendable (LogWriter, LogTime) -> Answer
    ) async -> Answer {
        await withCheckedContinuation { continuation in
            self.tell { writer, now in continuation.resume(returning: body(writer, now)) }
        }
    }

    /// Writes all that waits, ends every stream, and returns once that is done.
    func stop() {
        guard let thread = self.thread.withLock({ $0.take() }) else { return }
        self.inbox.withLock { $0.isStopped = true }
        self.doorbell.ring()
        thread.join()
    }

    private func take() -> Inbox {
        self.inbox.withLock { inbox in
            defer { inbox.commands = [] }
            return inbox
        }
    }
}
