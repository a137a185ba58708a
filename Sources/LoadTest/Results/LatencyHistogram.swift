internal import NIOCore

/// Times, or other numbers, counted with three significant digits: a high dynamic range histogram
/// as Gil Tene's HdrHistogram has it.
///
///     values            step  places
///     0 to 2047         1     2048
///     2048 to 4095      2     1024
///     4096 to 8191      4     1024
///     … to 2^42 − 1     2^31  1024
///
/// Written out here because to count is most of what a tester does for an answer, and to read, of a
/// generic type of another module, took a tenth of a second of processor time a report.
package struct LatencyHistogram: Sendable {
    private var counts = Self.empty
    /// How many were counted.
    package private(set) var count = 0
    private var least = Int64.max
    private var greatest: Int64 = 0

    /// Nothing counted yet.
    package init() {}

    /// Counts one time.
    @inline(__always)
    mutating func record(_ time: TimeAmount) { self.record(nanoseconds: time.nanoseconds) }

    /// Counts one time; what is longer than an hour counts as an hour.
    @inline(__always)
    mutating func record(nanoseconds: Int64) {
        let value = min(max(nanoseconds, 0), Self.longest)
        self.counts[Self.place(of: value)] += 1
        self.count += 1
        self.least = min(self.least, value)
        self.greatest = max(self.greatest, value)
    }

    /// Adds what another counted.
    mutating func add(_ other: LatencyHistogram) {
        guard other.count > 0 else { return }
        for place in self.counts.indices { self.counts[place] += other.counts[place] }
        self.count += other.count
        self.least = min(self.least, other.least)
        self.greatest = max(self.greatest, other.greatest)
    }

    /// The mean, to three digits.
    package var mean: Double {
        guard self.count > 0 else { return 0 }
        var sum = 0.0
        for (place, count) in self.counts.enumerated() where count > 0 {
            let values = Self.values(at: place)
            sum += Double(count) * Double(values.lowerBound + values.upperBound) / 2
        }
        return sum / Double(self.count)
    }

    /// The greatest.
    package var maximum: Double { Double(self.greatest) }
    /// The least.
    package var minimum: Double { self.count == 0 ? 0 : Double(self.least) }

    /// The value that `percentile` of 100 are not above; nil where too few were counted to say.
    package func value(at percentile: Double) -> Double? {
        guard Self.isSupported(percentile, count: self.count) else { return nil }
        // Rounded up, but not for what a binary fraction is above a decimal one.
        var rest = max(1, Int((percentile / 100 * Double(self.count) - 1e-6).rounded(.up)))
        for (place, count) in self.counts.enumerated() {
            rest -= Int(count)
            if rest <= 0 { return Double(min(Self.values(at: place).upperBound, self.greatest)) }
        }
        return Double(self.greatest)
    }

    /// How many of what was counted are at most `value`.
    package func count(atMost value: Int64) -> Int {
        guard value >= 0 else { return 0 }
        let last = Self.place(of: min(value, Self.longest))
        return self.counts[...last].reduce(0) { $0 + Int($1) }
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

    /// Where `value`, 0 to an hour, is counted.
    @inline(__always)
    private static func place(of value: Int64) -> Int {
        // By how many bits it is longer than the eleven that are kept.
        let shift = self.unkeptBits - (value | (2 * self.half - 1)).leadingZeroBitCount
        return (shift << self.halfBits) + Int(value >> shift)
    }

    /// What is counted at `place`.
    private static func values(at place: Int) -> ClosedRange<Int64> {
        let shift = max(0, (place >> self.halfBits) - 1)
        let least = (Int64(place) - Int64(shift) * self.half) << shift
        return least...(least + (1 << shift) - 1)
    }

    /// 1,024: a step is at most a thousandth of the values it takes together.
    private static let half: Int64 = 1 << 10
    private static let halfBits = 10
    /// Of 64, but for the eleven that tell 2,048 values apart.
    private static let unkeptBits = 53
    /// Of how many samples beyond it a percentile is more than chance.
    private static let samplesBeyond = 10.0
    /// An hour.
    private static let longest: Int64 = 3_600_000_000_000
    /// Copied on the first write.
    private static let empty = [UInt32](repeating: 0, count: Self.place(of: Self.longest) + 1)
}
