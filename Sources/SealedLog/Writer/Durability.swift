/// How soon entries of an endpoint outlive the end of the process, and of the power.
package enum Durability: String, Sendable, CaseIterable {
    /// An answer ends only once its entry is durable: what comes while the disk synchronises is
    /// synchronised together after that.
    case strict
    /// Written as it comes, which its producers see to within 5 ms; durable within 50 ms or 1 MiB.
    case bounded
    /// Written within 50 ms; durable within 1 s.
    case relaxed

    /// How long an entry waits in the writer at most before it is written, in nanoseconds.
    package var writeDelay: UInt64 {
        switch self {
        case .strict, .bounded: 0
        case .relaxed: 50_000_000
        }
    }

    /// How long an entry waits at most before it is durable, in nanoseconds.
    package var synchronizeDelay: UInt64 {
        switch self {
        case .strict: 0
        case .bounded: 50_000_000
        case .relaxed: 1_000_000_000
        }
    }

    /// How many bytes wait at most before they are made durable.
    package var synchronizeBytes: Int {
        switch self {
        case .strict: 64 << 10
        case .bounded: 1 << 20
        case .relaxed: 4 << 20
        }
    }
}

/// When a stream must be written and synchronised next.
///
/// Has no clock.
package struct DurabilitySchedule: Sendable {
    /// What is to be done.
    package enum Action: Equatable, Sendable {
        case nothing
        case write
        case synchronize
    }

    private let durability: Durability
    private var firstUnwritten: UInt64?
    private var firstUnsynchronized: UInt64?

    /// Makes one for a stream without anything that waits.
    package init(_ durability: Durability) {
        self.durability = durability
    }

    /// Notes that entries were appended.
    package mutating func append(at now: UInt64) {
        self.firstUnwritten = self.firstUnwritten ?? now
        self.firstUnsynchronized = self.firstUnsynchronized ?? now
    }

    /// Notes that all was written.
    package mutating func wrote() {
        self.firstUnwritten = nil
    }

    /// Notes that all is durable.
    package mutating func synchronized() {
        self.firstUnwritten = nil
        self.firstUnsynchronized = nil
    }

    /// What is due.
    ///
    /// - Parameters:
    ///   - now: Monotonic nanoseconds.
    ///   - bytes: How many bytes are not durable.
    /// - Returns: The most that is due; synchronising writes too.
    package func action(at now: UInt64, unsynchronizedBytes bytes: Int) -> Action {
        if let first = self.firstUnsynchronized,
            bytes >= self.durability.synchronizeBytes
                || now >= first + self.durability.synchronizeDelay
        {
            return .synchronize
        }
        if let first = self.firstUnwritten, now >= first + self.durability.writeDelay {
            return .write
        }
        return .nothing
    }

    /// When something is due next, in monotonic nanoseconds; nil if nothing waits.
    package var deadline: UInt64? {
        let write = self.firstUnwritten.map { $0 + self.durability.writeDelay }
        let synchronize = self.firstUnsynchronized.map { $0 + self.durability.synchronizeDelay }
        guard let write, let synchronize else { return write ?? synchronize }
        return min(write, synchronize)
    }
}
