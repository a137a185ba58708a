internal import ControlServer
package import ServiceConfiguration

/// Slows down whoever guesses keys: after 20 failures a minute each refusal waits 250 ms.
///
/// A token bucket for each source network (/24 of IPv4, /56 of IPv6) and for each kid, in a table
/// of fixed size. Valid keys are never slowed down. One a worker; time comes in as an argument.
package struct AuthenticationFailureLimiter {
    private var buckets = FailureBuckets(capacity: Self.failuresPerMinute, sets: Self.setCount)

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
        var isFree = self.buckets.take(source.sourceNetwork, nowMilliseconds: now)
        if let kid { isFree = self.buckets.take(kid, nowMilliseconds: now) && isFree }
        return isFree ? 0 : Self.delayMilliseconds
    }

    private static let setCount = 1024
    private static let failuresPerMinute: Int64 = 20
    private static let delayMilliseconds: Int64 = 250
}
