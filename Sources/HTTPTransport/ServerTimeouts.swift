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
