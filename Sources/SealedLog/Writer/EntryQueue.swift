internal import Synchronization

/// Batches of entries on their way from the workers to the writer, bounded in bytes.
///
/// Any thread pushes, one takes. A push costs one short lock; a worker pushes once a turn of its
/// event loop, not once an entry.
package final class EntryQueue: Sendable {
    /// Whether there is room for an entry.
    package enum Admission: Equatable, Sendable {
        /// There is.
        case whole
        /// There is little: leave its body out, and say so by ``EntryQueue/lose(entries:bodies:of:)``.
        case withoutBody
        /// There is none: the entry is lost, or the request must be refused.
        case refused
    }

    /// A batch and what becomes of it.
    package struct Item: Sendable {
        /// Which stream it is for, as the writer counts them.
        package var stream: Int
        /// The entries.
        package var batch: EntryBatch
        /// Told with the outcome once all its entries are durable or one is lost; nil if nobody
        /// waits.
        package var ticket: UInt64?
        /// The room it takes, also once the batch was written.
        fileprivate let byteCount: Int

        /// A batch for a stream.
        package init(stream: Int, batch: EntryBatch, ticket: UInt64?) {
            self.stream = stream
            self.batch = batch
            self.ticket = ticket
            self.byteCount = batch.byteCount
        }
    }

    /// What the writer takes at once.
    package struct Taken: Sendable {
        /// In the order they were pushed.
        package var items: [Item] = []
        /// What was lost since the last time, by stream.
        package var losses: [Int: Losses] = [:]
    }

    /// A count of what did not fit.
    package struct Losses: Equatable, Sendable {
        /// Entries that were lost.
        package var entries: UInt64 = 0
        /// Bodies that were left out of entries.
        package var bodies: UInt64 = 0
        /// Entries that were not made, for nothing may be logged while the wrapping key may not be used.
        package var unlogged: UInt64 = 0
    }

    /// How many bytes all batches together may have.
    package let capacityBytes: Int

    private let usedBytes = Atomic<Int>(0)
    /// Whether the writer looks again soon by itself, so that nobody need wake it.
    private let isWatched = Atomic<Bool>(false)
    private let state = Mutex(Taken())
    private let spares = Mutex<[EntryBatch]>([])
    private let doorbell: Doorbell

    /// Makes an empty queue.
    ///
    /// - Parameters:
    ///   - capacityBytes: How many bytes may wait.
    ///   - doorbell: Rung when something comes into an empty queue.
    package init(capacityBytes: Int, doorbell: Doorbell) {
        self.capacityBytes = capacityBytes
        self.doorbell = doorbell
    }

    /// How many bytes wait; from any thread.
    package var waitingBytes: Int { self.usedBytes.load(ordering: .relaxed) }

    /// Whether there is room for an entry of so many bytes.
    ///
    /// Costs one load.
    ///
    /// From three quarters full on bodies are left out, so that entries still fit.
    package func admission(forBytes bytes: Int) -> Admission {
        let used = self.usedBytes.load(ordering: .relaxed)
        if used + bytes <= self.capacityBytes / 4 * 3 { return .whole }
        return used < self.capacityBytes / 8 * 7 ? .withoutBody : .refused
    }

    /// Hands over a batch.
    ///
    /// - Returns: False if it does not fit; its entries are then counted as lost.
    package func push(_ item: Item) -> Bool {
        let bytes = item.byteCount
        let used = self.usedBytes.wrappingAdd(bytes, ordering: .relaxed).newValue
        guard used <= self.capacityBytes else {
            self.usedBytes.wrappingSubtract(bytes, ordering: .relaxed)
            self.lose(entries: UInt64(item.batch.entries), bodies: 0, of: item.stream)
            return false
        }
        let wasEmpty = self.state.withLock { state in
            state.items.append(item)
            return state.items.count == 1
        }
        // To wake a thread costs tens of microseconds: only where somebody waits, or it sleeps.
        if item.ticket != nil
            || (wasEmpty && !self.isWatched.load(ordering: .sequentiallyConsistent))
        {
            self.doorbell.ring()
        }
        return true
    }

    /// Says that the writer looks again soon by itself, or that it is going to sleep.
    ///
    /// - Returns: Whether it may: false if something came in meanwhile.
    package func watch(_ isWatched: Bool) -> Bool {
        self.isWatched.store(isWatched, ordering: .sequentiallyConsistent)
        return isWatched || self.state.withLock { $0.items.isEmpty }
    }

    /// Counts what the workers left out.
    package func lose(entries: UInt64, bodies: UInt64, of stream: Int) {
        self.state.withLock { state in
            state.losses[stream, default: Losses()].entries += entries
            state.losses[stream, default: Losses()].bodies += bodies
        }
    }

    /// Counts what was served and may not be logged.
    package func passOver(entries: UInt64, of stream: Int) {
        self.state.withLock { $0.losses[stream, default: Losses()].unlogged += entries }
    }

    /// Takes everything, on the writer's thread.
    ///
    /// The room is free once ``release(_:)`` says so.
    package func takeAll() -> Taken {
        self.state.withLock { state in
            let taken = state
            state = Taken()
            return taken
        }
    }

    /// Gives back the room of a batch that was written or dropped, and its memory.
    package func release(_ item: inout Item) {
        self.usedBytes.wrappingSubtract(item.byteCount, ordering: .relaxed)
        var batch = EntryBatch()
        swap(&batch, &item.batch)
        // An entry by itself has little memory, a large one more than another batch will need.
        guard item.ticket == nil, 1...Self.maximumSpareBytes ~= batch.capacity else { return }
        batch.removeAll()
        let spare = batch
        self.spares.withLock { spares in
            if spares.count < Self.maximumSpares { spares.append(spare) }
        }
    }

    /// An empty batch with the memory of one that was written; nil if there is none.
    package func spare() -> EntryBatch? { self.spares.withLock { $0.popLast() } }

    /// 16: one on its way and one being filled of eight workers.
    private static let maximumSpares = 16
    /// 128 KiB: twice what a batch has.
    private static let maximumSpareBytes = 131_072
}
