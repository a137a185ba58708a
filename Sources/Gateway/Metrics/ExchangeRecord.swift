internal import HTTPTransport
internal import NIOCore

/// What is remembered of one exchange for the access log and the metrics.
struct ExchangeRecord {
    var start = NIODeadline.uptimeNanoseconds(0)
    /// Of HTTP, on the client's side.
    var version = HTTPVersion.http11
    /// When the request's last byte was read.
    var requestEnd: NIODeadline?
    /// When a backend connection was there.
    var upstreamStart: NIODeadline?
    /// When the answer's head was written.
    var responseStart: NIODeadline?
    var status = 0
    /// What the model answered, 0 if nothing.
    var upstreamStatus = 0
    /// What `grpc-status` the client got; nil where the call was not of gRPC or had no end.
    var grpcStatus: Int?
    /// Body bytes, without framing.
    var requestBytes = 0
    var responseBytes = 0
    var key: EndpointKeyID?
    /// SPIFFE ID or subject of the client's certificate, under `auth_mode: mtls`.
    var identity: String?
    var failure: GatewayError?
}
