internal import NIOCore

/// Builds one ``MessageHead`` from the fields of a HEADERS frame, as strictly as the HTTP/1.1 parser.
///
/// nghttp2 has checked the rest: names in lower case, bytes of values, pseudo-fields known, single and
/// first, no connection fields, content-length against DATA (RFC 9113 8).
struct HTTP2HeadReader {
    /// What a field came to.
    enum Verdict {
        case taken
        /// The stream is to be reset with PROTOCOL_ERROR (RFC 9113 8.1.1).
        case malformed
        /// So much that nothing more is read from this connection.
        case flood
    }

    /// Why a whole head is not one.
    enum Refusal: Error {
        /// Reset the stream.
        case malformed
        /// Answer it.
        case answer(HTTPError)
    }

    private let limits: HTTPLimits
    private let isEncrypted: Bool
    /// Beyond this a head is answered with 431.
    private let maximumListBytes: Int
    /// Four times that: a few bytes of HPACK can stand for any amount.
    private let floodBytes: Int
    private var section = FieldSection(start: 0)
    /// As HPACK counts (RFC 9113 6.5.2).
    private var listBytes = 0
    private var problem: HTTPError?
    private var hasAuthority = false
    private var isAsterisk = false

    init(limits: HTTPLimits, isEncrypted: Bool) {
        self.limits = limits
        self.isEncrypted = isEncrypted
        self.maximumListBytes = max(limits.headBytes, HTTP2Settings.headerListBytes)
        self.floodBytes = 4 * self.maximumListBytes
    }

    /// Starts another head.
    mutating func reset() {
        self.section = FieldSection(start: 0)
        self.listBytes = 0
        self.problem = nil
        self.hasAuthority = false
        self.isAsterisk = false
    }

    /// Counts a field of trailers nobody wants.
    mutating func skip(_ name: Span<UInt8>, _ value: Span<UInt8>) -> Verdict {
        self.listBytes += name.count + value.count + 32
        return self.listBytes > self.floodBytes ? .flood : .taken
    }

    /// Takes one field; `kind` says which rules hold.
    mutating func receive(
        _ name: Span<UInt8>, _ value: Span<UInt8>, into head: MessageHead, kind: FieldSection.Kind
    ) -> Verdict {
        self.listBytes += name.count + value.count + 32
        guard self.listBytes <= self.floodBytes else { return .flood }
        // Nothing more is stored of a head that will be refused.
        guard self.problem == nil, !name.isEmpty else { return .taken }
        guard self.listBytes <= self.maximumListBytes,
            head.fields.count < self.limits.fieldCount,
            name.count + value.count + 4 <= self.limits.fieldBytes
        else {
            self.problem = .fieldsTooLarge
            return .taken
        }
        if name[0] == ASCII.colon {
            return kind == .response
                ? self.receiveStatus(name, value, into: head)
                : self.receivePseudo(name, value, into: head)
        }
        return self.receiveRegular(name, value, into: head, kind: kind)
    }

    private mutating func receivePseudo(
        _ name: Span<UInt8>, _ value: Span<UInt8>, into head: MessageHead
    ) -> Verdict {
        // `:path`, `:method`, `:scheme`, `:authority`: nghttp2 lets no other through.
        switch name.count {
        case 5:
            if value.count == 1, value[0] == UInt8(ascii: "*") {
                self.isAsterisk = true
                return .taken
            }
            guard !value.isEmpty, value[0] == ASCII.slash else { return .malformed }
            guard value.count <= self.limits.requestLineBytes else {
                self.problem = .targetTooLong
                return .taken
            }
            self.attempt { () throws(HTTPError) in try head.setTarget(value) }
        case 7 where name[1] == UInt8(ascii: "m"):
            self.attempt { () throws(HTTPError) in
                head.method = try HTTPMethod(value, length: value.count)
            }
        case 7:
            // A listener has one scheme.
            let scheme: StaticString = self.isEncrypted ? "https" : "http"
            guard value.isName(scheme, start: 0, length: value.count) else { return .malformed }
        case 10:
            self.hasAuthority = true
            head.append(name: Self.host.span, value: value)
            return self.noteHost(value, in: head)
        default:
            return .malformed
        }
        return .taken
    }

    private mutating func receiveStatus(
        _ name: Span<UInt8>, _ value: Span<UInt8>, into head: MessageHead
    ) -> Verdict {
        guard value.count == 3 else { return .malformed }
        var status = 0
        for index in 0..<3 {
            guard ASCII.isDigit(value[index]) else { return .malformed }
            status = status * 10 + Int(value[index] - ASCII.zero)
        }
        guard (100...599).contains(status), status != 101 else { return .malformed }
        head.status = status
        return .taken
    }

    private mutating func receiveRegular(
        _ name: Span<UInt8>, _ value: Span<UInt8>, into head: MessageHead, kind: FieldSection.Kind
    ) -> Verdict {
        if kind == .request {
            // nghttp2 lets tokens through; `_` could pass for `-` behind us.
            let allowed = ByteSet.requestFieldName
            for index in name.indices where !allowed.contains(name[index]) {
                self.problem = .malformedField
                return .taken
            }
        }
        let isHost = name.isName("host", start: 0, length: name.count)
        if isHost, self.hasAuthority, kind == .request {
            return Self.isSame(value, as: head) ? .taken : .malformed
        }
        guard let known = head.append(name: name, value: value) else {
            self.problem = .fieldsTooLarge
            return .taken
        }
        if isHost, kind == .request { return self.noteHost(value, in: head) }
        if known != .other { self.note(known, value, in: head, kind: kind) }
        return .taken
    }

    /// Ends a request's head; `endsStream` where there is no body.
    ///
    /// - Throws: How it is to be refused.
    mutating func finishRequest(
        _ head: MessageHead, endsStream: Bool
    ) throws(Refusal) {
        head.version = .http2
        if let problem { throw .answer(problem) }
        guard self.section.hostIndex != nil else { throw .malformed }
        if self.isAsterisk {
            guard head.method == .options else { throw .malformed }
            let start = head.bytes.writerIndex
            head.bytes.writeStaticString("*")
            head.facts.targetRange = start..<(start + 1)
            head.facts.pathRange = start..<(start + 1)
        }
        // A CONNECT has neither; the method has been refused then.
        guard !head.pathRange.isEmpty else { throw .malformed }
        guard !self.section.hasUnknownExpectation else { throw .answer(.unsupportedExpectation) }
        let length = self.section.contentLength ?? 0
        guard length <= self.limits.bodyBytes else { throw .answer(.bodyTooLarge) }
        if length > 0, head.method == .get || head.method == .head {
            throw .answer(.unexpectedBody)
        }
        head.contentLength = self.section.contentLength
        head.expectsContinue = self.section.expectsContinue && !endsStream
        if endsStream || head.method == .get || head.method == .head {
            head.framing = .none
        } else {
            // An empty body may be announced, and end with a frame of its own.
            head.framing = self.section.contentLength.map { .length($0) } ?? .chunked
        }
    }

    /// Ends a response's head; `endsStream` where there is no body.
    ///
    /// - Throws: `.malformed`.
    mutating func finishResponse(
        _ head: MessageHead, endsStream: Bool, requestMethod: HTTPMethod
    ) throws(Refusal) {
        head.version = .http2
        guard self.problem == nil, head.status > 0 else { throw .malformed }
        let length = self.section.contentLength ?? 0
        head.contentLength = self.section.contentLength
        switch head.status {
        case _ where endsStream || requestMethod == .head: head.framing = .none
        case 100..<200, 204, 304: head.framing = .none
        default: head.framing = length > 0 ? .length(length) : .chunked
        }
    }

    /// Takes notice of the field that was added last.
    private mutating func note(
        _ name: FieldName, _ value: Span<UInt8>, in head: MessageHead, kind: FieldSection.Kind
    ) {
        do throws(HTTPError) {
            try self.section.note(name, value, index: head.fields.count - 1, kind: kind)
        } catch {
            self.problem = error
        }
    }

    private mutating func noteHost(_ value: Span<UInt8>, in head: MessageHead) -> Verdict {
        self.note(.host, value, in: head, kind: .request)
        guard self.problem == nil else {
            self.problem = nil
            return .malformed
        }
        return .taken
    }

    private mutating func attempt(_ body: () throws(HTTPError) -> Void) {
        do throws(HTTPError) {
            try body()
        } catch {
            self.problem = error
        }
    }

    private static func isSame(_ value: Span<UInt8>, as head: MessageHead) -> Bool {
        head.withFirstValue(of: .host) { host in
            guard host.count == value.count else { return false }
            for index in host.indices
            where ASCII.lowered(host[index]) != ASCII.lowered(value[index]) {
                return false
            }
            return true
        } ?? false
    }

    private static let host = Array("host".utf8)
}
