/// How often each of many sources may fail a minute, in a table of fixed size.
///
/// A token bucket a source: as many failures at once as a minute has, then as they grow back. In each
/// set of four a new source takes the place of the one unused for longest. Time comes in as an
/// argument.
package struct FailureBuckets: Sendable {
    private struct Bucket {
        var key: UInt64 = 0
        /// How many failures are still free, in thousandths.
        var tokens: Int64 = 0
        var updatedMilliseconds: Int64 = .min
    }

    private var buckets: [Bucket]
    private let sets: Int
    private let capacity: Int64

    /// An empty table, of 32 bytes for each of its buckets.
    ///
    /// - Parameters:
    ///   - capacity: How many failures are free a minute.
    ///   - sets: How many sets of four sources there are.
    package init(capacity: Int64, sets: Int) {
        self.capacity = 1000 * capacity
        self.sets = sets
        self.buckets = [Bucket](repeating: Bucket(), count: sets * Self.bucketsPerSet)
    }

    /// Takes one of the failures that `source` has free.
    ///
    /// - Parameters:
    ///   - source: Whose failure it is.
    ///   - now: Milliseconds of a clock that does not go back.
    /// - Returns: False if it has none.
    package mutating func take(_ source: some Hashable, nowMilliseconds now: Int64) -> Bool {
        let place = self.place(of: source, now: now)
        guard self.buckets[place].tokens >= 1000 else { return false }
        self.buckets[place].tokens -= 1000
        return true
    }

    /// Gives one back that was taken for what turned out to be no failure.
    package mutating func giveBack(_ source: some Hashable, nowMilliseconds now: Int64) {
        let place = self.place(of: source, now: now)
        self.buckets[place].tokens = min(self.capacity, self.buckets[place].tokens + 1000)
    }

    /// The bucket of `source`, with what has grown back until now.
    private mutating func place(of source: some Hashable, now: Int64) -> Int {
        let key = Self.key(source)
        let first = Int(key % UInt64(self.sets)) * Self.bucketsPerSet
        var chosen = first
        for index in first..<first + Self.bucketsPerSet {
            if self.buckets[index].key == key {
                chosen = index
                break
            }
            if self.buckets[index].updatedMilliseconds < self.buckets[chosen].updatedMilliseconds {
                chosen = index
            }
        }
        var bucket = self.buckets[chosen]
        if bucket.key != key || bucket.updatedMilliseconds == .min {
            bucket = Bucket(key: key, tokens: self.capacity, updatedMilliseconds: now)
        }
        let refill = (now - bucket.updatedMilliseconds) * self.capacity / 60_000
        // Less than a thousandth of a token is kept for later by not moving the time.
        if refill > 0 {
            bucket.tokens = min(self.capacity, bucket.tokens + refill)
            bucket.updatedMilliseconds = now
        }
        self.buckets[chosen] = bucket
        return chosen
    }

    private static func key(_ value: some Hashable) -> UInt64 {
        // Seeded per process: nobody outside can aim at another's set.
        var hasher = Hasher()
        hasher.combine(value)
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }

    private static let bucketsPerSet = 4
}
