internal import HTTPTransport
internal import NIOCore

/// The three request ids of one exchange, as Azure Machine Learning passes them on.
///
/// `x-request-id` is taken over or made; the two older names are taken over where they came.
struct RequestIDs {
    /// One id: offsets into the request head's bytes, or the one made here.
    enum Source {
        case absent
        case made
        case field(Range<Int>)
    }

    private(set) var requestID = Source.made
    private(set) var msRequestID = Source.absent
    private(set) var clientRequestID = Source.absent
    /// Text of a version 4 UUID (RFC 9562 5.4), 36 bytes; only used where no id came.
    private(set) var made: UUIDText

    /// One new id: what a request has until it is read, and one that could not be.
    init(random: inout FastRandom) {
        self.made = UUIDText(random: &random)
    }

    /// Takes over those that came with `head`, of each name the first that is not empty; others stay
    /// behind, so that the backend, the client and the logs all have the same.
    ///
    /// - Throws: `.requestIDTooLong` over ``maximumCharacters``; those before it were taken.
    mutating func read(_ head: MessageHead) throws(GatewayError) {
        for index in head.fields.indices {
            let field = head.fields[index]
            let isTaken =
                switch field.name {
                case .xRequestID: try Self.take(field, as: &self.requestID)
                case .xMSRequestID: try Self.take(field, as: &self.msRequestID)
                case .xMSClientRequestID: try Self.take(field, as: &self.clientRequestID)
                default: true
                }
            if !isTaken { head.leaveOut(at: index) }
        }
    }

    /// The `x-ms-request-id` of the answer: the one that came, else the client's, else `x-request-id`.
    var answeredMSRequestID: Source {
        if case .field = self.msRequestID { return self.msRequestID }
        if case .field = self.clientRequestID { return self.clientRequestID }
        return self.requestID
    }

    /// The `x-ms-client-request-id` of the answer: the one that came, else `x-ms-request-id`'s.
    var answeredClientRequestID: Source {
        if case .field = self.clientRequestID { return self.clientRequestID }
        return self.msRequestID
    }

    /// Appends `id`, which came with `head`, to `output`: at most ``maximumCharacters`` bytes.
    func write(_ id: Source, of head: MessageHead?, to output: inout ByteWriter) {
        switch id {
        case .absent: break
        case .made: self.made.write(to: &output)
        case .field(let range):
            guard let head else { return }
            let bytes = head.bytes
            output.append(bytes.readableBytesUInt8Span.extracting(range))
        }
    }

    /// Whether the request's id stands in a JSON string as it came: printable ASCII without `"` and
    /// `\`.
    func isQuotable(of head: MessageHead?) -> Bool {
        guard case .field(let range) = self.requestID, let head else { return true }
        return head.withBytes(range) { bytes in
            for index in bytes.indices {
                guard 0x20...0x7e ~= bytes[index], bytes[index] != UInt8(ascii: "\""),
                    bytes[index] != UInt8(ascii: "\\")
                else { return false }
            }
            return true
        }
    }

    /// Appends the three ids of an answer to its head; `request` is the head they came with.
    func appendAnswered(of request: MessageHead?, to head: MessageHead) {
        self.append(.xRequestID, self.requestID, of: request, to: head)
        self.append(.xMSRequestID, self.answeredMSRequestID, of: request, to: head)
        self.append(.xMSClientRequestID, self.answeredClientRequestID, of: request, to: head)
    }

    /// Appends one id as a field, unless it is absent.
    func append(
        _ field: FieldName, _ id: Source, of request: MessageHead?, to head: MessageHead
    ) {
        if case .absent = id { return }
        let name: StaticString =
            switch field {
            case .xMSRequestID: "x-ms-request-id"
            case .xMSClientRequestID: "x-ms-client-request-id"
            default: "x-request-id"
            }
        head.append(name, as: field, atMost: Self.maximumCharacters) {
            self.write(id, of: request, to: &$0)
        }
    }

    /// Whether the field is the first of its name that says something.
    private static func take(
        _ field: HeadField, as source: inout Source
    ) throws(GatewayError) -> Bool {
        guard field.valueLength <= self.maximumCharacters else {
            let isMSField = field.name != .xRequestID
            throw GatewayError(kind: .requestIDTooLong(isMSField: isMSField), source: .downstream)
        }
        if case .field = source { return false }
        guard field.valueLength > 0 else { return false }
        source = .field(field.valueRange)
        return true
    }

    /// 100 characters, as Azure's front end has it.
    static let maximumCharacters = 100
}
