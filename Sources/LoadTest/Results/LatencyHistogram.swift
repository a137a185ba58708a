internal import Histogram
internal import NIOCore

/// Times, or other numbers, counted with three significant digits.
package struct LatencyHistogram: Sendable {
    /// 1 ns to an hour; what is longer counts as an hour.
    private var histogram = Self.empty

    /// Nothing counted yet.
    package init() {}

    /// Counts one time.
    @inline(__always)
    mutating func record(_ time: TimeAmount) { self.record(nanoseconds: time.nanoseconds) }

    /// Counts one time.
    @inline(__always)
    mutating func record(nanoseconds: Int64) {
        self.histogram.record(UInt64(min(max(nanoseconds, 0), Self.longest)))
    }

    /// Adds what another counted.
    mutating func add(_ other: LatencyHistogram) {
        guard other.count > 0 else { return }
        self.histogram.add(other.histogram)
    }

    /// How many were counted.
    package var count: Int { Int(self.histogram.totalCount) }
    /// The mean, to three digits.
    package var mean: Double { self.count == 0 ? 0 : self.histogram.mean }
    /// The greatest, to three digits.
    package var maximum: Double { self.count == 0 ? 0 : Double(self.histogram.max) }
    /// The least, to three digits.
    package var minimum: Double { self.count == 0 ? 0 : Double(self.histogram.min) }

    /// The value that `percentile` of 100 are not above; nil where too few were counted to say.
    package func value(at percentile: Double) -> Double? {
        guard Self.isSupported(percentile, count: self.count) else { return nil }
        return Double(self.histogram.valueAtPercentile(percentile))
    }

    /// How many of what was counted are at most `value`.
    package func count(atMost value: Int64) -> Int {
        self.count == 0 ? 0 : Int(self.histogram.count(within: 0...UInt64(max(0, value))))
    }

    /// Whether a percentile of so many samples says something: at least ten lie beyond it, or half
    /// of ten on each side of the middle.
    package static func isSupported(_ percentile: Double, count: Int) -> Bool {
        Double(count) * (100 - percentile) / 100 >= self.samplesBeyond - 1e-6
    }

    /// How many samples a percentile needs.
    package static func samplesNeeded(for percentile: Double) -> Int {
        Int((self.samplesBeyond * 100 / (100 - percentile) - 1e-6).rounded(.up))
    }

    /// Of how many samples beyond it a percentile is more than chance.
    private static let samplesBeyond = 10.0
    private static let longest: Int64 = 3_600_000_000_000
    /// Copied on the first write: a copy of memory is quicker than to count it out anew.
    private static let empty = Histogram<UInt32>(
        lowestDiscernibleValue: 1, highestTrackableValue: UInt64(Self.longest),
        numberOfSignificantValueDigits: .three)
}
