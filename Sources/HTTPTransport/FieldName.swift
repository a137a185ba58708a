/// The field names the gateway gives a meaning, and `.other` for all the rest.
///
/// A name is classified once, when its line is parsed; after that it is compared as a byte. Names that
/// are only ever treated as a family have one case for the family.
package enum FieldName: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    /// Any name not below.
    case other
    case accept
    case acceptEncoding
    case authorization
    case azuremlModelDeployment
    case cacheControl
    case connection
    case contentEncoding
    case contentLength
    case contentType
    case cookie
    case date
    case expect
    case forwarded
    case host
    case http2Settings
    case keepAlive
    case location
    /// `ms-azureml-*`.
    case msAzureml
    /// `proxy` and `proxy-*`.
    case proxy
    case retryAfter
    case server
    case setCookie
    case strictTransportSecurity
    case te
    case traceparent
    case trailer
    case transferEncoding
    case upgrade
    case userAgent
    case via
    /// `x-client-*`.
    case xClient
    /// `x-forwarded` and `x-forwarded-*`, without `x-forwarded-for`.
    case xForwarded
    case xForwardedFor
    /// `x-http-method` and `x-http-method*`.
    case xHTTPMethod
    case xMSClientRequestID
    case xMSRequestID
    /// `x-original-*`.
    case xOriginal
    case xRealIP
    case xRequestID
    /// `x-rewrite-*`.
    case xRewrite
    /// `x-scoregate-*`.
    case xScoregate
    /// `x-ssl-*`.
    case xSSL

    /// The name in lower case; nil for `.other` and for families, which have many.
    package var text: StaticString? {
        switch self {
        case .other, .msAzureml, .proxy, .xClient, .xForwarded, .xHTTPMethod, .xOriginal, .xRewrite,
            .xScoregate, .xSSL:
            nil
        case .accept: "accept"
        case .acceptEncoding: "accept-encoding"
        case .authorization: "authorization"
        case .azuremlModelDeployment: "azureml-model-deployment"
        case .cacheControl: "cache-control"
        case .connection: "connection"
        case .contentEncoding: "content-encoding"
        case .contentLength: "content-length"
        case .contentType: "content-type"
        case .cookie: "cookie"
        case .date: "date"
        case .expect: "expect"
        case .forwarded: "forwarded"
        case .host: "host"
        case .http2Settings: "http2-settings"
        case .keepAlive: "keep-alive"
        case .location: "location"
        case .retryAfter: "retry-after"
        case .server: "server"
        case .setCookie: "set-cookie"
        case .strictTransportSecurity: "strict-transport-security"
        case .te: "te"
        case .traceparent: "traceparent"
        case .trailer: "trailer"
        case .transferEncoding: "transfer-encoding"
        case .upgrade: "upgrade"
        case .userAgent: "user-agent"
        case .via: "via"
        case .xForwardedFor: "x-forwarded-for"
        case .xMSClientRequestID: "x-ms-client-request-id"
        case .xMSRequestID: "x-ms-request-id"
        case .xRealIP: "x-real-ip"
        case .xRequestID: "x-request-id"
        }
    }

    /// The class of the name of `length` token bytes at `start`, in any case.
    @inline(__always)
    package static func classify(_ bytes: Span<UInt8>, start: Int, length: Int) -> Self {
        // The first byte alone tells most ordinary names apart from those with a meaning.
        switch bytes[start] | 0x20 {
        case UInt8(ascii: "a"): self.classifyA(bytes, start, length)
        case UInt8(ascii: "c"): self.classifyC(bytes, start, length)
        case UInt8(ascii: "x"): self.classifyX(bytes, start, length)
        case UInt8(ascii: "b"), UInt8(ascii: "g"), UInt8(ascii: "i"), UInt8(ascii: "j"),
            UInt8(ascii: "n"), UInt8(ascii: "o"), UInt8(ascii: "q"), UInt8(ascii: "w"):
            .other
        default: self.classifyRest(bytes, start, length)
        }
    }

    private static func classifyA(_ bytes: Span<UInt8>, _ start: Int, _ length: Int) -> Self {
        switch length {
        case 6 where bytes.isName("accept", start: start, length: length): .accept
        case 13 where bytes.isName("authorization", start: start, length: length): .authorization
        case 15 where bytes.isName("accept-encoding", start: start, length: length):
            .acceptEncoding
        case 24 where bytes.isName("azureml-model-deployment", start: start, length: length):
            .azuremlModelDeployment
        default: .other
        }
    }

    private static func classifyC(_ bytes: Span<UInt8>, _ start: Int, _ length: Int) -> Self {
        switch length {
        case 6 where bytes.isName("cookie", start: start, length: length): .cookie
        case 10 where bytes.isName("connection", start: start, length: length): .connection
        case 12 where bytes.isName("content-type", start: start, length: length): .contentType
        case 13 where bytes.isName("cache-control", start: start, length: length): .cacheControl
        case 14 where bytes.isName("content-length", start: start, length: length):
            .contentLength
        case 16 where bytes.isName("content-encoding", start: start, length: length):
            .contentEncoding
        default: .other
        }
    }

    private static func classifyX(_ bytes: Span<UInt8>, _ start: Int, _ length: Int) -> Self {
        func hasPrefix(_ prefix: StaticString) -> Bool {
            length >= prefix.utf8CodeUnitCount
                && bytes.isName(prefix, start: start, length: prefix.utf8CodeUnitCount)
        }
        switch length {
        case 9 where bytes.isName("x-real-ip", start: start, length: length): return .xRealIP
        case 11 where bytes.isName("x-forwarded", start: start, length: length):
            return .xForwarded
        case 12 where bytes.isName("x-request-id", start: start, length: length):
            return .xRequestID
        case 15 where bytes.isName("x-forwarded-for", start: start, length: length):
            return .xForwardedFor
        case 15 where bytes.isName("x-ms-request-id", start: start, length: length):
            return .xMSRequestID
        case 22 where bytes.isName("x-ms-client-request-id", start: start, length: length):
            return .xMSClientRequestID
        default: break
        }
        if hasPrefix("x-forwarded-") { return .xForwarded }
        if hasPrefix("x-client-") { return .xClient }
        if hasPrefix("x-ssl-") { return .xSSL }
        if hasPrefix("x-original-") { return .xOriginal }
        if hasPrefix("x-rewrite-") { return .xRewrite }
        if hasPrefix("x-http-method") { return .xHTTPMethod }
        if hasPrefix("x-scoregate-") { return .xScoregate }
        return .other
    }

    private static func classifyRest(_ bytes: Span<UInt8>, _ start: Int, _ length: Int) -> Self {
        switch length {
        case 2 where bytes.isName("te", start: start, length: length): return .te
        case 3 where bytes.isName("via", start: start, length: length): return .via
        case 4 where bytes.isName("host", start: start, length: length): return .host
        case 4 where bytes.isName("date", start: start, length: length): return .date
        case 5 where bytes.isName("proxy", start: start, length: length): return .proxy
        case 6 where bytes.isName("expect", start: start, length: length): return .expect
        case 6 where bytes.isName("server", start: start, length: length): return .server
        case 7 where bytes.isName("trailer", start: start, length: length): return .trailer
        case 7 where bytes.isName("upgrade", start: start, length: length): return .upgrade
        case 8 where bytes.isName("location", start: start, length: length): return .location
        case 9 where bytes.isName("forwarded", start: start, length: length): return .forwarded
        case 10 where bytes.isName("user-agent", start: start, length: length):
            return .userAgent
        case 10 where bytes.isName("keep-alive", start: start, length: length):
            return .keepAlive
        case 10 where bytes.isName("set-cookie", start: start, length: length):
            return .setCookie
        case 11 where bytes.isName("retry-after", start: start, length: length):
            return .retryAfter
        case 11 where bytes.isName("traceparent", start: start, length: length):
            return .traceparent
        case 14 where bytes.isName("http2-settings", start: start, length: length):
            return .http2Settings
        case 17 where bytes.isName("transfer-encoding", start: start, length: length):
            return .transferEncoding
        case 25 where bytes.isName("strict-transport-security", start: start, length: length):
            return .strictTransportSecurity
        default: break
        }
        if length > 6, bytes.isName("proxy-", start: start, length: 6) { return .proxy }
        if length > 11, bytes.isName("ms-azureml-", start: start, length: 11) {
            return .msAzureml
        }
        return .other
    }
}
