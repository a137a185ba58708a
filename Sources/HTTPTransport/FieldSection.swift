/// The field lines of a head or of trailers, parsed line by line as they arrive.
///
/// RFC 9112, 5: no white space before the colon, no folding, no bare CR or LF. It also keeps what the
/// fields say about framing, so that no field is looked at twice.
struct FieldSection {
    /// What the section belongs to.
    enum Kind {
        case request
        case response
        case requestTrailers
        case responseTrailers

        var isTrailers: Bool { self == .requestTrailers || self == .responseTrailers }
    }

    /// What Transfer-Encoding said.
    enum TransferCoding {
        case absent
        case chunked
        /// A well-formed list of codings, one of which is not known.
        case unsupported
    }

    /// Where the line to be parsed next begins.
    var lineStart: Int
    /// Up to where that line is known to hold neither its end nor a bad byte.
    private var scanned: Int
    /// Counted here, as the table may not be kept from one call to the next.
    private var fieldCount = 0
    private(set) var contentLength: Int?
    private(set) var transferCoding = TransferCoding.absent
    /// The position of Host in the field table.
    private(set) var hostIndex: Int?
    private(set) var closes = false
    private(set) var keepsAlive = false
    private(set) var expectsContinue = false
    private(set) var hasUnknownExpectation = false
    private var hasContentType = false
    private var connectionOptions = 0
    private var hasNominations = false

    /// A section whose first line begins at `start`.
    init(start: Int) {
        self.lineStart = start
        self.scanned = start
    }

    /// Parses all whole lines there are.
    ///
    /// - Parameters:
    ///   - bytes: All bytes of the section so far, and the same ones as before with more after them.
    ///   - fields: Takes the fields; offsets count from the start of `bytes`.
    ///   - kind: Which rules hold.
    ///   - limits: How long a line may be, and how many fields there may be.
    ///   - maximumBytes: Where in `bytes` the section must have ended.
    /// - Returns: Whether the empty line came; ``lineStart`` then is after it.
    /// - Throws: Why the section is refused.
    @inline(__always)
    mutating func parse(
        _ bytes: Span<UInt8>, into fields: inout [HeadField], kind: Kind, limits: HTTPLimits,
        maximumBytes: Int
    ) throws(HTTPError) -> Bool {
        while true {
            switch bytes.scanLine(from: self.scanned) {
            case .invalid:
                throw .invalidByte
            case .needMore(let scanned):
                self.scanned = scanned
                guard bytes.count &- self.lineStart <= limits.fieldBytes,
                    bytes.count <= maximumBytes
                else { throw .fieldsTooLarge }
                return false
            case .line(let end):
                let start = self.lineStart
                self.lineStart = end &+ 2
                self.scanned = end &+ 2
                guard end &+ 2 <= maximumBytes else { throw .fieldsTooLarge }
                if end == start { return true }
                guard end &+ 2 &- start <= limits.fieldBytes, self.fieldCount < limits.fieldCount
                else { throw .fieldsTooLarge }
                self.fieldCount &+= 1
                let field = try Self.parseLine(bytes, start: start, end: end, kind: kind)
                if kind == .responseTrailers, field.name != .other {
                    try Self.checkTrailer(field.name)
                    continue
                }
                fields.append(field)
                switch field.name {
                case .other: break
                case .host, .connection, .contentLength, .contentType, .transferEncoding,
                    .expect, .authorization, .te, .trailer, .contentEncoding:
                    try self.note(
                        field.name, bytes.extracting(field.valueRange), index: fields.count &- 1,
                        kind: kind)
                default: break
                }
            }
        }
    }

    /// Splits the line in `start..<end`, which holds no control bytes but HTAB.
    @inline(__always)
    private static func parseLine(
        _ bytes: Span<UInt8>, start: Int, end: Int, kind: Kind
    ) throws(HTTPError) -> HeadField {
        let isResponse = kind == .response || kind == .responseTrailers
        let allowed: ByteSet = isResponse ? .token : .requestFieldName
        var colon = bytes.skipWordsOfNameBytes(from: start)
        while colon < end, allowed.contains(bytes[colon]) { colon &+= 1 }
        guard colon > start, colon < end, bytes[colon] == ASCII.colon else {
            throw .malformedField
        }
        var valueStart = colon &+ 1
        while valueStart < end, Self.isBlank(bytes[valueStart]) { valueStart &+= 1 }
        var valueEnd = end
        while valueEnd > valueStart, Self.isBlank(bytes[valueEnd &- 1]) { valueEnd &-= 1 }
        let isCanonical =
            valueStart == colon &+ 2 && valueEnd == end && bytes[colon &+ 1] == ASCII.space
        return HeadField(
            nameStart: UInt32(truncatingIfNeeded: start),
            valueStart: UInt32(truncatingIfNeeded: valueStart),
            nameLength: UInt16(truncatingIfNeeded: colon &- start),
            valueLength: UInt16(truncatingIfNeeded: valueEnd &- valueStart),
            name: FieldName.classify(bytes, start: start, length: colon &- start),
            isHopByHop: false, isCanonical: isCanonical)
    }

    @inline(__always)
    static func isBlank(_ byte: UInt8) -> Bool { byte == ASCII.space || byte == ASCII.tab }
}

// What the fields mean to the message.
extension FieldSection {
    /// Takes notice of the field at `index` of the table; not for ``FieldName/other``.
    mutating func note(
        _ name: FieldName, _ value: Span<UInt8>, index: Int, kind: Kind
    ) throws(HTTPError) {
        // RFC 9110, 6.5.1: fields about framing, routing, authentication or content may not be trailers.
        if kind == .requestTrailers { throw .forbiddenTrailer(name) }
        switch name {
        case .contentLength:
            guard self.contentLength == nil else { throw .repeatedField(.contentLength) }
            self.contentLength = try Self.contentLength(value)
        case .transferEncoding:
            guard self.transferCoding == .absent else { throw .repeatedField(.transferEncoding) }
            self.transferCoding = try Self.transferCoding(value)
        case .connection:
            try self.noteConnection(value)
        case .host where kind == .request:
            guard self.hostIndex == nil else { throw .repeatedField(.host) }
            try Self.checkHost(value)
            self.hostIndex = index
        case .contentType:
            guard !self.hasContentType else { throw .repeatedField(.contentType) }
            self.hasContentType = true
        case .expect where kind == .request:
            if value.isName("100-continue", start: 0, length: value.count) {
                self.expectsContinue = true
            } else {
                self.hasUnknownExpectation = true
            }
        default: break
        }
    }

    /// Refuses what frames or routes a message; other fields with a meaning have none in trailers and
    /// are left out (RFC 9110, 6.5.1).
    private static func checkTrailer(_ name: FieldName) throws(HTTPError) {
        switch name {
        case .contentLength, .transferEncoding, .host: throw .forbiddenTrailer(name)
        default: break
        }
    }

    /// One decimal number without sign, list, leading zeros or overflow (RFC 9110, 8.6, stricter).
    private static func contentLength(_ value: Span<UInt8>) throws(HTTPError) -> Int {
        guard !value.isEmpty, value.count == 1 || value[0] != ASCII.zero else {
            throw .malformedContentLength
        }
        var number = 0
        for index in value.indices {
            guard ASCII.isDigit(value[index]) else { throw .malformedContentLength }
            let (product, overflow) = number.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(Int(value[index] &- ASCII.zero))
            guard !overflow, !carry else { throw .malformedContentLength }
            number = sum
        }
        return number
    }

    /// Reads a list of codings, of which `chunked` alone is supported.
    ///
    /// A list that is not well-formed, or in which `chunked` is not the
    /// last and only once, is malformed (RFC 9112, 6.1); other codings are unsupported.
    private static func transferCoding(
        _ value: Span<UInt8>
    ) throws(HTTPError) -> TransferCoding {
        var hasOthers = false
        var isChunked = false
        var start = 0
        while true {
            var end = start
            while end < value.count, value[end] != ASCII.comma { end &+= 1 }
            let element = Self.trimmed(value, start..<end)
            guard Self.isToken(value, element), !isChunked else {
                throw .malformedTransferEncoding
            }
            if value.isName("chunked", start: element.lowerBound, length: element.count) {
                isChunked = true
            } else {
                hasOthers = true
            }
            if end == value.count { break }
            start = end &+ 1
        }
        return hasOthers ? .unsupported : .chunked
    }

    /// Reads the options of one Connection field.
    private mutating func noteConnection(_ value: Span<UInt8>) throws(HTTPError) {
        var start = 0
        while start <= value.count {
            var end = start
            while end < value.count, value[end] != ASCII.comma { end &+= 1 }
            let option = Self.trimmed(value, start..<end)
            start = end &+ 1
            // Empty elements are allowed in lists: RFC 9110, 5.6.1.2.
            guard !option.isEmpty else { continue }
            self.connectionOptions &+= 1
            guard self.connectionOptions <= HTTPLimits.connectionOptions,
                Self.isToken(value, option)
            else { throw .malformedConnection }
            let name = option.lowerBound
            if value.isName("close", start: name, length: option.count) {
                self.closes = true
                continue
            }
            switch FieldName.classify(value, start: name, length: option.count) {
            case .keepAlive:
                // The option, and also the name of a field that is never forwarded.
                self.keepsAlive = true
            case .host, .contentLength, .transferEncoding, .authorization, .xScoregate:
                throw .protectedFieldNominated
            default:
                self.hasNominations = true
            }
        }
    }

    /// Parses all whole lines there are of a head's fields; when they are complete, marks those that a hop
    /// keeps to itself.
    ///
    /// - Returns: Whether they are complete.
    /// - Throws: Why the head is refused.
    @inline(__always)
    mutating func parse(
        _ bytes: Span<UInt8>, into head: MessageHead, kind: Kind, limits: HTTPLimits
    ) throws(HTTPError) -> Bool {
        // Taken out of the head, so that appending needs no access to the object.
        var fields: [HeadField] = []
        swap(&fields, &head.fields)
        defer { swap(&fields, &head.fields) }
        guard
            try self.parse(
                bytes, into: &fields, kind: kind, limits: limits, maximumBytes: limits.headBytes)
        else { return false }
        self.markNominated(bytes, &fields)
        return true
    }

    /// Marks the fields that the Connection fields name.
    private func markNominated(_ bytes: Span<UInt8>, _ fields: inout [HeadField]) {
        guard self.hasNominations else { return }
        for position in fields.indices where fields[position].name == .connection {
            let range = fields[position].valueRange
            var start = range.lowerBound
            while start <= range.upperBound {
                var end = start
                while end < range.upperBound, bytes[end] != ASCII.comma { end &+= 1 }
                let option = Self.trimmed(bytes, start..<end)
                start = end &+ 1
                guard !option.isEmpty else { continue }
                for index in fields.indices
                where Self.equalNames(bytes, option, fields[index].nameRange) {
                    fields[index].isHopByHop = true
                }
            }
        }
    }

    private static func equalNames(
        _ bytes: Span<UInt8>, _ one: Range<Int>, _ other: Range<Int>
    ) -> Bool {
        guard one.count == other.count else { return false }
        for offset in 0..<one.count
        where bytes[one.lowerBound + offset] | 0x20 != bytes[other.lowerBound + offset] | 0x20 {
            return false
        }
        return true
    }

    /// `host [ ":" port ]` with a name, an IPv4 address or a bracketed IPv6 address.
    private static func checkHost(_ value: Span<UInt8>) throws(HTTPError) {
        var index = 0
        let end = value.count
        if index < end, value[index] == UInt8(ascii: "[") {
            index += 1
            let allowed = ByteSet.ipv6
            let start = index
            while index < end, allowed.contains(value[index]) { index += 1 }
            guard index > start, index < end, value[index] == UInt8(ascii: "]") else {
                throw .malformedHost
            }
            index += 1
        } else {
            let allowed = ByteSet.hostName
            index = value.skipWordsOfNameBytes(from: index)
            while index < end, allowed.contains(value[index]) { index += 1 }
            // 255 bytes: the longest name of the DNS, RFC 1035, 2.3.4.
            guard index > 0, index <= 255 else {
                throw .malformedHost
            }
        }
        guard index < end else { return }
        guard value[index] == ASCII.colon, (2...6).contains(end - index) else {
            throw .malformedHost
        }
        var port = 0
        for position in (index + 1)..<end {
            guard ASCII.isDigit(value[position]) else { throw .malformedHost }
            port = port * 10 + Int(value[position] - ASCII.zero)
        }
        guard port <= 65535 else { throw .malformedHost }
    }

    private static func trimmed(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Range<Int> {
        var start = range.lowerBound
        var end = range.upperBound
        while start < end, self.isBlank(bytes[start]) { start &+= 1 }
        while end > start, self.isBlank(bytes[end &- 1]) { end &-= 1 }
        return start..<end
    }

    private static func isToken(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
        guard !range.isEmpty else { return false }
        let allowed = ByteSet.token
        for index in range where !allowed.contains(bytes[index]) { return false }
        return true
    }
}
