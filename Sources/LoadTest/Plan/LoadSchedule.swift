internal import Glibc
internal import HTTPTransport

/// How the requests of an open loop are spread.
package enum Arrivals: String, Sendable, CaseIterable {
    /// At even distances.
    case constant
    /// As independent callers come: distances are distributed exponentially.
    case poisson
}

/// When the requests of one worker are due, one after the other.
///
/// The workers share a profile: with constant arrivals each takes every so many-th, so that all
/// together are even; a Poisson process of rate r is as many of rate r/n each.
struct LoadSchedule {
    private let segments: [RateProfile.Segment]
    private let arrivals: Arrivals
    private let stride: Double
    private var random: FastRandom
    /// The number of the next request, in the present segment; fractions count.
    private var arrival: Double
    private var segment = 0
    private var segmentStart = 0.0

    /// The share of worker `worker` of `workers`.
    init(_ profile: RateProfile, _ arrivals: Arrivals, worker: Int, of workers: Int) {
        self.segments = profile.segments
        self.arrivals = arrivals
        self.stride = Double(workers)
        self.random = FastRandom()
        self.arrival = Double(worker)
        if case .poisson = arrivals { self.arrival = self.distance() }
    }

    /// When the next request is due, in nanoseconds from the start; nil if none is.
    mutating func next() -> Int64? {
        while self.segment < self.segments.count {
            let segment = self.segments[self.segment]
            let expected = segment.arrivals
            guard self.arrival >= expected else {
                let seconds = self.segmentStart + segment.seconds(ofArrival: self.arrival)
                self.arrival += self.distance()
                return Int64(seconds * 1e9)
            }
            self.arrival -= expected
            self.segmentStart += segment.seconds
            self.segment += 1
        }
        return nil
    }

    private mutating func distance() -> Double {
        switch self.arrivals {
        case .constant: return self.stride
        case .poisson:
            // 53 bits of a number in (0, 1].
            let uniform = Double((self.random.next() >> 11) + 1) * 0x1p-53
            return -log(uniform) * self.stride
        }
    }
}
