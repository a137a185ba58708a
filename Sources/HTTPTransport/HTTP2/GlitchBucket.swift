internal import NIOCore

/// What a peer may do that is allowed, costs us more than it costs the peer, and is rare in good use.
enum Glitch {
    /// A stream reset by the client before its answer was complete.
    case reset
    /// A stream that we had to reset.
    case brokenStream
    /// A stream above the limit.
    case refusedStream
    case ping
    case settings
    case priority
    /// DATA, HEADERS or CONTINUATION without a byte.
    case emptyFrame
    /// CONTINUATION at all.
    case continuation
    /// WINDOW_UPDATE by one byte.
    case tinyWindowUpdate
    case unknownFrame

    /// What it takes out of the bucket.
    var cost: Int {
        switch self {
        case .reset: 2
        case .brokenStream: 5
        case .refusedStream, .ping, .priority, .emptyFrame, .continuation, .tinyWindowUpdate,
            .unknownFrame:
            1
        case .settings: 4
        }
    }
}

/// How much more of ``Glitch`` a connection may do: 100 tokens, of which ten come back each second.
struct GlitchBucket {
    /// What is left after a charge.
    enum Level {
        case enough
        /// A quarter or less: the connection should end soon.
        case low
        case empty
    }

    private var tokens = GlitchBucket.capacity
    private var filled: NIODeadline

    init(now: NIODeadline) {
        self.filled = now
    }

    /// Takes the cost of `glitch` out of the bucket.
    mutating func charge(_ glitch: Glitch, now: NIODeadline) -> Level {
        let returned = Int((now - self.filled).nanoseconds / Self.nanosecondsPerToken)
        if returned > 0 {
            self.tokens = min(self.tokens + returned, Self.capacity)
            self.filled = self.filled + .nanoseconds(Int64(returned) * Self.nanosecondsPerToken)
        }
        self.tokens -= glitch.cost
        if self.tokens < 0 { return .empty }
        return self.tokens <= Self.capacity / 4 ? .low : .enough
    }

    private static let capacity = 100
    private static let nanosecondsPerToken: Int64 = 100_000_000
}
