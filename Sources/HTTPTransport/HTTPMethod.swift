/// The request methods that are forwarded.
///
/// CONNECT and TRACE are refused by the parser (405) as are unknown ones (501): neither becomes a value.
package enum HTTPMethod: UInt8, Sendable {
    case get
    case head
    case post
    case put
    case delete
    case options
    case patch

    /// The method's name as on the wire.
    package var name: StaticString {
        switch self {
        case .get: "GET"
        case .head: "HEAD"
        case .post: "POST"
        case .put: "PUT"
        case .delete: "DELETE"
        case .options: "OPTIONS"
        case .patch: "PATCH"
        }
    }

    /// Whether a request may be sent again when no byte of an answer came: GET, HEAD, OPTIONS.
    package var isSafe: Bool { self == .get || self == .head || self == .options }
}

/// The protocol version of a message.
package enum HTTPVersion: UInt8, Sendable {
    case http10
    case http11
    case http2

    /// As logs name it.
    package var name: StaticString {
        switch self {
        case .http10: "HTTP/1.0"
        case .http11: "HTTP/1.1"
        case .http2: "HTTP/2"
        }
    }
}

/// Where the body of a message ends.
package enum BodyFraming: Equatable, Sendable {
    /// There is no body.
    case none
    /// After so many bytes, more than zero.
    case length(Int)
    /// After the last chunk and the trailers.
    case chunked
    /// Where the connection ends: responses only.
    case untilClose
}
