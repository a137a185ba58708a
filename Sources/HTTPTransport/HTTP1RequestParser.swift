package import NIOCore

/// Parses request heads of HTTP/1.1 and HTTP/1.0 strictly: what is not well-formed is refused.
///
/// Bytes may arrive in any pieces; each is looked at once or twice, and limits hold before the head is
/// complete. One instance serves a connection, head after head. RFC 9112; where it lets a server choose
/// between repairing and refusing, this refuses.
package struct HTTP1RequestParser {
    private let limits: HTTPLimits
    /// The fields, once the request line was parsed.
    private var section: FieldSection?
    /// Up to where the request line is known not to end.
    private var scanned = 0
    private var skippedEmptyLine = false
    private var facts = MessageFacts()

    /// A parser at the start of a connection.
    package init(limits: HTTPLimits) {
        self.limits = limits
    }

    /// Parses as much of a head as `input` has.
    ///
    /// `input` must keep its readable bytes between calls and only grow. Nothing is consumed before the
    /// head is complete, but for one empty line before it (RFC 9112, 2.2).
    ///
    /// - Parameters:
    ///   - input: What the peer sent and was not consumed yet.
    ///   - head: Must be reset before a head's first byte; it is filled once the head is complete.
    /// - Returns: Whether the head is complete. It is then consumed, and what follows is its body.
    /// - Throws: Why the request is refused; the connection cannot be read any further.
    package mutating func parse(
        _ input: inout ByteBuffer, into head: MessageHead
    ) throws(HTTPError) -> Bool {
        if self.section == nil {
            guard try self.skipEmptyLine(&input) else { return false }
            guard try self.parseRequestLine(input.readableBytesUInt8Span) else {
                return false
            }
        }
        guard var section = self.section else { return false }
        guard
            try section.parse(
                input.readableBytesUInt8Span, into: head, kind: .request, limits: self.limits)
        else {
            self.section = section
            return false
        }
        let host = section.hostIndex.map { head.fields[$0].valueRange }
        try self.finish(section)
        head.adoptBytes(of: &input, count: section.lineStart)
        try self.facts.locateTarget(in: &head.bytes, host: host)
        head.facts = self.facts
        self.facts = MessageFacts()
        self.section = nil
        self.scanned = 0
        self.skippedEmptyLine = false
        return true
    }

    /// - Returns: Whether the first byte of the request line is there.
    private mutating func skipEmptyLine(_ input: inout ByteBuffer) throws(HTTPError) -> Bool {
        while true {
            do {
                let bytes = input.readableBytesUInt8Span
                guard !bytes.isEmpty else { return false }
                guard bytes[0] == ASCII.carriageReturn else { return true }
                guard !self.skippedEmptyLine else { throw .malformedRequestLine }
                guard bytes.count > 1 else { return false }
                guard bytes[1] == ASCII.lineFeed else { throw .invalidByte }
            }
            self.skippedEmptyLine = true
            input.moveReaderIndex(forwardBy: 2)
        }
    }

    /// `method SP request-target SP HTTP-version CRLF`, RFC 9112, 3.
    ///
    /// - Returns: Whether the line was complete.
    private mutating func parseRequestLine(
        _ bytes: Span<UInt8>
    ) throws(HTTPError) -> Bool {
        let end: Int
        switch bytes.scanLine(from: self.scanned) {
        case .invalid:
            throw .malformedRequestLine
        case .needMore(let scanned):
            self.scanned = scanned
            guard scanned <= self.limits.requestLineBytes else { throw .targetTooLong }
            return false
        case .line(let lineEnd):
            end = lineEnd
        }
        guard end <= self.limits.requestLineBytes else { throw .targetTooLong }
        let allowed = ByteSet.token
        var methodEnd = 0
        while methodEnd < end, allowed.contains(bytes[methodEnd]) { methodEnd &+= 1 }
        // ` HTTP/1.1` is nine bytes, and the target in front of it has one byte at least.
        guard methodEnd > 0, bytes[methodEnd] == ASCII.space, end &- methodEnd >= 11 else {
            throw .malformedRequestLine
        }
        let targetEnd = end &- 9
        // Bytes of the target are checked by its own grammar, which has no space.
        guard bytes[targetEnd] == ASCII.space, bytes[methodEnd &+ 1] != ASCII.space else {
            throw .malformedRequestLine
        }
        self.facts.version = try HTTPVersion(bytes, at: targetEnd &+ 1, else: .malformedRequestLine)
        self.facts.targetRange = (methodEnd &+ 1)..<targetEnd
        self.facts.method = try HTTPMethod(bytes, length: methodEnd)
        self.section = FieldSection(start: end &+ 2)
        return true
    }

    /// What needs all fields: Host and framing.
    private mutating func finish(_ section: FieldSection) throws(HTTPError) {
        let isHTTP10 = self.facts.version == .http10
        guard isHTTP10 || section.hostIndex != nil else { throw .missingHost }
        self.facts.contentLength = section.contentLength
        switch section.transferCoding {
        case .absent:
            let length = section.contentLength ?? 0
            guard length <= self.limits.bodyBytes else { throw .bodyTooLarge }
            self.facts.framing = length > 0 ? .length(length) : .none
        case .chunked, .unsupported:
            // RFC 9112, 6.1: both together are an attempt at smuggling; HTTP/1.0 has no codings.
            guard section.contentLength == nil, !isHTTP10 else { throw .conflictingFraming }
            guard section.transferCoding == .chunked else { throw .unsupportedTransferEncoding }
            self.facts.framing = .chunked
        }
        // A body on GET or HEAD has no meaning (RFC 9110, 9.3.1), and some servers leave it unread,
        // to be taken for the next request.
        if self.facts.method == .get || self.facts.method == .head, self.facts.framing != .none {
            throw .unexpectedBody
        }
        // RFC 9110, 10.1.1: Expect is ignored from HTTP/1.0.
        if !isHTTP10 {
            guard !section.hasUnknownExpectation else { throw .unsupportedExpectation }
            self.facts.expectsContinue = section.expectsContinue && self.facts.framing != .none
        }
        self.facts.keepAlive = isHTTP10 ? section.keepsAlive && !section.closes : !section.closes
    }
}

extension MessageHead {
    /// Copies the head from `input`, which it then is consumed from.
    @inline(__always)
    func adoptBytes(of input: inout ByteBuffer, count: Int) {
        self.bytes.append(input.readableBytesUInt8Span.extracting(first: count))
        input.moveReaderIndex(forwardBy: count)
    }
}

extension HTTPVersion {
    /// Reads the eight bytes of `HTTP/1.0` or `HTTP/1.1` at `index`.
    ///
    /// - Throws: `.unsupportedVersion` for another `HTTP/d.d`, `otherwise` for anything else.
    @inline(__always)
    init(_ bytes: Span<UInt8>, at index: Int, else otherwise: HTTPError) throws(HTTPError) {
        let word = bytes.word(at: index)
        let current: StaticString = "HTTP/1.1"
        let old: StaticString = "HTTP/1.0"
        if word == current.word(at: 0) {
            self = .http11
        } else if word == old.word(at: 0) {
            self = .http10
        } else {
            let prefix: UInt64 = 0x00ff_ffff_ffff
            guard word & prefix == current.word(at: 0) & prefix, ASCII.isDigit(bytes[index + 5]),
                bytes[index + 6] == UInt8(ascii: "."), ASCII.isDigit(bytes[index + 7])
            else { throw otherwise }
            throw .unsupportedVersion
        }
    }
}

extension HTTPMethod {
    /// The method of `length` token bytes at the start of `bytes`.
    init(_ bytes: Span<UInt8>, length: Int) throws(HTTPError) {
        guard length <= 8 else { throw .unsupportedMethod }
        let word = bytes.word(at: 0, length: length)
        func isMethod(_ name: StaticString) -> Bool { word == name.word(at: 0) }
        if isMethod("POST") {
            self = .post
        } else if isMethod("GET") {
            self = .get
        } else if isMethod("PUT") {
            self = .put
        } else if isMethod("HEAD") {
            self = .head
        } else if isMethod("DELETE") {
            self = .delete
        } else if isMethod("OPTIONS") {
            self = .options
        } else if isMethod("PATCH") {
            self = .patch
        } else if isMethod("CONNECT") || isMethod("TRACE") {
            throw .methodNotAllowed
        } else {
            throw .unsupportedMethod
        }
    }
}
