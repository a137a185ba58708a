internal import NIOCore

/// How many key updates or refused renegotiations a peer has left.
struct KeyChangeLimit {
    private var count = 0
    private var since = NIODeadline.uptimeNanoseconds(0)

    /// Counts `number` more; false if they are too many.
    mutating func admit(_ number: Int, now: NIODeadline) -> Bool {
        if now - self.since > .minutes(1) {
            self.since = now
            self.count = 0
        }
        self.count += number
        return self.count <= Self.maximum
    }

    /// 16 a minute: a peer that must change keys every few GiB stays far below.
    private static let maximum = 16
}
