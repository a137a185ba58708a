package import ServiceConfiguration

/// Slows down whoever guesses keys: after 20 failures a minute each refusal waits 250 ms.
///
/// A token bucket for each source network (/24 of IPv4, /56 of IPv6) and for each kid, in a table
/// of fixed size, where a new one takes the place of the one unused for longest among four. Valid
/// keys are never slowed down. One a worker; time comes in as an argument.
package struct AuthenticationFailureLimiter {
    private struct Bucket {
        var key: UInt64 = 0
        /// How many failures are still free, in thousandths.
        var tokens: Int64 = 0
        var updatedMilliseconds: Int64 = .min
    }

    private var buckets = [Bucket](
        repeating: Bucket(), count: Self.setCount * Self.bucketsPerSet)

    /// An empty table, of 128 KiB.
    package init() {}

    /// Counts a failure, and says how long its answer must wait.
    ///
    /// - Parameters:
    ///   - source: The client's address.
    ///   - kid: The kid that was claimed, if there was one.
    ///   - now: Milliseconds of a clock that does not go back.
    /// - Returns: Milliseconds: 0, or 250 if source or kid had too many.
    package mutating func recordFailure(
        source: IPAddress, kid: EndpointKeyID?, nowMilliseconds now: Int64
    ) -> Int64 {
        var isFree = self.take(Self.key(source.sourceNetwork), now: now)
        if let kid { isFree = self.take(Self.key(kid), now: now) && isFree }
        return isFree ? 0 : Self.delayMilliseconds
    }

    /// Takes a token from the bucket of `key`; false if it is empty.
    private mutating func take(_ key: UInt64, now: Int64) -> Bool {
        let first = Int(key % UInt64(Self.setCount)) * Self.bucketsPerSet
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
            bucket = Bucket(key: key, tokens: Self.capacity, updatedMilliseconds: now)
        }
        let refill = (now - bucket.updatedMilliseconds) * Self.capacity / 60_000
        // Less than a thousandth of a token is kept for later by not moving the time.
        if refill > 0 {
            bucket.tokens = min(Self.capacity, bucket.tokens + refill)
            bucket.updatedMilliseconds = now
        }
        let isFree = bucket.tokens >= 1_000
        if isFree { bucket.tokens -= 1_000 }
        self.buckets[chosen] = bucket
        return isFree
    }

    private static func key(_ value: some Hashable) -> UInt64 {
        // Seeded per process: nobody outside can aim at another's set.
        var hasher = Hasher()
        hasher.combine(value)
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }

    private static let setCount = 1024
    private static let bucketsPerSet = 4
    /// 20 failures, and 20 more a minute.
    private static let capacity: Int64 = 20_000
    private static let delayMilliseconds: Int64 = 250
}
