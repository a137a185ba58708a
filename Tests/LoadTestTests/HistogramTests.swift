import NIOCore
import Testing

@testable import LoadTest

/// What a histogram says, and what it does not.
struct HistogramTests {
    @Test("values keep three significant digits from a microsecond to an hour")
    func digits() throws {
        for value in [1_234, 56_780, 912_345, 5_000_000, 1_234_567_890, 3_000_000_000_000]
            as [Int64]
        {
            var histogram = LatencyHistogram()
            for _ in 0..<20 { histogram.record(nanoseconds: value) }
            let found = try #require(histogram.value(at: 50))
            #expect(abs(found - Double(value)) / Double(value) < 0.001)
        }
    }

    @Test("the sum of two says what one would that had counted all")
    func sum() {
        var (one, other, all) = (LatencyHistogram(), LatencyHistogram(), LatencyHistogram())
        for number in 1...2000 as ClosedRange<Int64> {
            let value = number * number * 1000
            if number % 3 == 0 {
                one.record(nanoseconds: value)
            } else {
                other.record(nanoseconds: value)
            }
            all.record(nanoseconds: value)
        }
        one.add(other)
        #expect(one.count == all.count)
        for percentile in [50, 90, 99] as [Double] {
            #expect(one.value(at: percentile) == all.value(at: percentile))
        }
        #expect(one.maximum == all.maximum)
        #expect(one.mean == all.mean)
    }

    @Test(
        "a percentile needs ten samples beyond it",
        arguments: [(50.0, 20), (90, 100), (99, 1000), (99.9, 10_000), (99.99, 100_000)])
    func support(_ percentile: Double, _ needed: Int) {
        #expect(LatencyHistogram.samplesNeeded(for: percentile) == needed)
        #expect(LatencyHistogram.isSupported(percentile, count: needed))
        #expect(!LatencyHistogram.isSupported(percentile, count: needed - 1))
    }

    @Test("what is not supported is not said")
    func unsupported() {
        var histogram = LatencyHistogram()
        for _ in 0..<999 { histogram.record(nanoseconds: 1000) }
        #expect(histogram.value(at: 99) == nil)
        #expect(histogram.value(at: 95) != nil)
        histogram.record(nanoseconds: 1000)
        #expect(histogram.value(at: 99) != nil)
        let distribution = LoadReport.Distribution(histogram)
        #expect(distribution?.percentiles.map(\.percentile) == [50, 75, 90, 95, 99])
    }

    @Test(
        "medians over windows: one that stalled does not reach them, and half that say nothing do")
    func windows() throws {
        func point(_ second: Int, count: Int, _ value: Int64) -> SecondPoint {
            var tally = IntervalTally()
            for _ in 0..<count { tally.latency.record(nanoseconds: value) }
            return SecondPoint(second: second, tally)
        }
        var points = (0..<4).map { point($0, count: 1000, 1_000_000) }
        points.append(point(4, count: 1000, 900_000_000))
        let windows = LoadReport.Windows(.milliseconds(250), points)
        #expect(windows.seconds == 0.25)
        #expect(windows.count == 5)
        for value in [windows.p50, windows.p90, windows.p99] {
            #expect(abs(try #require(value) - 0.001) < 1e-6)
        }
        // 100 answers have a p90 and no p99.
        let few = LoadReport.Windows(
            .milliseconds(250), points + (5..<10).map { point($0, count: 100, 1_000_000) })
        #expect(few.p90 != nil)
        #expect(few.p99 == nil)
        #expect(LoadReport.Windows(.milliseconds(250), []).p50 == nil)
    }

    @Test("longer than an hour counts as an hour, earlier than its start as nothing")
    func bounds() {
        var histogram = LatencyHistogram()
        histogram.record(nanoseconds: .max)
        histogram.record(nanoseconds: -5)
        #expect(histogram.count == 2)
        #expect(abs(histogram.maximum / 3.6e12 - 1) < 0.001)
        #expect(histogram.minimum == 0)
    }
}
