internal import HTTPTransport

/// A status code of gRPC (grpc.io, "Status codes"), as far as the gateway gives them itself.
enum GRPCStatus: Int {
    case unknown = 2
    case invalidArgument = 3
    case deadlineExceeded = 4
    case permissionDenied = 7
    case resourceExhausted = 8
    case unimplemented = 12
    case `internal` = 13
    case unavailable = 14
    case unauthenticated = 16

    /// What a caller sees where HTTP has `status` and gRPC has none.
    ///
    /// The table of gRPC's "HTTP to gRPC Status Code Mapping".
    init(httpStatus status: Int) {
        switch status {
        case 400: self = .internal
        case 401: self = .unauthenticated
        case 403: self = .permissionDenied
        case 404: self = .unimplemented
        case 429, 502, 503, 504: self = .unavailable
        default: self = .unknown
        }
    }

    /// What a caller sees of an error of the gateway's own.
    ///
    /// Unavailable is only what may be asked again as it stands; too much of something is exhausted.
    init(_ kind: GatewayError.Kind) {
        switch kind {
        case .badRequest(let error):
            switch error.status {
            case 408: self = .deadlineExceeded
            case 413, 414, 431: self = .resourceExhausted
            default: self = GRPCStatus(httpStatus: error.status)
            }
        case .requestIDTooLong: self = .invalidArgument
        case .misdirected, .unknownPath, .noDeployment: self = .unimplemented
        case .badAuthorization, .accessDenied, .revoked: self = .unauthenticated
        case .forbidden: self = .permissionDenied
        case .bodyTooLarge, .overloaded: self = .resourceExhausted
        case .keysUnavailable, .logUnavailable, .notReady, .badBackend, .clientGone,
            .shuttingDown:
            self = .unavailable
        case .modelStatus(let status): self = GRPCStatus(httpStatus: status)
        case .timedOut: self = .deadlineExceeded
        }
    }
}
