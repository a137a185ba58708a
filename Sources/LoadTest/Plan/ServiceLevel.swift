package import NIOCore

/// What one answer must keep to be good, for goodput.
package struct ServiceLevel: Sendable, Equatable {
    /// The longest latency.
    package var latency: TimeAmount?
    /// The longest time to the first token.
    package var firstToken: TimeAmount?
    /// The longest time an output token.
    package var perOutputToken: TimeAmount?

    /// No limits.
    package init() {}

    /// Reads `latency<1s,ttft<200ms,tpot<50ms`.
    package init(_ text: String) throws(LoadError) {
        for term in text.split(separator: ",") {
            let halves = term.split(separator: "<")
            let limit = halves.count == 2 ? Quantity.duration(halves[1]) : nil
            switch (halves.first, limit) {
            case ("latency", let limit?): self.latency = limit
            case ("ttft", let limit?): self.firstToken = limit
            case ("tpot", let limit?): self.perOutputToken = limit
            default:
                throw .usage(
                    "--slo \(text): \"\(term)\" is not latency<TIME, ttft<TIME or tpot<TIME")
            }
        }
    }

    func isKept(
        latency: TimeAmount, firstToken: TimeAmount?, perOutputToken: TimeAmount?
    ) -> Bool {
        if let limit = self.latency, latency >= limit { return false }
        if let limit = self.firstToken, firstToken.map({ $0 >= limit }) ?? true { return false }
        // An answer of one token has no time a token after the first.
        if let limit = self.perOutputToken, let perOutputToken, perOutputToken >= limit {
            return false
        }
        return true
    }
}
