package import NIOCore

/// How long a server connection waits for a client.
package struct ServerTimeouts: Sendable {
    /// From a head's first byte to its last.
    package var head: TimeAmount
    /// Between requests.
    package var idle: TimeAmount
    /// How often a body's pace is looked at.
    package var paceInterval = TimeAmount.seconds(10)
    /// Bytes a second below which a body is too slow.
    package var minimumPace = 240
    /// How long an unread answer may stand still.
    package var stall = TimeAmount.seconds(30)

    /// The other bounds are the defaults.
    package init(head: TimeAmount, idle: TimeAmount) {
        self.head = head
        self.idle = idle
    }
}

/// A rate since a point in time.
struct Pace {
    private(set) var start = NIODeadline.now()
    private(set) var bytes = 0

    mutating func restart(at time: NIODeadline, bytes: Int) {
        self.start = time
        self.bytes = bytes
    }

    /// Whether fewer than `minimum` bytes a second came since the start.
    func isBelow(_ minimum: Int, at now: NIODeadline, bytes: Int) -> Bool {
        let milliseconds = (now - self.start).nanoseconds / 1_000_000
        return Int64(bytes - self.bytes) * 1000 < Int64(minimum) * milliseconds
    }
}

/// What may still come, to be dropped, of a request whose answer is out.
///
/// Many clients read the answer only once they have sent everything: cut off at once, they would
/// lose it (RFC 9112 9.6, RFC 9113 8.1). 16 MiB, and no less than 256 KiB in each interval.
struct DiscardBudget {
    private var remaining: Int
    private var pace = Pace()

    /// - Parameter now: When the answer left.
    init(at now: NIODeadline) {
        self.remaining = Self.maximumBytes
        self.pace.restart(at: now, bytes: self.remaining)
    }

    private init(remaining: Int) { self.remaining = remaining }

    /// Nothing is waited for.
    static let none = DiscardBudget(remaining: 0)

    /// Counts `count` dropped bytes.
    ///
    /// - Returns: Whether more may come.
    mutating func drop(_ count: Int) -> Bool {
        self.remaining = max(self.remaining - count, 0)
        return self.remaining > 0
    }

    /// Whether the client sent enough in the interval that has passed; another one begins.
    mutating func keepsPace(at now: NIODeadline) -> Bool {
        guard self.pace.bytes - self.remaining >= Self.minimumBytes else { return false }
        self.pace.restart(at: now, bytes: self.remaining)
        return true
    }

    /// When the interval is over.
    var due: NIODeadline { self.pace.start + Self.interval }

    private static let interval = TimeAmount.seconds(2)
    private static let maximumBytes = 16 << 20
    private static let minimumBytes = 262_144
}
