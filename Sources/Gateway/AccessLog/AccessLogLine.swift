internal import HTTPTransport
internal import NIOCore
internal import State
internal import TLS

/// One line of the access log: what a request was and how it ended, never what it carried.
///
/// JSON with the names of Azure Machine Learning's traffic log, then ours for TLS, key and peer.
/// Query strings, headers and bodies have no place in it.
struct AccessLogLine {
    let record: ExchangeRecord
    let endpoint: Endpoint?
    let deployment: Deployment?
    let head: MessageHead?
    let ids: RequestIDs
    let client: ClientConnection
    let origin: ClientOrigin
    let end: NIODeadline

    func write(to line: inout JSONLines) {
        let configuration = self.endpoint?.configuration
        line.time("Time", UnixTime.now())
        line.string("Method", self.head.map { $0.method.name } ?? "")
        // What has high business impact is not told by a path or a client's name either.
        let isOpen = configuration?.isHBI != true
        line.bytes("Path", self.head, isOpen ? self.head?.pathRange : nil)
        line.string("EndpointName", configuration?.publicName ?? "")
        line.string("DeploymentName", self.deployment?.configuration.publicName ?? "")
        line.string("Protocol", self.record.version.name)
        line.number("ResponseCode", self.record.status)
        line.string("ResponseCodeReason", self.reason)
        line.number("ModelStatusCode", self.record.upstreamStatus)
        line.string("ModelStatusReason", self.isModelError ? "model_error" : "")
        if let status = self.record.grpcStatus { line.number("GrpcStatus", status) }
        line.number("RequestPayloadSize", self.record.requestBytes)
        line.number("ResponsePayloadSize", self.record.responseBytes)
        line.bytes("UserAgent", self.head, isOpen ? self.userAgent : nil)
        line.id("XRequestId", self.ids.requestID, self.ids, self.head)
        line.id("XMSClientRequestId", self.ids.clientRequestID, self.ids, self.head)
        line.milliseconds("TotalDurationMs", self.end - self.record.start)
        line.milliseconds(
            "RequestDurationMs", (self.record.requestEnd ?? self.end) - self.record.start)
        line.milliseconds(
            "ResponseDurationMs", self.end - (self.record.responseStart ?? self.end))
        line.number("RequestThrottlingDelayMs", 0)
        line.number("ResponseThrottlingDelayMs", 0)
        line.string("AuthType", configuration?.authentication.rawValue ?? "")
        line.string("IdentityData", self.record.identity ?? self.record.key?.description ?? "")
        line.string("TlsVersion", self.client.tls?.version.name ?? "")
        line.string("TlsCipher", self.client.tls?.cipher.name ?? "")
        line.string("PeerAddress", self.origin.text)
        if let failure = self.record.failure, !failure.cause.isEmpty {
            line.string("ErrorSource", failure.source.rawValue)
            line.string("ErrorCause", failure.cause)
        }
        line.end()
    }

    private var isModelError: Bool {
        switch self.record.upstreamStatus {
        case 0, 101, 200..<300: false
        default: true
        }
    }

    private var reason: String {
        guard let failure = self.record.failure else {
            return self.isModelError ? "model_error" : ""
        }
        switch failure.kind {
        case .badRequest(let error): return "\(Answer.code(forStatus: error.status))"
        case .requestIDTooLong: return "request_id_too_long"
        case .misdirected: return "misdirected_request"
        case .badAuthorization: return "key_auth_bad_header_forbidden"
        case .accessDenied: return "key_auth_access_denied"
        case .forbidden: return "forbidden"
        case .unknownPath: return "not_found"
        case .noDeployment: return "no_valid_deployment"
        case .bodyTooLarge: return "content_too_large"
        case .keysUnavailable: return "keys_unavailable"
        case .logUnavailable: return "log_unavailable"
        case .notReady: return "model_not_ready"
        case .overloaded: return "too_many_pending_request"
        case .badBackend: return "bad_gateway"
        case .modelStatus: return "model_error"
        case .timedOut: return "request_timeout"
        case .clientGone: return "client_closed_request"
        case .revoked: return "key_revoked"
        case .shuttingDown: return "shutting_down"
        }
    }

    /// At most 70 characters, as Azure keeps of it.
    private var userAgent: Range<Int>? {
        guard let head, let field = head.index(of: .userAgent) else { return nil }
        let range = head.fields[field].valueRange
        return range.lowerBound..<min(range.upperBound, range.lowerBound + 70)
    }
}

extension JSONLines {
    /// A line of its own for a handshake that failed: whose, and why.
    mutating func refusedHandshake(_ error: TLSError, _ origin: ClientOrigin) {
        self.time("Time", UnixTime.now())
        self.number("ResponseCode", 0)
        self.string("ResponseCodeReason", "tls_handshake_failed")
        self.string("PeerAddress", origin.text)
        self.string("ErrorSource", GatewayError.Source.downstream.rawValue)
        self.string("ErrorCause", error.description)
        self.end()
    }
}
