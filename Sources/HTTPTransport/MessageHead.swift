package import NIOCore

/// The head of one request or response: its bytes, and a table of where the fields are.
///
/// One instance serves a connection: ``reset()`` keeps what memory it has. Parsers of HTTP/1.1 and the
/// header callbacks of HTTP/2 fill the same structure, and both writers write from it. Belongs to its
/// connection's event loop.
package final class MessageHead {
    /// The head's bytes from its first line to its last CRLF; the reader index is always zero.
    ///
    /// A path that had to be normalised stands behind them. All offsets below count from its start.
    package internal(set) var bytes: ByteBuffer
    /// The fields in the order they came.
    package internal(set) var fields: [HeadField] = []

    /// What the head says besides its fields.
    var facts = MessageFacts()

    /// An empty head with room for a usual one.
    package init() {
        self.bytes = ByteBufferAllocator().buffer(capacity: 1024)
        self.fields.reserveCapacity(24)
    }

    /// Becomes a copy of `other`, which may change afterwards.
    package func take(_ other: MessageHead) {
        self.bytes = other.bytes
        self.fields = other.fields
        self.facts = other.facts
    }

    /// Forgets the message and keeps the memory.
    package func reset() {
        self.bytes.clear(minimumCapacity: 0)
        self.fields.removeAll(keepingCapacity: true)
        self.facts = MessageFacts()
    }
}

// What the head says.
extension MessageHead {
    /// The version of HTTP the message was sent in.
    package var version: HTTPVersion {
        get { self.facts.version }
        set { self.facts.version = newValue }
    }
    /// Where the body ends.
    package var framing: BodyFraming {
        get { self.facts.framing }
        set { self.facts.framing = newValue }
    }
    /// The value of Content-Length, whatever the framing (HEAD and 304 have one and no body).
    package var contentLength: Int? {
        get { self.facts.contentLength }
        set { self.facts.contentLength = newValue }
    }
    /// Whether the sender lets the connection live on after this message.
    package var keepAlive: Bool {
        get { self.facts.keepAlive }
        set { self.facts.keepAlive = newValue }
    }
    /// Whether the client waits for `100 Continue` before it sends the body.
    package var expectsContinue: Bool {
        get { self.facts.expectsContinue }
        set { self.facts.expectsContinue = newValue }
    }
    /// The request's method.
    package var method: HTTPMethod {
        get { self.facts.method }
        set { self.facts.method = newValue }
    }
    /// The offsets of the request target as it came.
    package var targetRange: Range<Int> { self.facts.targetRange }
    /// The offsets of the normalised path, which is what is routed and forwarded.
    ///
    /// `*` for `OPTIONS *`.
    package var pathRange: Range<Int> { self.facts.pathRange }
    /// The offsets of the query without its `?`, nil where there is no `?`.
    package var queryRange: Range<Int>? { self.facts.queryRange }
    /// Whether the target was in absolute form; its authority then was that of Host.
    package var isAbsoluteForm: Bool { self.facts.isAbsoluteForm }
    /// The response's status, 100 to 599.
    package var status: Int {
        get { self.facts.status }
        set { self.facts.status = newValue }
    }
    /// The offsets of the reason phrase, which may be empty.
    package var reasonRange: Range<Int> { self.facts.reasonRange }
}

// Reading.
extension MessageHead {
    /// The position in ``fields`` of the first field of this name, nil if there is none.
    package func index(of name: FieldName) -> Int? {
        // Not `firstIndex`, for which the table would be retained.
        for index in 0..<self.fields.count where self.fields[index].name == name { return index }
        return nil
    }

    /// The position of the first field named `literal`, nil if there is none.
    ///
    /// For names that have no ``FieldName``. The literal is of lower-case letters, digits and `-`.
    package func index(ofName literal: StaticString) -> Int? {
        let buffer = self.bytes
        let bytes = buffer.readableBytesUInt8Span
        return self.fields.firstIndex {
            bytes.isName(literal, start: Int($0.nameStart), length: Int($0.nameLength))
        }
    }

    /// How many fields have this name.
    package func count(of name: FieldName) -> Int {
        var count = 0
        for index in 0..<self.fields.count where self.fields[index].name == name { count += 1 }
        return count
    }

    /// Gives `body` the bytes at `range`, one of the offsets of this head.
    package func withBytes<Result>(
        _ range: Range<Int>, _ body: (Span<UInt8>) -> Result
    ) -> Result {
        let buffer = self.bytes
        return body(buffer.readableBytesUInt8Span.extracting(range))
    }

    /// Gives `body` the value of the first field of this name; nil if there is none.
    package func withFirstValue<Result>(
        of name: FieldName, _ body: (Span<UInt8>) -> Result
    ) -> Result? {
        guard let index = self.index(of: name) else { return nil }
        return self.withBytes(self.fields[index].valueRange, body)
    }

    /// The bytes at `range` as a string, ill-formed UTF-8 repaired.
    ///
    /// Not for the data path: it allocates.
    package func string(_ range: Range<Int>) -> String {
        self.bytes.getString(at: range.lowerBound, length: range.count) ?? ""
    }

    /// The value of the first field of this name as a string.
    ///
    /// Not for the data path: it allocates.
    package func firstValue(of name: FieldName) -> String? {
        self.index(of: name).map { self.string(self.fields[$0].valueRange) }
    }
}

// Building.
extension MessageHead {
    /// Adds a field, which the caller vouches for: a token for a name, no control bytes in the value.
    ///
    /// - Returns: What name it is; nil, with nothing added, where name or value is longer than
    ///   65,535 bytes or there is no name.
    @discardableResult
    package func append(name: Span<UInt8>, value: Span<UInt8>) -> FieldName? {
        guard !name.isEmpty, name.count <= UInt16.max, value.count <= UInt16.max else {
            return nil
        }
        let known = FieldName.classify(name, start: 0, length: name.count)
        self.append(name: name, value: value, as: known)
        return known
    }

    /// Adds a field whose name is `known` to be what it is; neither is longer than 65,535 bytes.
    func append(
        name: Span<UInt8>, value: Span<UInt8>, as known: FieldName, isNeverIndexed: Bool = false
    ) {
        let start = self.bytes.writerIndex
        self.bytes.write(atMost: name.count &+ value.count &+ 4) { output in
            output.append(name)
            output.append(": ")
            output.append(value)
            output.append("\r\n")
        }
        self.fields.append(
            HeadField(
                nameStart: UInt32(start), valueStart: UInt32(start + name.count + 2),
                nameLength: UInt16(name.count), valueLength: UInt16(value.count),
                name: known, isHopByHop: false, isCanonical: true,
                isNeverIndexed: isNeverIndexed))
    }

    /// Sets path and query of a request that has no request line, as HTTP/2's `:path`.
    ///
    /// - Throws: `.malformedTarget` as for a request line; the head then is to be reset.
    package func setTarget(_ target: Span<UInt8>) throws(HTTPError) {
        let start = self.bytes.writerIndex
        self.bytes.append(target)
        self.facts.targetRange = start..<self.bytes.writerIndex
        var facts = self.facts
        try facts.locatePath(facts.targetRange, in: &self.bytes)
        self.facts = facts
    }
}
