internal import Glibc

/// A time of day, since 1970 in UTC.
struct WallClock: Sendable {
    let seconds: Int
    let nanoseconds: Int

    /// Whole milliseconds since 1970.
    var milliseconds: Int64 { Int64(self.seconds) * 1000 + Int64(self.nanoseconds / 1_000_000) }

    /// clock_gettime(2), which the kernel answers without a system call.
    static func now() -> WallClock {
        var time = timespec()
        let answer = unsafe clock_gettime(CLOCK_REALTIME, &time)
        precondition(answer == 0, "the real-time clock is always there")
        return WallClock(seconds: time.tv_sec, nanoseconds: time.tv_nsec)
    }
}
