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

    /// - Throws: `.requestIDTooLong` over ``maximumCharacters``.
    init(_ head: MessageHead, random: inout FastRandom) throws(GatewayError) {
        self.made = UUIDText(random: &random)
        for field in head.fields {
            switch field.name {
            case .xRequestID: self.requestID = try Self.source(field, isMSField: false)
            case .xMSRequestID: self.msRequestID = try Self.source(field, isMSField: true)
            case .xMSClientRequestID:
                self.clientRequestID = try Self.source(field, isMSField: true)
            default: break
            }
        }
    }

    /// What a request that could not be parsed gets: one new id.
    init(random: inout FastRandom) {
        self.made = UUIDText(random: &random)
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

    private static func source(_ field: HeadField, isMSField: Bool) throws(GatewayError) -> Source {
        guard field.valueLength > 0 else { return isMSField ? .absent : .made }
        guard field.valueLength <= self.maximumCharacters else {
            throw GatewayError(kind: .requestIDTooLong(isMSField: isMSField), source: .downstream)
        }
        return .field(field.valueRange)
    }

    /// 100 characters, as Azure's front end has it.
    static let maximumCharacters = 100
}
