/// Writes the streams of one log folder: takes batches from the queue, and writes and synchronises
/// each stream as its durability says.
///
/// Used by one thread, the writer's, which calls ``step(now:)`` again and again and waits between
/// calls until the time it gives or until the queue's doorbell rings.
package final class LogWriter {
    /// What became of a batch that somebody waits for.
    package struct Outcome: Equatable, Sendable {
        /// The batch's ticket.
        package var ticket: UInt64
        /// Whether all its entries are durable; otherwise at least one is lost.
        package var isDurable: Bool
    }

    /// Entries that the end of a stream cost.
    package struct EndLoss: Equatable, Sendable {
        /// What tells of them.
        package enum Teller: String, Sendable {
            case lastSegment = "its last segment"
            case nextSegment = "its next segment"
            /// The stream was never begun.
            case nothing = "nothing but this"
        }

        /// How many.
        package var entries: UInt64
        /// What tells of them.
        package var teller: Teller
    }

    /// A stream by the number its batches carry.
    private final class Stream {
        let writer: StreamWriter
        var schedule: DurabilitySchedule
        /// Whoever waits, with the number below which all must be durable.
        var waiting: [(ticket: UInt64, end: UInt64)] = []
        var nextTry: UInt64 = 0

        init(_ writer: StreamWriter, _ durability: Durability) {
            self.writer = writer
            self.schedule = DurabilitySchedule(durability)
        }

        /// When something is due, in monotonic nanoseconds.
        var deadlines: [UInt64] {
            guard self.writer.failure == nil else { return [self.nextTry] }
            return [self.schedule.deadline, self.writer.segmentDeadline].compactMap { $0 }
        }
    }

    /// Whether the last ``step(now:)`` found entries.
    package private(set) var isBusy = false

    private let queue: EntryQueue
    private let retentionMilliseconds: UInt64
    private var streams: [Int: Stream] = [:]
    /// Entries that were not made of streams that are not there yet.
    private var unbegun: [Int: UInt64] = [:]
    private let report: ([Outcome]) -> Void
    private let keep: (StreamAnchor) -> Void

    /// Makes a writer without streams.
    ///
    /// - Parameters:
    ///   - queue: Where the batches come from.
    ///   - retentionMilliseconds: How long segments are kept.
    ///   - report: Gets the outcomes of batches with a ticket, on the writer's thread.
    ///   - keep: Gets the anchor of a stream whenever it changed, on the writer's thread.
    package init(
        _ queue: EntryQueue, retentionMilliseconds: UInt64,
        report: @escaping ([Outcome]) -> Void, keep: @escaping (StreamAnchor) -> Void
    ) {
        self.queue = queue
        self.retentionMilliseconds = retentionMilliseconds
        self.report = report
        self.keep = keep
    }

    /// Takes over a stream that was opened; batches for `number` go to it.
    package func add(_ writer: StreamWriter, as number: Int, _ durability: Durability) {
        let stream = Stream(writer, durability)
        // In place of one that was shredded it goes on with that one's count.
        writer.lostEntries += self.streams[number]?.writer.lostEntries ?? 0
        self.streams[number] = stream
        self.keepAnchor(of: stream)
    }

    /// The writer of a stream, to supply a key or to revoke it; nil if there is none.
    package subscript(number: Int) -> StreamWriter? { self.streams[number]?.writer }

    /// Takes what came, and does what is due.
    ///
    /// - Returns: When something is due next, in monotonic nanoseconds; nil if nothing waits.
    package func step(now: LogTime) -> UInt64? {
        var taken = self.queue.takeAll()
        self.isBusy = !taken.items.isEmpty
        var outcomes: [Outcome] = []
        for index in taken.items.indices {
            self.append(&taken.items[index], now, &outcomes)
            self.queue.release(&taken.items[index])
        }
        for (number, losses) in taken.losses { self.count(losses, number, now) }
        for (number, entries) in self.unbegun where self.streams[number] != nil {
            self.unbegun[number] = nil
            self.count(EntryQueue.Losses(unlogged: entries), number, now)
        }
        var deadline: UInt64?
        for stream in self.streams.values {
            self.doWhatIsDue(stream, now, &outcomes)
            for next in stream.deadlines { deadline = min(next, deadline ?? next) }
        }
        if !outcomes.isEmpty { self.report(outcomes) }
        return deadline
    }

    /// Writes all that waits and ends every stream.
    ///
    /// - Returns: What that cost, by stream.
    @discardableResult
    package func close(now: LogTime) -> [Int: EndLoss] {
        _ = self.step(now: now)
        var outcomes: [Outcome] = []
        var losses = self.unbegun.filter { $0.value > 0 }
            .mapValues { EndLoss(entries: $0, teller: .nothing) }
        for (number, stream) in self.streams.sorted(by: { $0.key < $1.key }) {
            let before = stream.writer.lostEntries
            let untold = stream.writer.close(now: now)
            if untold > 0 {
                losses[number] = EndLoss(entries: untold, teller: .nextSegment)
            } else if stream.writer.lostEntries > before {
                losses[number] = EndLoss(
                    entries: stream.writer.lostEntries - before, teller: .lastSegment)
            }
            self.settle(stream, &outcomes)
            self.keepAnchor(of: stream)
        }
        if !outcomes.isEmpty { self.report(outcomes) }
        self.streams = [:]
        return losses
    }

    /// Drops what a stream has not sealed yet, counts it, and wipes its keys: its wrapping key was
    /// revoked.
    ///
    /// Whoever waits is told that it is lost.
    ///
    /// - Parameters:
    ///   - number: Which stream; one that is not there has no keys.
    ///   - now: The present time.
    ///   - event: One entry, which tells of it in the stream.
    ///   - wiped: Called once the keys are gone, before the disk is touched, which may be slow.
    package func revoke(
        _ number: Int, now: LogTime, event: EntryBatch? = nil, wiped: () -> Void = {}
    ) {
        guard let stream = self.streams[number] else { return wiped() }
        stream.writer.revoke(now: now, event: event) {
            var outcomes: [Outcome] = []
            self.settle(stream, &outcomes)
            if !outcomes.isEmpty { self.report(outcomes) }
            wiped()
        }
        self.keepAnchor(of: stream)
    }

    /// Removes segments older than what is kept, of all streams.
    ///
    /// - Returns: How many were removed.
    /// - Throws: What keeps a stream's from being removed; those of the others are all the same.
    package func expire(now: LogTime) throws(SealedLogError) -> Int {
        var count = 0
        var failure: SealedLogError?
        for (_, stream) in self.streams.sorted(by: { $0.key < $1.key }) {
            do throws(SealedLogError) {
                count += try self.expire(stream, now)
            } catch {
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
        return count
    }

    private func expire(_ stream: Stream, _ now: LogTime) throws(SealedLogError) -> Int {
        try stream.writer.expire(
            writtenBefore: now.unixMilliseconds
                - min(now.unixMilliseconds, self.retentionMilliseconds), now: now)
    }

    private func count(_ losses: EntryQueue.Losses, _ number: Int, _ now: LogTime) {
        guard let stream = self.streams[number] else {
            self.unbegun[number, default: 0] += losses.unlogged
            return
        }
        stream.writer.count(lost: losses.entries, bodies: losses.bodies, .queueFull, now: now)
        stream.writer.count(lost: losses.unlogged, bodies: 0, .revoked, now: now)
        stream.schedule.append(at: now.monotonicNanoseconds)
    }

    private func append(
        _ item: inout EntryQueue.Item, _ now: LogTime, _ outcomes: inout [Outcome]
    ) {
        guard let stream = self.streams[item.stream] else {
            if let ticket = item.ticket { outcomes.append(.init(ticket: ticket, isDurable: false)) }
            return
        }
        let entries = item.batch.entries
        let numbers = stream.writer.append(taking: &item.batch, now: now)
        stream.schedule.append(at: now.monotonicNanoseconds)
        guard let ticket = item.ticket else { return }
        if numbers.count == entries {
            stream.waiting.append((ticket, numbers.upperBound))
        } else {
            outcomes.append(.init(ticket: ticket, isDurable: false))
        }
    }

    private func doWhatIsDue(_ stream: Stream, _ now: LogTime, _ outcomes: inout [Outcome]) {
        let writer = stream.writer
        if writer.failure != nil {
            self.retry(stream, now)
        } else {
            switch stream.schedule.action(
                at: now.monotonicNanoseconds, unsynchronizedBytes: writer.unsynchronizedBytes)
            {
            case .nothing:
                guard let end = writer.segmentDeadline, now.monotonicNanoseconds >= end else {
                    break
                }
                writer.write(now: now)
            case .write:
                writer.write(now: now)
                stream.schedule.wrote()
            case .synchronize:
                if writer.synchronize(now: now) { stream.schedule.synchronized() }
            }
        }
        self.settle(stream, &outcomes)
        self.keepAnchor(of: stream)
    }

    /// Tries a stream that failed again, once a second: first makes room, by what is too old.
    private func retry(_ stream: Stream, _ now: LogTime) {
        guard now.monotonicNanoseconds >= stream.nextTry else { return }
        stream.nextTry = now.monotonicNanoseconds + Self.retryDelay
        if stream.writer.failure?.isDiskFull == true {
            // Other streams may have something to remove, too; what fails here fails again below.
            for other in self.streams.values where other.writer.failure == nil || other === stream {
                _ = try? self.expire(other, now)
            }
        }
        stream.writer.resume(now: now)
        if stream.writer.failure == nil { stream.schedule.synchronized() }
    }

    /// Tells those whose entries are durable now, and those whose entries will not be.
    private func settle(_ stream: Stream, _ outcomes: inout [Outcome]) {
        guard !stream.waiting.isEmpty else { return }
        let hasFailed = stream.writer.failure != nil
        let durable = stream.writer.durableSequence
        stream.waiting.removeAll { waiting in
            let isDurable = waiting.end <= durable
            // Whoever waits behind a failure is told at once: its answer must be cut.
            guard isDurable || hasFailed else { return false }
            outcomes.append(.init(ticket: waiting.ticket, isDurable: isDurable && !hasFailed))
            return true
        }
    }

    private func keepAnchor(of stream: Stream) {
        guard let anchor = stream.writer.takeAnchor() else { return }
        self.keep(anchor)
    }

    /// 1 s: how often a disk that failed is tried.
    private static let retryDelay: UInt64 = 1_000_000_000
}
