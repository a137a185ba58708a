package import NIOCore

/// How many requests a second are due, over the time of a test: steps and ramps.
package struct RateProfile: Sendable, Equatable {
    /// A stretch of time whose rate changes evenly.
    package struct Segment: Sendable, Equatable {
        /// Requests a second at its start.
        package var from: Double
        /// Requests a second at its end.
        package var to: Double
        /// How long it is.
        package var seconds: Double

        /// How many requests are due in it.
        var arrivals: Double { (self.from + self.to) / 2 * self.seconds }

        /// When, from its start, request number `arrival` of it is due; fractions count.
        func seconds(ofArrival arrival: Double) -> Double {
            let slope = (self.to - self.from) / self.seconds
            // The root of from·t + slope/2·t² = arrival, in the form that does not cancel.
            let root = max(0, self.from * self.from + 2 * slope * arrival).squareRoot()
            let divisor = self.from + root
            return divisor > 0 ? 2 * arrival / divisor : 0
        }
    }

    /// One after the other.
    package var segments: [Segment]

    /// One rate all the time.
    package init(constant rate: Double, seconds: Double) {
        self.segments = [Segment(from: rate, to: rate, seconds: seconds)]
    }

    /// Reads `1000`, `100@10s,500@30s` (steps) or `100..2000@30s,2000` (a ramp, then what it came to).
    ///
    /// - Parameters:
    ///   - text: Rates in requests a second; only the last may be without its time.
    ///   - duration: How long the last lasts if it does not say so.
    /// - Throws: `.usage` with what is wrong.
    package init(_ text: String, duration: TimeAmount) throws(LoadError) {
        self.segments = []
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        for (position, part) in parts.enumerated() {
            let halves = part.split(separator: "@", omittingEmptySubsequences: false)
            var time: TimeAmount?
            if halves.count == 1, position == parts.count - 1 { time = duration }
            if halves.count == 2 { time = Quantity.duration(halves[1]) }
            guard let time, time > .zero, let first = halves.first else {
                throw .usage(
                    "--rate \(text): \"\(part)\" is not RATE@TIME such as 100@10s, or 100..2000@30s; "
                        + "only the last may be without @TIME")
            }
            let range = first.components(separatedBy: "..")
            guard range.count <= 2,
                let from = Quantity.number(range[0]),
                let to = range.count == 2 ? Quantity.number(range[1]) : from,
                from <= Self.maximumRate, to <= Self.maximumRate
            else {
                throw .usage(
                    "--rate \(text): \"\(first)\" is not a number of requests a second, 0 to 10000000"
                )
            }
            self.segments.append(
                Segment(from: from, to: to, seconds: Double(time.nanoseconds) / 1e9))
        }
        guard self.arrivals >= 1 else {
            throw .usage("--rate \(text): not one request is due in that time")
        }
    }

    /// How long it is.
    package var seconds: Double { self.segments.reduce(0) { $0 + $1.seconds } }
    /// How many requests are due in all.
    package var arrivals: Double { self.segments.reduce(0) { $0 + $1.arrivals } }
    /// The highest rate.
    package var peak: Double { self.segments.reduce(0) { max($0, $1.from, $1.to) } }

    /// The same after a warm-up at the rate it begins with.
    func warmedUp(seconds: Double) -> RateProfile {
        guard seconds > 0, let first = self.segments.first else { return self }
        var profile = self
        // A ramp from nothing is warmed up by one request a second.
        let rate = first.from > 0 ? first.from : 1
        profile.segments.insert(Segment(from: rate, to: rate, seconds: seconds), at: 0)
        return profile
    }

    /// Ten million a second: more than any network of one machine.
    private static let maximumRate = 1e7
}

extension StringProtocol {
    /// The pieces between occurrences of `separator`.
    fileprivate func components(separatedBy separator: String) -> [String] {
        var pieces: [String] = []
        var rest = self[...]
        while let range = rest.firstRange(of: separator) {
            pieces.append(String(rest[..<range.lowerBound]))
            rest = rest[range.upperBound...]
        }
        pieces.append(String(rest))
        return pieces
    }
}
