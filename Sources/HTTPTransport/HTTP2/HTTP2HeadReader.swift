internal import NIOCore

/// Builds one ``MessageHead`` from the fields of a HEADERS frame, as strictly as the HTTP/1.1 parser.
///
/// All that RFC 9113, 8.2 and 8.3 ask of fields is checked here, as far as ``HTTP2FieldFacts`` do not
/// say it. Lengths and the order of frames are the streams' to check.
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
    private var seen = Seen()
    private var isAsterisk = false

    /// What a head has had.
    private struct Seen: OptionSet {
        let rawValue: UInt8

        static let path = Self(rawValue: 1)
        static let method = Self(rawValue: 2)
        static let scheme = Self(rawValue: 4)
        static let authority = Self(rawValue: 8)
        static let status = Self(rawValue: 16)
        static let host = Self(rawValue: 32)
        /// A field that is no pseudo-field: none of those may follow.
        static let regular = Self(rawValue: 64)
        /// The method is CONNECT, which goes without some.
        static let connect = Self(rawValue: 128)
    }

    init(limits: HTTPLimits, isEncrypted: Bool) {
        self.limits = limits
        self.isEncrypted = isEncrypted
        self.maximumListBytes = limits.headBytes
        self.floodBytes = 4 * self.maximumListBytes
    }

    /// Whether what came so far is within the limits; trailers have no end that would say so.
    var isWithinLimits: Bool { self.problem == nil }

    /// Starts another head.
    mutating func reset() {
        self.section = FieldSection(start: 0)
        self.listBytes = 0
        self.problem = nil
        self.seen = []
        self.isAsterisk = false
    }

    /// Counts and checks a field of trailers nobody wants.
    mutating func skip(
        _ name: Span<UInt8>, _ value: Span<UInt8>, _ facts: HTTP2FieldFacts
    ) -> Verdict {
        self.listBytes += name.count + value.count + 32
        guard self.listBytes <= self.floodBytes else { return .flood }
        return facts.pseudo == .none && Self.isAllowed(value, facts, kind: .requestTrailers)
            ? .taken : .malformed
    }

    /// Takes one field; `kind` says which rules hold.
    mutating func receive(
        _ name: Span<UInt8>, _ value: Span<UInt8>, _ facts: HTTP2FieldFacts,
        into head: MessageHead, kind: FieldSection.Kind
    ) -> Verdict {
        self.listBytes += name.count + value.count + 32
        guard self.listBytes <= self.floodBytes else { return .flood }
        if self.listBytes > self.maximumListBytes || head.fields.count >= self.limits.fieldCount
            || name.count + value.count + 4 > self.limits.fieldBytes
        {
            _ = self.refuse(.fieldsTooLarge)
        }
        if facts.pseudo != .none {
            guard !self.seen.contains(.regular), !value.isEmpty, facts.isValueAllowed else {
                return .malformed
            }
            switch kind {
            case .request: return self.receivePseudo(facts.pseudo, value, into: head)
            case .response where facts.pseudo == .status:
                return self.receiveStatus(value, into: head)
            case .response, .requestTrailers, .responseTrailers: return .malformed
            }
        }
        guard Self.isAllowed(value, facts, kind: kind) else { return .malformed }
        self.seen.insert(.regular)
        return self.receiveRegular(name, value, facts, into: head, kind: kind)
    }

    /// Whether a field may be in a message of HTTP/2 (RFC 9113 8.2.1 and 8.2.2).
    @inline(__always)
    private static func isAllowed(
        _ value: Span<UInt8>, _ facts: HTTP2FieldFacts, kind: FieldSection.Kind
    ) -> Bool {
        guard facts.isNameAllowed, facts.isValueAllowed else { return false }
        switch facts.known {
        case .te: return value.isName("trailers", start: 0, length: value.count)
        // RFC 9110, 6.5.1: what frames or routes a message stands in its head.
        case .contentLength, .host: return !kind.isTrailers
        default: return true
        }
    }

    /// Notes a pseudo-field; false if it was there before.
    private mutating func isFirst(_ field: Seen) -> Bool { self.seen.insert(field).inserted }

    private mutating func receivePseudo(
        _ field: HTTP2FieldFacts.Pseudo, _ value: Span<UInt8>, into head: MessageHead
    ) -> Verdict {
        switch field {
        case .path:
            guard self.isFirst(.path) else { return .malformed }
            if value.count == 1, value[0] == UInt8(ascii: "*") {
                self.isAsterisk = true
                return .taken
            }
            guard value[0] == ASCII.slash else { return .malformed }
            guard value.count <= self.limits.requestLineBytes else {
                return self.refuse(.targetTooLong)
            }
            return self.attempt(value) { () throws(HTTPError) in try head.setTarget(value) }
        case .method:
            guard self.isFirst(.method) else { return .malformed }
            if value.isExactly("CONNECT") { self.seen.insert(.connect) }
            return self.attempt(value) { () throws(HTTPError) in
                head.method = try HTTPMethod(value, length: value.count)
            }
        case .scheme:
            // A listener has one scheme.
            let scheme: StaticString = self.isEncrypted ? "https" : "http"
            return self.isFirst(.scheme) && value.isName(scheme, start: 0, length: value.count)
                ? .taken : .malformed
        case .authority:
            guard self.isFirst(.authority) else { return .malformed }
            guard self.problem == nil else { return .taken }
            head.append(name: Self.host.span, value: value, as: .host)
            return self.noteHost(value, in: head)
        case .status, .unknown, .none: return .malformed
        }
    }

    private mutating func receiveStatus(
        _ value: Span<UInt8>, into head: MessageHead
    ) -> Verdict {
        guard self.isFirst(.status), value.count == 3 else { return .malformed }
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
        _ name: Span<UInt8>, _ value: Span<UInt8>, _ facts: HTTP2FieldFacts,
        into head: MessageHead, kind: FieldSection.Kind
    ) -> Verdict {
        let known = facts.known
        let isHost = known == .host && kind == .request
        if isHost {
            guard self.isFirst(.host) else { return .malformed }
            if self.seen.contains(.authority), self.problem == nil {
                return Self.isSame(value, as: head) ? .taken : .malformed
            }
        }
        guard self.problem == nil else { return .taken }
        // Fields with a meaning have none in trailers (RFC 9110, 6.5.1) and are left out.
        if kind.isTrailers, known != .other { return .taken }
        if kind == .request, !facts.isRequestName { return self.refuse(.malformedField) }
        // Longer ones have been refused, unless the limits are set beyond what a head can hold.
        guard name.count <= UInt16.max, value.count <= UInt16.max else {
            return self.refuse(.fieldsTooLarge)
        }
        head.append(name: name, value: value, as: known, isNeverIndexed: facts.isNeverIndexed)
        if isHost { return self.noteHost(value, in: head) }
        if known != .other {
            self.note(known, value, in: head, kind: kind)
            if known == .contentLength, self.problem != nil { return .malformed }
        }
        return .taken
    }

    /// Ends a request's head; `endsStream` where there is no body.
    ///
    /// - Throws: How it is to be refused.
    mutating func finishRequest(
        _ head: MessageHead, endsStream: Bool
    ) throws(Refusal) {
        head.version = .http2
        let length = self.section.contentLength ?? 0
        guard self.hasPseudoFields, length == 0 || !endsStream else { throw .malformed }
        if let problem { throw .answer(problem) }
        guard self.section.hostIndex != nil else { throw .malformed }
        if self.isAsterisk {
            guard head.method == .options else { throw .malformed }
            let start = head.bytes.writerIndex
            head.bytes.writeStaticString("*")
            head.facts.targetRange = start..<(start + 1)
            head.facts.pathRange = start..<(start + 1)
        }
        guard !head.pathRange.isEmpty else { throw .malformed }
        guard !self.section.hasUnknownExpectation else { throw .answer(.unsupportedExpectation) }
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

    /// Whether a request has those it must have, and CONNECT not those it must not (RFC 9113 8.3.1
    /// and 8.5).
    private var hasPseudoFields: Bool {
        if self.seen.contains(.connect) {
            return self.seen.contains([.method, .authority])
                && self.seen.isDisjoint(with: [.path, .scheme])
        }
        return self.seen.contains([.method, .path, .scheme])
            && !self.seen.isDisjoint(with: [.authority, .host])
    }

    /// Ends a response's head; `endsStream` where there is no body.
    ///
    /// - Throws: `.malformed`.
    mutating func finishResponse(
        _ head: MessageHead, endsStream: Bool, requestMethod: HTTPMethod
    ) throws(Refusal) {
        head.version = .http2
        guard self.problem == nil, self.seen.contains(.status) else { throw .malformed }
        let length = self.section.contentLength ?? 0
        head.contentLength = self.section.contentLength
        switch head.status {
        case 100..<200 where endsStream: throw .malformed
        case 100..<200, 204, 304: head.framing = .none
        case _ where requestMethod == .head: head.framing = .none
        case _ where endsStream:
            guard length == 0 else { throw .malformed }
            head.framing = .none
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

    /// Tries what reads `value`, unless the head will be refused anyway.
    private mutating func attempt(
        _ value: Span<UInt8>, _ body: () throws(HTTPError) -> Void
    ) -> Verdict {
        guard self.problem == nil else { return .taken }
        do throws(HTTPError) {
            try body()
        } catch {
            // Blanks and bytes that are no text are in neither a path nor a method.
            for index in value.indices where !(0x21...0x7e).contains(value[index]) {
                return .malformed
            }
            self.problem = error
        }
        return .taken
    }

    /// The head will be answered with `problem`; what follows of it is only checked.
    private mutating func refuse(_ problem: HTTPError) -> Verdict {
        self.problem = self.problem ?? problem
        return .taken
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
