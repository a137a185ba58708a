import Synchronization
import Testing

@testable import SealedLog

@Suite struct LogWriterTests {
    private let log: TestLog
    private let queue: EntryQueue
    private let writer: LogWriter
    private let outcomes = Box<[LogWriter.Outcome]>([])
    private let anchors = Box<[StreamAnchor]>([])

    init() throws {
        self.log = try TestLog()
        self.queue = EntryQueue(capacityBytes: 100_000, doorbell: try Doorbell())
        self.writer = LogWriter(
            self.queue, retentionMilliseconds: 90 * 86_400_000,
            report: { [outcomes] in outcomes.value += $0 },
            keep: { [anchors] in anchors.value.append($0) })
    }

    @Test(
        "Entries are written and durable as late as the durability allows, and no later",
        arguments: Durability.allCases)
    func schedule(durability: Durability) throws {
        self.writer.add(try self.log.open(), as: 0, durability)
        #expect(self.push(self.log.batch(2), ticket: 5))
        let began = self.log.time.monotonicNanoseconds
        var next = self.writer.step(now: self.log.time)
        let stream = try #require(self.writer[0])
        #expect(self.outcomes.value.isEmpty == (durability != .strict))
        if durability.writeDelay > 0 {
            #expect(next == began + min(durability.writeDelay, durability.synchronizeDelay))
            #expect(stream.hasPending)
            self.log.time.monotonicNanoseconds = try #require(next)
            next = self.writer.step(now: self.log.time)
        }
        #expect(!stream.hasPending)
        if durability != .strict {
            #expect(self.outcomes.value.isEmpty && stream.durableSequence == 0)
            #expect(next == began + durability.synchronizeDelay)
            self.log.time.monotonicNanoseconds = try #require(next)
            _ = self.writer.step(now: self.log.time)
        }
        #expect(self.outcomes.value == [.init(ticket: 5, isDurable: true)])
        #expect(stream.durableSequence == 2)
        // Nothing waits any more; the segment ends in its time, and no further one is made.
        let end = try #require(self.writer.step(now: self.log.time))
        #expect(end == stream.segmentDeadline)
        self.log.time.monotonicNanoseconds = end
        #expect(self.writer.step(now: self.log.time) == nil)
        self.writer.close(now: self.log.time)
        #expect(try self.log.read().entries.count == 2)
        #expect(self.anchors.value.map(\.number) == [0, 1, 1])
    }

    @Test("Strict entries that came while the disk was busy are made durable together")
    func groupCommit() throws {
        self.writer.add(try self.log.open(), as: 0, .strict)
        for ticket: UInt64 in 0..<20 { #expect(self.push(self.log.batch(1), ticket: ticket)) }
        let before = self.log.files.operations.count
        _ = self.writer.step(now: self.log.time)
        let synchronisations = self.log.files.operations[before...].count {
            if case .synchronize = $0 { true } else { false }
        }
        #expect(synchronisations == 1)
        #expect(self.outcomes.value == (0..<20).map { .init(ticket: $0, isDurable: true) })
    }

    @Test("Many bytes are made durable before their time")
    func manyBytes() throws {
        self.writer.add(try self.log.open(), as: 0, .strict)
        #expect(self.push(self.log.batch(1, bodyBytes: 70_000), ticket: 1))
        _ = self.writer.step(now: self.log.time)
        #expect(self.outcomes.value == [.init(ticket: 1, isDurable: true)])
    }

    @Test("A full queue leaves bodies out, then entries, and the log tells how many")
    func fullQueue() throws {
        self.writer.add(try self.log.open(), as: 0, .bounded)
        #expect(self.queue.admission(forBytes: 1000) == .whole)
        #expect(self.push(self.log.batch(1, bodyBytes: 80_000)))
        #expect(self.queue.admission(forBytes: 1000) == .withoutBody)
        #expect(self.push(self.log.batch(1, bodyBytes: 10_000)))
        #expect(self.queue.admission(forBytes: 1000) == .refused)
        #expect(!self.push(self.log.batch(3, bodyBytes: 10_000)))
        self.queue.lose(entries: 1, bodies: 2, of: 0)
        _ = self.writer.step(now: self.log.time)
        #expect(self.queue.admission(forBytes: 1000) == .whole)
        self.writer.close(now: self.log.time)
        let (report, entries) = try self.log.read()
        #expect(report.findings == [] && entries.count == 2)
        guard case .gap(_, let gap)? = report.notes.first else {
            Issue.record("the loss is not told")
            return
        }
        #expect(gap.entries == 4 && gap.bodies == 2 && gap.reason == .queueFull)
    }

    @Test("Whoever waits for an entry that cannot become durable is told so")
    func failure() throws {
        self.writer.add(try self.log.open(), as: 0, .strict)
        self.log.files.failingCall = self.log.files.calls + 1
        self.log.files.failsOn = true
        #expect(self.push(self.log.batch(1), ticket: 9))
        _ = self.writer.step(now: self.log.time)
        self.log.time.monotonicNanoseconds += 2_000_000
        let next = self.writer.step(now: self.log.time)
        #expect(self.outcomes.value == [.init(ticket: 9, isDurable: false)])
        // A second later it is tried again, and the entry that was kept is written.
        self.log.files.failingCall = .max
        self.log.files.failsOn = false
        self.log.time.monotonicNanoseconds = max(
            try #require(next), self.log.time.monotonicNanoseconds + 1_000_000_000)
        _ = self.writer.step(now: self.log.time)
        self.writer.close(now: self.log.time)
        let (report, entries) = try self.log.read()
        #expect(report.findings == [] && entries.count == 1)
    }

    @Test("Whoever waits when the wrapping key is revoked is told that it is lost")
    func revocation() throws {
        self.writer.add(try self.log.open(), as: 0, .relaxed)
        #expect(self.push(self.log.batch(1), ticket: 3))
        _ = self.writer.step(now: self.log.time)
        self.writer.revoke(0, now: self.log.time)
        #expect(self.outcomes.value == [.init(ticket: 3, isDurable: false)])
        #expect(self.push(self.log.batch(1), ticket: 4))
        _ = self.writer.step(now: self.log.time)
        #expect(self.outcomes.value.last == .init(ticket: 4, isDurable: false))
    }

    @Test("The writer's thread waits for the doorbell and writes what comes, on real files")
    func thread() throws {
        let taken = Mutex(0)
        let doorbell = try Doorbell()
        let queue = EntryQueue(capacityBytes: 1 << 20, doorbell: doorbell)
        let thread = try WriterThread {
            while taken.withLock({ $0 < 100 }) {
                doorbell.wait(nanoseconds: nil)
                var items = queue.takeAll().items
                for index in items.indices {
                    taken.withLock { [entries = items[index].batch.entries] in $0 += entries }
                    queue.release(&items[index])
                }
            }
        }
        for _ in 0..<50 {
            #expect(queue.push(.init(stream: 0, batch: self.log.batch(2), ticket: nil)))
        }
        thread.join()
        #expect(taken.withLock { $0 } == 100)
    }

    @Test("The memory of a batch that was written is there for another one")
    func spare() {
        #expect(self.queue.spare() == nil)
        var batch = EntryBatch(reserving: 60_000)
        batch.begin(.event, nanoseconds: 1, requestID: .zero)
        batch.end()
        #expect(self.push(batch))
        batch = EntryBatch()
        _ = self.writer.step(now: self.log.time)
        let spare = self.queue.spare()
        #expect(spare?.entries == 0 && spare?.byteCount == 0)
        #expect(spare.map { $0.capacity >= 60_000 } == true)
        #expect(self.queue.waitingBytes == 0)
    }

    private func push(_ batch: EntryBatch, ticket: UInt64? = nil) -> Bool {
        self.queue.push(.init(stream: 0, batch: batch, ticket: ticket))
    }
}

/// A value that closures share.
private final class Box<Value> {
    var value: Value

    init(_ value: Value) { self.value = value }
}
