/// A point in time, given by the caller: nothing in this target reads a clock.
package struct LogTime: Sendable {
    /// Unix nanoseconds; may step back.
    package var unixNanoseconds: UInt64
    /// Nanoseconds of a clock that never steps back, from any start.
    package var monotonicNanoseconds: UInt64

    /// Makes one.
    package init(unixNanoseconds: UInt64, monotonicNanoseconds: UInt64) {
        self.unixNanoseconds = unixNanoseconds
        self.monotonicNanoseconds = monotonicNanoseconds
    }

    /// Unix milliseconds.
    package var unixMilliseconds: UInt64 { self.unixNanoseconds / 1_000_000 }
}
