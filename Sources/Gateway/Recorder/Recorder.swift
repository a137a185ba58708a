internal import Cryptography
internal import HTTPTransport
internal import NIOCore
internal import SealedLog
internal import State

/// One worker's way to the sealed log: entries of its exchanges, in batches, to the writer's thread.
///
/// Loop-bound. Never waits: what there is no room for is counted as lost. A batch leaves 2 ms
/// after its first entry, or once it is large; an entry somebody waits for leaves at
/// the end of the turn.
final class Recorder {
    /// Who waits for an entry to be durable.
    struct Waiter {
        let exchange: Exchange
        let isResponse: Bool
    }

    /// What of the log was handed over or lost, for the metrics.
    struct Counts {
        var entries = 0
        var lostEntries = 0
        var shedBodies = 0
    }

    private let worker: Int
    private let eventLoop: any EventLoop
    private let queue: EntryQueue
    private let secrets: SecretFields
    /// By stream; only those of ``filled`` have memory.
    private var batches: [EntryBatch] = []
    /// The streams that have entries.
    private var filled: [Int] = []
    private var isFlushScheduled = false
    private var flush: (@Sendable () -> Void)?
    private var free: [Recording] = []
    private(set) var heldBytes = 0
    private var waiting: [UInt64: Waiter] = [:]
    private var tickets: UInt64 = 0
    private let sha256: SHA256
    private(set) var counts = Counts()
    /// For text that is made for an entry.
    var text = ByteBuffer()

    /// - Parameters:
    ///   - worker: Its number, which tickets carry.
    ///   - eventLoop: The worker's.
    ///   - queue: Where batches go.
    ///   - secretHeaders: Fields that are not logged, besides those that never are.
    /// - Throws: If there is no digest to be had.
    init(
        worker: Int, eventLoop: any EventLoop, queue: EntryQueue, secretHeaders: [String]
    ) throws(CryptographyError) {
        self.worker = worker
        self.eventLoop = eventLoop
        self.queue = queue
        self.secrets = SecretFields(secretHeaders)
        self.sha256 = try SHA256()
    }

    /// Begins to keep an exchange; nil if it is not one of those sampled, or may not be logged, and is
    /// counted.
    func begin(
        _ log: EndpointLog, _ collector: DataCollectorConfiguration, random: inout FastRandom
    ) -> Recording? {
        guard
            collector.samplingMillionths == 1_000_000
                || Int64(random.next() % 1_000_000) < collector.samplingMillionths
        else { return nil }
        guard log.service == .logged else {
            let entries = (collector.logsRequests ? 1 : 0) + (collector.logsResponses ? 1 : 0)
            self.counts.lostEntries += entries
            self.queue.passOver(entries: UInt64(entries), of: log.stream)
            return nil
        }
        let recording = self.free.popLast() ?? Recording(log, collector)
        recording.reset(log, collector)
        recording.nanoseconds = log.isHBI ? 0 : Self.unixNanoseconds
        return recording
    }

    /// Whether there is room for a request whose endpoint must not lose entries.
    var hasRoom: Bool { self.queue.admission(forBytes: Self.headBytes) != .refused }

    /// Keeps the fields of a head, in the place of a message that was given up: as they came, or those
    /// that are `forwarded`.
    func keepFields(
        of head: MessageHead, forwarded: Bool, in message: inout Recording.Message
    ) {
        self.heldBytes -= message.keptBytes
        message.keepFields(of: head, forwarded: forwarded, self.secrets)
    }

    /// Keeps a piece of a body.
    func keep(_ piece: ByteBuffer, in message: inout Recording.Message, limit: Int64) {
        self.heldBytes += message.keep(
            piece, limit: Int(limit), room: Self.maximumHeldBytes - self.heldBytes)
    }

    /// Takes a recording back.
    func end(_ recording: Recording) {
        self.heldBytes -= recording.heldBytes
        recording.clear()
        if self.free.count < Self.maximumFree { self.free.append(recording) }
    }

    /// The 16 bytes that stand for a request id's text: a UUID's own, else the begin of its SHA-256.
    func identifier(of text: Span<UInt8>) -> LogIdentifier {
        .request(text, self.sha256)
    }

    /// Writes an entry, or counts it as lost.
    ///
    /// - Parameters:
    ///   - log: Whose stream.
    ///   - size: Of its message; what may be left out of that is its body.
    ///   - encode: Appends the entry; told whether with its body.
    func write(
        to log: EndpointLog, _ size: Recording.Size,
        _ encode: (inout EntryBatch, _ withBody: Bool) -> Void
    ) {
        guard let withBody = self.admit(size, log) else { return }
        while self.batches.count <= log.stream { self.batches.append(EntryBatch()) }
        if self.batches[log.stream].entries == 0 {
            self.batches[log.stream] = self.emptyBatch
            self.filled.append(log.stream)
        }
        encode(&self.batches[log.stream], withBody)
        if self.batches[log.stream].byteCount >= Self.batchBytes {
            self.push(log.stream)
        } else {
            self.scheduleFlush()
        }
    }

    /// Writes an entry by itself and tells the exchange once it is durable or lost.
    ///
    /// - Returns: A ticket for ``forget(_:)``; nil if the entry is lost already.
    func writeDurably(
        to log: EndpointLog, _ size: Recording.Size, _ waiter: Waiter,
        _ encode: (inout EntryBatch, _ withBody: Bool) -> Void
    ) -> UInt64? {
        guard let withBody = self.admit(size, log) else { return nil }
        var batch = EntryBatch(reserving: Self.headBytes + size.body)
        encode(&batch, withBody)
        self.tickets += 1
        let ticket = UInt64(self.worker) << Self.workerShift | self.tickets
        self.waiting[ticket] = waiter
        guard self.push(.init(stream: log.stream, batch: batch, ticket: ticket)) else {
            self.waiting[ticket] = nil
            return nil
        }
        return ticket
    }

    /// Nobody waits for the entry any more.
    func forget(_ ticket: UInt64) {
        self.waiting[ticket] = nil
    }

    /// Tells those who wait; `outcomes` are of this worker's tickets.
    func settle(_ outcomes: [LogWriter.Outcome]) {
        for outcome in outcomes {
            guard let waiter = self.waiting.removeValue(forKey: outcome.ticket) else { continue }
            waiter.exchange.sealed(outcome.ticket, isDurable: outcome.isDurable)
        }
    }

    /// Which worker a ticket is of.
    static func worker(of ticket: UInt64) -> Int { Int(ticket >> self.workerShift) }

    /// Hands everything over.
    func flushAll() {
        self.isFlushScheduled = false
        while let stream = self.filled.last { self.push(stream) }
    }

    private func push(_ stream: Int) {
        self.filled.removeAll { $0 == stream }
        var batch = EntryBatch()
        swap(&batch, &self.batches[stream])
        self.push(.init(stream: stream, batch: batch, ticket: nil))
    }

    private var emptyBatch: EntryBatch {
        self.queue.spare()
            ?? EntryBatch(reserving: Self.batchBytes + 2 * Self.headBytes)
    }

    private func admit(_ size: Recording.Size, _ log: EndpointLog) -> Bool? {
        let bytes = Self.headBytes + size.lines + size.body
        let hasBody = size.body > 0
        switch self.queue.admission(forBytes: bytes) {
        case .whole:
            if !size.isWhole, !hasBody { self.shed(log) }
            self.counts.entries += 1
            return true
        case .withoutBody:
            if hasBody { self.shed(log) }
            self.counts.entries += 1
            return false
        case .refused:
            self.counts.lostEntries += 1
            self.queue.lose(entries: 1, bodies: 0, of: log.stream)
            return nil
        }
    }

    private func shed(_ log: EndpointLog) {
        self.counts.shedBodies += 1
        self.queue.lose(entries: 0, bodies: 1, of: log.stream)
    }

    @discardableResult
    private func push(_ item: EntryQueue.Item) -> Bool {
        if self.queue.push(item) { return true }
        self.counts.lostEntries += item.batch.entries
        self.counts.entries -= item.batch.entries
        return false
    }

    private func scheduleFlush() {
        guard !self.isFlushScheduled else { return }
        self.isFlushScheduled = true
        if let flush {
            self.eventLoop.scheduleTask(in: Self.flushDelay, flush)
        } else {
            let bound = NIOLoopBound(self, eventLoop: self.eventLoop)
            let flush: @Sendable () -> Void = { bound.value.flushAll() }
            self.flush = flush
            self.eventLoop.scheduleTask(in: Self.flushDelay, flush)
        }
    }

    private static var unixNanoseconds: UInt64 {
        let now = UnixTime.now()
        return UInt64(now.seconds) * 1_000_000_000 + UInt64(now.nanoseconds)
    }

    private static let workerShift: UInt64 = 48
    /// 2 ms: of the 5 that `bounded` allows until an entry is written.
    private static let flushDelay = TimeAmount.milliseconds(2)
    /// 60 KiB: with the entry that comes last, still one frame.
    private static let batchBytes = 61_440
    /// 2 KiB: an entry without fields and body.
    private static let headBytes = 2048
    /// 64 MiB: bodies of exchanges in progress that a worker keeps; beyond, they are left out.
    private static let maximumHeldBytes = 67_108_864
    private static let maximumFree = 256
}
