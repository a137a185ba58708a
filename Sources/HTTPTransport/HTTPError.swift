/// Why a message was refused: what the peer did, never with what bytes.
package enum HTTPError: Error, Equatable, Sendable {
    /// The request line is not `method SP target SP HTTP-version CRLF`.
    case malformedRequestLine
    /// The status line is not `HTTP-version SP 3DIGIT [SP reason] CRLF`, or the status is not 100 to 599.
    case malformedStatusLine
    /// The request target is not one of the allowed forms, or its path or query holds what they may not.
    case malformedTarget
    /// The target's authority is not the one of Host, or its scheme is not https.
    case targetMismatch
    /// A line holds a control byte, or CR and LF are not a pair.
    case invalidByte
    /// A field line has no name, no colon, a folded value or bytes in its name that are not allowed.
    case malformedField
    /// A field that may stand once stands twice.
    case repeatedField(FieldName)
    /// HTTP/1.1 without Host.
    case missingHost
    /// Host is empty or not a host with an optional port.
    case malformedHost
    /// Content-Length is not one plain decimal number that fits.
    case malformedContentLength
    /// Transfer-Encoding is not a list of codings that ends with `chunked`.
    case malformedTransferEncoding
    /// Both Content-Length and Transfer-Encoding, or Transfer-Encoding where it may not stand.
    case conflictingFraming
    /// GET or HEAD with a body.
    case unexpectedBody
    /// Connection is not a list of tokens, or is too long a list.
    case malformedConnection
    /// Connection names a field that is not the sender's to remove.
    case protectedFieldNominated
    /// A chunk's size line, extension or end is malformed.
    case malformedChunk
    /// More chunk extensions, or more tiny chunks, than the limits allow.
    case excessiveChunkOverhead
    /// A trailer field that may not be a trailer.
    case forbiddenTrailer(FieldName)
    /// The connection ended inside a message.
    case truncated
    /// CONNECT or TRACE.
    case methodNotAllowed
    /// The peer took too long over its head or body.
    case timedOut
    /// The body is, or says it will be, longer than the limit.
    case bodyTooLarge
    /// The request line is longer than the limit.
    case targetTooLong
    /// Expect asks for something other than `100-continue`.
    case unsupportedExpectation
    /// A field, all fields together, their number or the trailers are over the limit.
    case fieldsTooLarge
    /// A method that is not known here.
    case unsupportedMethod
    /// A transfer coding other than `chunked`.
    case unsupportedTransferEncoding
    /// An HTTP version other than 1.0 and 1.1.
    case unsupportedVersion

    /// The status that answers a request refused for this reason.
    ///
    /// A refused response is always 502 to the client, whatever the reason.
    package var status: Int {
        switch self {
        case .methodNotAllowed: 405
        case .timedOut: 408
        case .bodyTooLarge: 413
        case .targetTooLong: 414
        case .unsupportedExpectation: 417
        case .fieldsTooLarge: 431
        case .unsupportedMethod, .unsupportedTransferEncoding: 501
        case .unsupportedVersion: 505
        default: 400
        }
    }
}

extension HTTPError: CustomStringConvertible {
    /// What was wrong, in half a sentence for an operator; never the peer's bytes.
    package var description: String {
        switch self {
        case .malformedRequestLine: "the request line is malformed"
        case .malformedStatusLine: "the status line is malformed"
        case .malformedTarget: "the request target is malformed"
        case .targetMismatch: "the target's authority is not that of Host"
        case .invalidByte: "a control byte, or CR and LF that are not a pair"
        case .malformedField: "a field line is malformed"
        case .repeatedField: "a field stands twice that may stand once"
        case .missingHost: "the request has no Host"
        case .malformedHost: "Host is malformed"
        case .malformedContentLength: "Content-Length is malformed"
        case .malformedTransferEncoding: "Transfer-Encoding is malformed"
        case .conflictingFraming: "Content-Length and Transfer-Encoding are in conflict"
        case .unexpectedBody: "GET or HEAD with a body"
        case .malformedConnection: "Connection is malformed"
        case .protectedFieldNominated: "Connection names a field that is not the sender's to remove"
        case .malformedChunk: "a chunk is malformed"
        case .excessiveChunkOverhead: "too many chunk extensions or tiny chunks"
        case .forbiddenTrailer: "a trailer that may not be one"
        case .truncated: "the message is cut short"
        case .methodNotAllowed: "CONNECT or TRACE"
        case .timedOut: "head or body took too long"
        case .bodyTooLarge: "the body is over the limit"
        case .targetTooLong: "the request line is over the limit"
        case .unsupportedExpectation: "Expect asks for something other than 100-continue"
        case .fieldsTooLarge: "the fields are over a limit"
        case .unsupportedMethod: "the method is not known"
        case .unsupportedTransferEncoding: "a transfer coding other than chunked"
        case .unsupportedVersion: "a version other than HTTP/1.0 and 1.1"
        }
    }
}
