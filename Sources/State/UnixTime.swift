internal import Glibc

/// A time of the wall clock.
package struct UnixTime: Sendable {
    /// Whole seconds since 1970 in UTC.
    package let seconds: Int
    /// What is over, 0 to 999,999,999.
    package let nanoseconds: Int

    /// Whole milliseconds since 1970.
    package var milliseconds: Int64 {
        Int64(self.seconds) * 1000 + Int64(self.nanoseconds / 1_000_000)
    }

    /// clock_gettime(2), which the kernel answers without a system call.
    package static func now() -> UnixTime {
        var time = timespec()
        let answer = unsafe clock_gettime(CLOCK_REALTIME, &time)
        precondition(answer == 0, "the real-time clock is always there")
        return UnixTime(seconds: time.tv_sec, nanoseconds: time.tv_nsec)
    }

    /// Milliseconds since 1970, now.
    package static var milliseconds: Int64 { self.now().milliseconds }
}
