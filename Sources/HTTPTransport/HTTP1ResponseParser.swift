package import NIOCore

/// Parses response heads of HTTP/1.1 and HTTP/1.0 as strictly as requests are.
///
/// A backend is not trusted more than a client: whatever it says about framing must have one reading.
/// Heads of status 1xx are reported like others; the caller parses on for the final one.
package struct HTTP1ResponseParser {
    private let limits: HTTPLimits
    /// The fields, once the status line was parsed.
    private var section: FieldSection?
    /// Up to where the status line is known not to end.
    private var scanned = 0
    private var facts = MessageFacts()

    /// A parser at the start of a connection.
    package init(limits: HTTPLimits) {
        self.limits = limits
    }

    /// Parses as much of a head as `input` has.
    ///
    /// `input` must keep its readable bytes between calls and only grow; nothing is consumed before the
    /// head is complete.
    ///
    /// - Parameters:
    ///   - input: What the peer sent and was not consumed yet.
    ///   - head: Must be reset before a head's first byte; it is filled once the head is complete.
    ///   - requestMethod: What was asked: an answer to HEAD has no body.
    /// - Returns: Whether the head is complete and consumed.
    /// - Throws: Why the response is refused; the connection must not be used any further.
    package mutating func parse(
        _ input: inout ByteBuffer, into head: MessageHead, requestMethod: HTTPMethod
    ) throws(HTTPError) -> Bool {
        if self.section == nil {
            guard try self.parseStatusLine(input.readableBytesUInt8Span) else {
                return false
            }
        }
        guard var section = self.section else { return false }
        guard
            try section.parse(
                input.readableBytesUInt8Span, into: head, kind: .response, limits: self.limits)
        else {
            self.section = section
            return false
        }
        try self.finish(section, requestMethod)
        head.adoptBytes(of: &input, count: section.lineStart)
        head.facts = self.facts
        self.facts = MessageFacts()
        self.section = nil
        self.scanned = 0
        return true
    }

    /// `HTTP-version SP 3DIGIT [SP [reason]] CRLF`: RFC 9112, 4, but for the last space, which servers
    /// without a reason leave out.
    private mutating func parseStatusLine(
        _ bytes: Span<UInt8>
    ) throws(HTTPError) -> Bool {
        let end: Int
        switch bytes.scanLine(from: self.scanned) {
        case .invalid:
            throw .malformedStatusLine
        case .needMore(let scanned):
            self.scanned = scanned
            guard scanned <= self.limits.requestLineBytes else { throw .fieldsTooLarge }
            return false
        case .line(let lineEnd):
            end = lineEnd
        }
        guard end <= self.limits.requestLineBytes else { throw .fieldsTooLarge }
        guard end >= 12, bytes[8] == ASCII.space, end == 12 || bytes[12] == ASCII.space else {
            throw .malformedStatusLine
        }
        self.facts.version = try HTTPVersion(bytes, at: 0, else: .malformedStatusLine)
        var status = 0
        for index in 9..<12 {
            guard ASCII.isDigit(bytes[index]) else { throw .malformedStatusLine }
            status = status &* 10 &+ Int(bytes[index] &- ASCII.zero)
        }
        guard (100...599).contains(status) else { throw .malformedStatusLine }
        self.facts.status = status
        self.facts.reasonRange = min(13, end)..<end
        self.section = FieldSection(start: end &+ 2)
        return true
    }

    /// RFC 9112, 6.3: where the body ends.
    private mutating func finish(
        _ section: FieldSection, _ requestMethod: HTTPMethod
    ) throws(HTTPError) {
        self.facts.contentLength = section.contentLength
        self.facts.keepAlive =
            self.facts.version == .http10 ? section.keepsAlive && !section.closes : !section.closes
        let framing: BodyFraming
        switch section.transferCoding {
        case .absent:
            if let length = section.contentLength {
                framing = length > 0 ? .length(length) : .none
            } else {
                framing = .untilClose
            }
        case .chunked, .unsupported:
            guard section.contentLength == nil, self.facts.version != .http10 else {
                throw .conflictingFraming
            }
            guard section.transferCoding == .chunked else { throw .unsupportedTransferEncoding }
            framing = .chunked
        }
        switch self.facts.status {
        case 100..<200, 204:
            // RFC 9110, 8.6 and RFC 9112, 6.1: these never announce a body. One that does would leave
            // its bytes to be taken for the next response.
            guard framing == .none || framing == .untilClose else { throw .conflictingFraming }
            self.facts.framing = .none
        case 304:
            self.facts.framing = .none
        default:
            self.facts.framing = requestMethod == .head ? .none : framing
            if case .length(let length) = self.facts.framing, length > self.limits.bodyBytes {
                throw .bodyTooLarge
            }
            if self.facts.framing == .untilClose { self.facts.keepAlive = false }
        }
    }
}
