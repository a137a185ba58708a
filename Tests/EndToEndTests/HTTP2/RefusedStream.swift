import Testing

/// Frames that must be refused, and how.
struct RefusedStream: CustomTestStringConvertible, Sendable {
    /// What must come back.
    enum Answer: Sendable, Equatable {
        /// RST_STREAM(PROTOCOL_ERROR); the connection lives.
        case reset
        /// GOAWAY with one of these codes, then the end.
        case goAway([UInt32])
        /// This status.
        case status(Int)
        /// The end without a word.
        case closed
    }

    /// Of the table of refused inputs.
    let row: Int
    let name: String
    let answer: Answer
    /// What goes after the preface; gets the fields of a good request.
    let frames: @Sendable ([(String, String)]) -> [UInt8]

    var testDescription: String { "row \(self.row): \(self.name)" }

    init(
        _ row: Int, _ name: String, _ answer: Answer,
        _ frames: @escaping @Sendable ([(String, String)]) -> [UInt8]
    ) {
        self.row = row
        self.name = name
        self.answer = answer
        self.frames = frames
    }

    /// One field more, or another value for one that is there.
    static func field(
        _ row: Int, _ name: String, _ value: String, _ answer: Answer = .reset
    ) -> Self {
        Self(row, "\(name): \(value.prefix(40))", answer) { fields in
            let known = fields.contains { $0.0 == name && name.hasPrefix(":") }
            let changed = fields.map { $0.0 == name && known ? (name, value) : $0 }
            return RawFrame.headers(known ? changed : changed + [(name, value)])
        }
    }

    /// A good request without one of its fields.
    static func without(_ row: Int, _ name: String, _ answer: Answer = .reset) -> Self {
        Self(row, "no \(name)", answer) { RawFrame.headers($0.filter { $0.0 != name }) }
    }

    static let fields: [Self] = [
        .field(112, "transfer-encoding", "chunked"), .field(113, "connection", "close"),
        .field(113, "keep-alive", "timeout=5"), .field(113, "upgrade", "h2c"),
        .field(113, "proxy-connection", "close"), .field(114, "te", "gzip"),
        .field(116, "foo: bar\r\nx", "y"), .field(116, "a b", "y"), .field(116, "A", "y"),
        .field(116, "", "y"), .field(116, "x", "a\r\nb"), .field(116, "x", "a\0b"),
        .field(117, ":path", "/x HTTP/1.1\r\nHost: e"), .field(117, ":path", ""),
        .field(117, ":path", "x"), .field(117, ":path", "*"), .field(118, ":method", "a b"),
        .field(119, ":scheme", "http"), .field(119, ":scheme", "https://e/x"),
        .field(120, ":unknown", "x"), .field(121, "host", "other.example.com"),
        .without(122, ":authority"), .without(122, ":method"), .without(122, ":path"),
        .without(122, ":scheme"), .field(122, ":authority", "a b"),
        .field(79, ":path", "/%00", .status(400)), .field(79, ":path", "//score", .status(400)),
        .field(74, ":method", "TRACE", .status(405)), .field(76, ":method", "FOO", .status(501)),
        .field(102, "x_gw_endpoint", "x", .status(400)),
        .field(77, ":path", "/" + String(repeating: "a", count: 9000), .status(414)),
        .field(94, "x", String(repeating: "a", count: 16_380), .status(431)),
        .field(104, "content-type", "a", .status(200)),
        Self(104, "two content types", .status(400)) {
            RawFrame.headers($0 + [("content-type", "a"), ("content-type", "b")])
        },
        Self(95, "101 fields", .status(431)) { fields in
            RawFrame.headers(fields + (0..<100).map { ("x-\($0)", "y") })
        },
        Self(120, "pseudo-field after a field", .reset) { fields in
            RawFrame.headers([("x", "y")] + fields)
        },
        Self(120, "pseudo-field twice", .reset) { RawFrame.headers($0 + [(":path", "/x")]) },
    ]

    /// What a field's bytes may not be, and what only looks like a field that is known.
    static let bytes: [Self] = [
        .field(116, "Content-Type", "a"), .field(116, "content\rtype", "a"),
        .field(116, "HOST", "localhost"), .field(116, "x-Request-id", "a"),
        .field(116, "x-requesT-id", "a"), .field(116, "\u{e4}", "a"), .field(116, "x\u{7f}", "a"),
        .field(116, "x:", "a"), .field(116, ":", "a"), .field(116, "x", "a\u{7f}"),
        .field(116, "x", " a"), .field(116, "x", "a\t"), .field(116, "x", "a\u{1}12345678"),
        .field(116, "x", "12345678\n"), .field(116, "content-type", "a\r"),
        .field(116, "x", "a\tb \u{e4}", .status(200)), .field(116, "x", "", .status(200)),
        .field(116, "x!#$%&'*+-.^`|~1", "a", .status(200)),
        .field(117, ":path", "/a b"), .field(117, ":path", "/a\u{7f}"),
        .field(117, ":path", " "), .field(118, ":method", ""), .field(118, ":method", "POST "),
        .field(118, ":method", "P\u{e4}"), .field(119, ":scheme", ""),
        .field(120, ":status", "200"), .field(120, ":Path", "/"), .field(120, ":protocol", "x"),
        .field(114, "te", "trailers, gzip"), .field(114, "te", ""),
        .field(114, "te", "trailers", .status(200)), .field(122, ":authority", ""),
        .field(122, ":authority", " "),
        Self(121, "host twice", .reset) {
            RawFrame.headers($0 + [("host", "localhost"), ("host", "localhost")])
        },
        Self(121, "host twice, no :authority", .reset) { fields in
            RawFrame.headers(
                fields.filter { $0.0 != ":authority" }
                    + [("host", "localhost"), ("host", "localhost")])
        },
        Self(121, "host alone", .status(200)) { fields in
            RawFrame.headers(fields.filter { $0.0 != ":authority" } + [("host", "localhost")])
        },
        Self(122, ":authority twice", .reset) {
            RawFrame.headers([(":authority", "localhost")] + $0)
        },
        Self(118, ":method twice", .reset) { RawFrame.headers([(":method", "POST")] + $0) },
        Self(119, ":scheme twice", .reset) { RawFrame.headers([(":scheme", "https")] + $0) },
        Self(75, "CONNECT", .status(405)) { fields in
            RawFrame.headers(
                [(":method", "CONNECT")]
                    + fields.filter { ![":method", ":path", ":scheme"].contains($0.0) })
        },
        .field(75, ":method", "CONNECT"),
        Self(116, "431 and then a field that is none", .reset) { fields in
            RawFrame.headers(
                fields + [("x", String(repeating: "a", count: 16_380)), ("connection", "close")])
        },
        Self(120, "431 and then a pseudo-field", .reset) { fields in
            RawFrame.headers(
                fields + [("x", String(repeating: "a", count: 16_380)), (":path", "/")])
        },
    ]

    /// Fields after the body, which must be some and the end.
    static func trailers(
        _ name: String, _ fields: [(String, String)], _ answer: Answer = .reset,
        length: String? = nil, endsStream: Bool = true
    ) -> Self {
        Self(124, "trailers: \(name)", answer) {
            RawFrame.headers(
                $0 + (length.map { [("content-length", $0)] } ?? []), endsStream: false)
                + RawFrame.data("abcd", endsStream: false)
                + RawFrame.headers(fields, endsStream: endsStream)
        }
    }

    static let trailers: [Self] = [
        .trailers("good", [("x", "y")], .status(200)),
        .trailers("none", [], .status(200), length: "4"),
        .trailers("not the end", [("x", "y")], endsStream: false),
        .trailers("too early", [("x", "y")], length: "5"),
        .trailers("too late", [("x", "y")], length: "3"),
        .trailers("pseudo-field", [(":path", "/")]), .trailers("status", [(":status", "200")]),
        .trailers("connection", [("connection", "close")]),
        .trailers("transfer-encoding", [("transfer-encoding", "chunked")]),
        .trailers("upper case", [("X", "y")]), .trailers("no name", [("", "y")]),
        .trailers("line end", [("x", "y\r\nz: a")]), .trailers("te", [("te", "gzip")]),
        .trailers("another length", [("content-length", "5")]),
    ]

    static let bodies: [Self] = [
        Self(111, "content-length 4 and two and two more bytes too many", .reset) {
            RawFrame.headers($0 + [("content-length", "4")], endsStream: false)
                + RawFrame.data("01", endsStream: false) + RawFrame.data("2345", endsStream: false)
                + RawFrame.data("", endsStream: true)
        },
        Self(111, "content-length 4 and 3 bytes", .reset) {
            RawFrame.headers($0 + [("content-length", "4")], endsStream: false)
                + RawFrame.data("012")
        },
        Self(111, "content-length 0 and 1 byte", .reset) {
            RawFrame.headers($0 + [("content-length", "0")], endsStream: false)
                + RawFrame.data("0")
        },
        Self(111, "content-length 4 and 4 bytes and none", .status(200)) {
            RawFrame.headers($0 + [("content-length", "4")], endsStream: false)
                + RawFrame.data("0123", endsStream: false) + RawFrame.data("")
        },
        Self(22, "one length twice", .reset) {
            RawFrame.headers($0 + [("content-length", "0"), ("content-length", "0")])
        },
        Self(26, "content-length of 2^64", .reset) { fields in
            RawFrame.headers(fields + [("content-length", "18446744073709551616")])
        },
        Self(26, "content-length +0", .reset) {
            RawFrame.headers($0 + [("content-length", "+0")])
        },
        Self(26, "content-length of nothing", .reset) {
            RawFrame.headers($0 + [("content-length", "")])
        },
        Self(26, "a list of lengths", .reset) {
            RawFrame.headers($0 + [("content-length", "0, 0")])
        },
        Self(111, "content-length 4 and 10 bytes", .reset) {
            RawFrame.headers($0 + [("content-length", "4")], endsStream: false)
                + RawFrame.data("0123456789")
        },
        Self(111, "content-length 4 and none", .reset) {
            RawFrame.headers($0 + [("content-length", "4")])
        },
        Self(26, "content-length -1", .reset) {
            RawFrame.headers($0 + [("content-length", "-1")])
        },
        Self(22, "two lengths", .reset) {
            RawFrame.headers($0 + [("content-length", "4"), ("content-length", "5")])
        },
        Self(34, "content-length of 10 GiB", .status(413)) {
            RawFrame.headers($0 + [("content-length", "10737418240")], endsStream: false)
        },
        Self(37, "GET with a body", .status(400)) { fields in
            RawFrame.headers(
                fields.map { $0.0 == ":method" ? ($0.0, "GET") : $0 }, endsStream: false)
                + RawFrame.data("abc")
        },
    ]

    static let frames: [Self] = [
        Self(129, "DATA after END_STREAM", .goAway([5, 1])) {
            RawFrame.headers($0) + RawFrame.data("x")
        },
        Self(129, "HEADERS after END_STREAM", .goAway([5, 1])) {
            RawFrame.headers($0) + RawFrame.headers($0)
        },
        Self(129, "DATA after RST_STREAM", .goAway([5])) {
            RawFrame.headers($0, endsStream: false) + RawFrame.reset(1) + RawFrame.data("x")
        },
        Self(129, "HEADERS after RST_STREAM", .goAway([5])) {
            RawFrame.headers($0, endsStream: false) + RawFrame.reset(1) + RawFrame.headers($0)
        },
        Self(129, "HEADERS on a number that was left out", .goAway([1])) {
            RawFrame.headers($0, stream: 5) + RawFrame.headers($0, stream: 3)
        },
        Self(132, "CONTINUATION nine times", .goAway([1, 11])) { fields in
            RawFrame.headers(fields, endsHeaders: false)
                + (0..<9).flatMap { _ in RawFrame(type: 9, stream: 1, payload: [0x88]).bytes }
        },
        Self(132, "a frame between HEADERS and CONTINUATION", .goAway([1])) {
            RawFrame.headers($0, endsHeaders: false) + RawFrame(type: 6, stream: 0).bytes
        },
        Self(142, "a frame of 16,385 bytes", .goAway([6])) { _ in
            RawFrame(type: 0, stream: 1, payload: [UInt8](repeating: 0, count: 16_385)).bytes
        },
        Self(142, "PING of seven bytes", .goAway([6])) { _ in
            RawFrame(type: 6, stream: 0, payload: [UInt8](repeating: 0, count: 7)).bytes
        },
        Self(142, "DATA on stream 0", .goAway([1])) { _ in RawFrame.data("x", stream: 0) },
        Self(142, "DATA on an idle stream", .goAway([1])) { _ in RawFrame.data("x", stream: 9) },
        Self(142, "an even stream", .goAway([1])) { RawFrame.headers($0, stream: 2) },
        Self(142, "PUSH_PROMISE", .goAway([1])) { _ in
            RawFrame(type: 5, flags: 4, stream: 1, payload: RawFrame.word(2) + [0x88]).bytes
        },
        Self(127, "WINDOW_UPDATE of nothing on a stream", .goAway([1])) {
            RawFrame.headers($0, endsStream: false) + RawFrame.windowUpdate(1, 0)
        },
        Self(142, "WINDOW_UPDATE of nothing", .goAway([1])) { _ in RawFrame.windowUpdate(0, 0) },
        Self(142, "a window of more than 2^31-1", .goAway([3])) { _ in
            RawFrame.windowUpdate(0, 0x7fff_ffff)
        },
        Self(141, "INITIAL_WINDOW_SIZE of 2^32-1", .goAway([3])) { _ in
            RawFrame.settings([(4, 0xffff_ffff)])
        },
        Self(142, "HPACK that is none", .goAway([9])) { _ in
            RawFrame(type: 1, flags: 5, stream: 1, payload: [0xff, 0xff, 0xff, 0xff]).bytes
        },
    ]
}
