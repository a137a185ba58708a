import NIOCore
import Testing

@testable import LoadTest

/// When the requests of an open loop are due.
struct ScheduleTests {
    private static func times(
        _ profile: RateProfile, _ arrivals: Arrivals = .constant, worker: Int = 0,
        of workers: Int = 1
    ) -> [Double] {
        var schedule = LoadSchedule(profile, arrivals, worker: worker, of: workers)
        var times: [Double] = []
        while let time = schedule.next() { times.append(Double(time) / 1e9) }
        return times
    }

    @Test("constant arrivals are even, the first at once, and as many as the rate says")
    func constant() {
        let times = Self.times(RateProfile(constant: 200, seconds: 3))
        #expect(times.count == 600)
        #expect(times.first == 0)
        for (earlier, later) in zip(times, times.dropFirst()) {
            #expect(abs(later - earlier - 0.005) < 1e-6)
        }
    }

    @Test("workers share an even schedule without two at once")
    func shares() {
        let profile = RateProfile(constant: 90, seconds: 2)
        let all = (0..<3).flatMap { Self.times(profile, worker: $0, of: 3) }.sorted()
        let one = Self.times(profile)
        #expect(all.count == one.count)
        for (shared, alone) in zip(all, one) { #expect(abs(shared - alone) < 1e-6) }
    }

    @Test("steps and ramps: how many are due in each second is the rate's integral")
    func stepsAndRamps() throws {
        let profile = try RateProfile("100@2s,300@1s,0..200@2s,50", duration: .seconds(2))
        #expect(profile.seconds == 7)
        #expect(profile.arrivals == 200 + 300 + 200 + 100)
        let times = Self.times(profile)
        let counts = (0..<7).map { second in
            times.count { Double(second) <= $0 && $0 < Double(second + 1) }
        }
        for (count, expected) in zip(counts, [100, 100, 300, 50, 150, 50, 50]) {
            #expect(abs(count - expected) <= 1, "\(counts)")
        }
        #expect(times == times.sorted())
    }

    @Test("Poisson arrivals: right in number, exponential in distance, other for each worker")
    func poisson() {
        let profile = RateProfile(constant: 1000, seconds: 20)
        let times = (0..<2).flatMap { Self.times(profile, .poisson, worker: $0, of: 2) }.sorted()
        // 20,000 expected; the standard deviation is 141.
        #expect(abs(times.count - 20_000) < 850)
        let distances = zip(times, times.dropFirst()).map { $1 - $0 }
        let mean = distances.reduce(0, +) / Double(distances.count)
        let longer = distances.count { $0 > mean }
        // A share of 1/e is longer than the mean.
        #expect(abs(Double(longer) / Double(distances.count) - 0.3679) < 0.02)
        #expect(Set(times).count > 19_000)
    }

    @Test("a warm-up goes at the rate the test begins with")
    func warmUp() throws {
        let profile = try RateProfile("10..90@1s", duration: .seconds(1)).warmedUp(seconds: 2)
        #expect(profile.segments.first == RateProfile.Segment(from: 10, to: 10, seconds: 2))
        #expect(profile.arrivals == 20 + 50)
    }

    @Test(
        "what is no rate is refused",
        arguments: [
            "", "abc", "-5", "100@", "100@5", "100@5x", "100,200", "100@5s,", "1..2..3@5s", "0",
            "100000000", "0.01@5s", "1e3",
        ])
    func refused(_ text: String) {
        #expect(throws: LoadError.self) { try RateProfile(text, duration: .seconds(1)) }
    }
}
