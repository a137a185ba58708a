internal import HTTPTransport
internal import NIOCore

/// An answer of the gateway's own: status, body and the fields that go with it.
struct Answer {
    /// What the body is.
    enum Body {
        case empty
        case text(StaticString)
        case json(StaticString)
        /// `{"error":{"code":…,"request_id":…}}`
        case code(StaticString)
    }

    var status: Int
    var body: Body
    /// The value of `ms-azureml-model-error-reason`, which clients of Azure look at.
    var reason: StaticString?
    /// Seconds of `retry-after`.
    var retryAfter: StaticString?

    /// The one place that says which status and body a kind of error has.
    init(_ kind: GatewayError.Kind, as wire: EndpointConfiguration.WireCompatibility) {
        switch kind {
        case .badRequest(let error):
            self.init(status: error.status, body: .code(Self.code(forStatus: error.status)))
        case .requestIDTooLong(isMSField: false):
            self.init(
                status: 431,
                body: .json(#"{"message":"x-request-id must not exceed 100 characters"}"#))
        case .requestIDTooLong(isMSField: true):
            self.init(
                status: 431,
                body: .json(
                    #"{"message":"x-ms-request-id and x-ms-client-request-id must not exceed 100 characters"}"#
                ))
        case .misdirected:
            self.init(status: 421, body: .code("misdirected_request"))
        case .badAuthorization:
            self.init(status: 401, body: .text("key_auth_bad_header_forbidden"))
        case .accessDenied:
            self.init(status: 401, body: .text("key_auth_access_denied"))
        case .forbidden:
            self.init(status: 403, body: .code("forbidden"))
        case .unknownPath:
            self.init(status: 404, body: .code("not_found"))
        case .noDeployment:
            self.init(status: 404, body: .text(Self.noDeploymentText))
        case .bodyTooLarge:
            self.init(status: 413, body: .code("content_too_large"))
        case .keysUnavailable:
            self.init(status: 503, body: .code("keys_unavailable"), retryAfter: "5")
        case .logUnavailable:
            self.init(status: 503, body: .code("log_unavailable"), retryAfter: "5")
        case .shuttingDown:
            self.init(status: 503, body: .code("shutting_down"), retryAfter: "5")
        case .notReady:
            self.init(
                status: 503, body: .code("model_not_ready"), reason: "model_not_ready",
                retryAfter: "5")
        case .overloaded:
            self.init(
                status: wire == .kubernetes ? 503 : 429, body: .text(""),
                reason: "too_many_pending_request", retryAfter: "1")
        case .badBackend:
            self.init(status: 502, body: .code("bad_gateway"))
        case .modelStatus(let status):
            self.init(
                status: Exchange.mappedStatus(status, as: wire), body: .code("model_error"),
                reason: "model_error")
        case .timedOut:
            self.init(
                status: wire == .managed ? 408 : 504, body: .code("request_timeout"),
                reason: "request_timeout")
        case .clientGone, .revoked:
            self.init(status: 499, body: .empty)
        }
    }

    /// What `grpc-message` says, in characters it may hold as they are.
    var message: StaticString {
        switch self.body {
        case .text(let text) where text.utf8CodeUnitCount > 0: text
        case .code(let code): code
        case .json: "request_id_too_long"
        case .text, .empty: self.reason ?? ""
        }
    }

    private init(
        status: Int, body: Body, reason: StaticString? = nil, retryAfter: StaticString? = nil
    ) {
        self.status = status
        self.body = body
        self.reason = reason
        self.retryAfter = retryAfter
    }

    /// The word for a request that is not HTTP as accepted here, by the status it gets.
    static func code(forStatus status: Int) -> StaticString {
        switch status {
        case 405: "method_not_allowed"
        case 408: "request_timeout"
        case 413: "content_too_large"
        case 414: "uri_too_long"
        case 417: "expectation_failed"
        case 431: "request_header_fields_too_large"
        case 501: "not_implemented"
        case 505: "http_version_not_supported"
        default: "bad_request"
        }
    }

    private static var noDeploymentText: StaticString {
        """
        No valid deployments to route to. Please check that the endpoint has at least one \
        deployment with positive weight values or use a deployment specific header to route.
        """
    }
}
