internal import TLS

extension StreamError {
    /// How a connection that was open ended, by what went down its channel.
    static func ofTLS(_ error: any Error) -> Self {
        if case .alertReceived(let number) = error as? TLSError {
            .alert(number)
        } else {
            .truncated
        }
    }

    /// What became of a question that got no whole answer, as half a sentence about whoever was asked.
    package var reason: String {
        switch self {
        case .closed: "it closed the connection"
        case .truncated: "it cut the answer"
        case .malformed(.bodyTooLarge): "its answer is larger than an answer can be"
        case .malformed: "it does not speak HTTP"
        case .tooSlow: "it did not answer in time"
        case .tls(let reason): "TLS: \(reason)"
        case .alert(let number): "it ended TLS with alert \(number)"
        case .unreachable(let reason): reason
        case .exhausted: "too many questions wait for it"
        case .refused: "it refused the question"
        }
    }
}
