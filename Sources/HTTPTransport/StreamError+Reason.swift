internal import Cryptography
internal import NIOCore
internal import NIOPosix
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

    /// That no connection could be made, and why; from the error of whoever tried.
    package static func unreachable(_ address: ConnectionPool.Address, _ error: any Error) -> Self {
        switch address {
        case .host(let host, let port): .unreachable("\(host):\(port): \(self.words(of: error))")
        case .unix(let path): .unreachable("\(path): \(self.words(of: error))")
        }
    }

    /// NIO tells by names of functions and types.
    private static func words(of error: any Error) -> String {
        switch error {
        case let error as IOError: systemText(error.errnoCode)
        case let error as ChannelError where error.isTimeout: "no connection in time"
        case let error as NIOConnectionError:
            // Of several addresses of a name the first tells as much as all.
            error.connectionErrors.first.map { self.words(of: $0.error) }
                ?? "no address is known for this name"
        default: "\(error)"
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

extension StreamError: CustomStringConvertible {
    /// What happened, for an operator, whichever end it was that did it.
    package var description: String {
        switch self {
        case .closed: "the connection was closed"
        case .truncated: "the connection ended without close_notify"
        case .malformed(let error): error.description
        case .tooSlow: "it took too long"
        case .tls(let reason): "TLS: \(reason)"
        case .alert(let number): "TLS was ended with alert \(number)"
        case .unreachable(let reason): reason
        case .exhausted: "too many connections, or too many that wait for one"
        case .refused: "the request was sent back before it was begun"
        }
    }
}

extension ChannelError {
    fileprivate var isTimeout: Bool { if case .connectTimeout = self { true } else { false } }
}
