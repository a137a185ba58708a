internal import HTTPTransport

/// Why an exchange ends with an answer of the gateway's own.
struct GatewayError: Error {
    /// What happened, which decides the status and body; ``Answer`` maps it.
    enum Kind: Sendable {
        /// The request is not HTTP as this gateway accepts it.
        case badRequest(HTTPError)
        /// A request id of more than 100 characters.
        case requestIDTooLong(isMSField: Bool)
        /// Host names no endpoint of the listener, or another name than SNI did.
        case misdirected
        /// `Authorization` is absent, repeated or not `Bearer` and one token.
        case badAuthorization
        /// Any other failure of authentication, with the key id that was claimed.
        case accessDenied(EndpointKeyID?)
        /// A verified identity that is not one of those that may call.
        case forbidden
        /// No endpoint at this path, for a caller who may know that.
        case unknownPath
        /// No deployment of positive weight, or none of the name asked for.
        case noDeployment
        /// The body is longer than the endpoint allows.
        case bodyTooLarge
        /// The keys could not be read for too long, so nobody can be let in.
        case keysUnavailable
        /// What passes cannot be logged, and must not pass unlogged.
        case logUnavailable
        /// No backend could be reached, or it was not the one it should be.
        case notReady
        /// Every connection of every backend that could be had is taken, and enough wait for one.
        case overloaded
        /// The backend broke HTTP or TLS, or closed before its head.
        case badBackend
        /// A model asked over gRPC answered with this status of HTTP and none of gRPC.
        case modelStatus(Int)
        /// The model took longer than `request_timeout_ms`.
        case timedOut
        /// The client went away; nothing can be answered.
        case clientGone
        /// A key was revoked while it was in use.
        case revoked
        /// The gateway ends, and waited as long as it may.
        case shuttingDown

        /// Whether it is the log that fails, so that nothing can wait for it.
        var isLogFailure: Bool { if case .logUnavailable = self { true } else { false } }
    }

    /// Whose doing it was.
    enum Source: String, Sendable {
        case downstream
        case upstream
        case `internal`
    }

    var kind: Kind
    var source: Source
    /// For the operator's log: never bodies, headers or keys.
    var cause: String = ""
}
