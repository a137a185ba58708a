import HTTPTransport
import NIOCore
import Testing

/// One input and the status it must get.
struct RefusedRequest: CustomTestStringConvertible {
    let row: Int
    let bytes: [UInt8]
    let status: Int

    init(_ row: Int, _ text: String, _ status: Int = 400) {
        self.row = row
        self.bytes = Array(text.utf8)
        self.status = status
    }

    init(_ row: Int, bytes: [UInt8], _ status: Int = 400) {
        self.row = row
        self.bytes = bytes
        self.status = status
    }

    var testDescription: String {
        "row \(self.row): \(String(decoding: self.bytes.prefix(80), as: UTF8.self).debugDescription)"
    }

    /// A POST with these field lines behind Host, and this body.
    static func fields(_ row: Int, _ lines: String, body: String = "", _ status: Int = 400) -> Self
    {
        Self(row, "POST /score HTTP/1.1\r\nHost: h\r\n\(lines)\r\n\r\n\(body)", status)
    }

    /// A GET of this target.
    static func target(_ row: Int, _ target: String, _ status: Int = 400) -> Self {
        Self(row, "GET \(target) HTTP/1.1\r\nHost: h\r\n\r\n", status)
    }

    /// A POST with this chunked body.
    static func chunked(_ row: Int, _ body: String, _ status: Int = 400) -> Self {
        Self.fields(row, "Transfer-Encoding: chunked", body: body, status)
    }
}

@Suite("Requests that must be refused")
struct NegativeTableTests {
    @Test("gets its status at once", arguments: framing + chunks + lines + fields + limits)
    func refused(_ request: RefusedRequest) {
        #expect(RequestFeeder().feed(request.bytes) == .refused(request.status))
    }

    @Test(
        "gets the same status byte by byte", arguments: framing + chunks + lines + fields + limits)
    func refusedByteByByte(_ request: RefusedRequest) {
        let feeder = RequestFeeder(pieceBytes: 1)
        #expect(feeder.feed(request.bytes) == .refused(request.status))
    }

    @Test("cut short is waiting or refused, never accepted", arguments: framing + lines + fields)
    func cutShort(_ request: RefusedRequest) {
        for count in 0..<request.bytes.count {
            if case .complete = RequestFeeder().feed(Array(request.bytes.prefix(count))) {
                Issue.record("accepted \(count) bytes")
            }
        }
    }

    @Test("a body of 200,000 chunks of one byte is refused after 65,536 of them")
    func tinyChunks() {
        let body = String(repeating: "1\r\na\r\n", count: 200_000)
        let request = RefusedRequest.chunked(62, body)
        #expect(RequestFeeder().feed(request.bytes) == .refused(400))
        let fewer = RefusedRequest.chunked(
            62, String(repeating: "1\r\na\r\n", count: 65_535) + "0\r\n\r\n")
        guard case .complete = RequestFeeder().feed(fewer.bytes) else {
            Issue.record("refused what is within the budget")
            return
        }
    }
}

private let framing: [RefusedRequest] = [
    .fields(1, "Content-Length: 6\r\nTransfer-Encoding: chunked", body: "0\r\n\r\nG"),
    .fields(2, "Transfer-Encoding: chunked\r\nContent-Length: 4", body: "5c\r\nGPOST / HTTP/1.1"),
    .fields(4, "Transfer-Encoding: xchunked", 501),
    .fields(4, "Transfer-Encoding: gzip, chunked", 501),
    .fields(4, "Transfer-Encoding: identity", 501),
    .fields(6, "Transfer-Encoding: chunked, identity"),
    .fields(7, "Transfer-Encoding: chunked, chunked"),
    .fields(7, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
    .fields(7, "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
    .fields(9, "Transfer-Encoding: \u{0b}chunked"),
    .fields(11, "Transfer-Encoding: chunked\0"),
    .fields(12, "Transfer-Encoding : chunked"),
    .fields(12, "Transfer-Encoding\t: chunked"),
    RefusedRequest(14, "POST / HTTP/1.1\r\n Host: h\r\nHost: h\r\n\r\n"),
    .fields(14, "a: b\r\n folded"),
    .fields(14, "Transfer-Encoding:\r\n chunked"),
    .fields(16, "Transfer-Encoding:"),
    .fields(16, "Transfer-Encoding: ,"),
    .fields(16, "Transfer-Encoding: chunked,"),
    .fields(17, "Transfer-Encoding: chunked;q=1"),
    .fields(17, "Transfer-Encoding: \"chunked\""),
    RefusedRequest(19, "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    .fields(22, "Content-Length: 5\r\nContent-Length: 6", body: "hello"),
    .fields(22, "Content-Length: 5\r\nContent-Length: 5", body: "hello"),
    .fields(24, "Content-Length: 5, 5", body: "hello"),
    .fields(26, "Content-Length: -1"),
    .fields(26, "Content-Length: -0"),
    .fields(26, "Content-Length: +5", body: "hello"),
    .fields(27, "Content-Length: 0x5", body: "hello"),
    .fields(27, "Content-Length: 0o5", body: "hello"),
    .fields(27, "Content-Length: 5e0", body: "hello"),
    .fields(29, "Content-Length: 5 0", body: "hello"),
    .fields(29, "Content-Length:"),
    .fields(31, "Content-Length: 9223372036854775808"),
    .fields(31, "Content-Length: 18446744073709551621", body: "hello"),
    .fields(32, "Content-Length: 005", body: "hello"),
    .fields(32, "Content-Length: 00"),
    .fields(34, "Content-Length: 10737418240", 413),
    RefusedRequest(
        37, "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 43\r\n\r\nGET /admin HTTP/1.1\r\nX: "),
    RefusedRequest(
        37, "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    RefusedRequest(37, "HEAD / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na"),
    .fields(41, "Expect: 200-ok\r\nContent-Length: 1", 417),
    .fields(41, "Expect: 100-continue, x\r\nContent-Length: 1", 417),
]

private let chunks: [RefusedRequest] = [
    .chunked(46, "+5\r\nhello\r\n0\r\n\r\n"),
    .chunked(46, "-1\r\nhello\r\n0\r\n\r\n"),
    .chunked(46, "0x5\r\nhello\r\n0\r\n\r\n"),
    .chunked(47, "5_0\r\nhello\r\n0\r\n\r\n"),
    .chunked(47, " 5\r\nhello\r\n0\r\n\r\n"),
    .chunked(47, "5 \r\nhello\r\n0\r\n\r\n"),
    .chunked(47, "5\t\r\nhello\r\n0\r\n\r\n"),
    .chunked(47, "ffffffffffffffff\r\nhello"),
    .chunked(47, "00000000000000005\r\nhello\r\n0\r\n\r\n"),
    .chunked(47, "7fffffffffffffff\r\nhello", 413),
    .chunked(49, "\r\nhello\r\n0\r\n\r\n"),
    .chunked(49, ";a=b\r\nhello\r\n0\r\n\r\n"),
    .chunked(51, "5;\r\nhello\r\n0\r\n\r\n"),
    .chunked(51, "5;=b\r\nhello\r\n0\r\n\r\n"),
    .chunked(51, "5;a=\r\nhello\r\n0\r\n\r\n"),
    .chunked(51, "5;a;\r\nhello\r\n0\r\n\r\n"),
    .chunked(51, "5; a=b\r\nhello\r\n0\r\n\r\n"),
    .chunked(52, "5;\nhello\r\n0\r\n\r\n"),
    .chunked(52, "5;a\nhello\r\n0\r\n\r\n"),
    .chunked(54, "5\nhello\r\n0\r\n\r\n"),
    .chunked(54, "5\rhello\r\n0\r\n\r\n"),
    .chunked(56, "5\r\nhello\n0\r\n\r\n"),
    .chunked(56, "5\r\nhelloXX0\r\n\r\n"),
    .chunked(56, "5\r\nhello\rX0\r\n\r\n"),
    .chunked(56, "5\r\nhello6\r\n0\r\n\r\n"),
    .chunked(57, "5;a=\0\r\nhello\r\n0\r\n\r\n"),
    .chunked(57, "5;a=\u{1}\r\nhello\r\n0\r\n\r\n"),
    .chunked(57, "5;a=[\r\nhello\r\n0\r\n\r\n"),
    .chunked(57, "5;[=a\r\nhello\r\n0\r\n\r\n"),
    .chunked(59, "5;a=\"b\r\nhello\r\n0\r\n\r\n"),
    .chunked(59, "5;a=\"b\\\"\r\nhello\r\n0\r\n\r\n"),
    .chunked(59, "5;a=\"b\"c\r\nhello\r\n0\r\n\r\n"),
    .chunked(59, "5;a=b\"\r\nhello\r\n0\r\n\r\n"),
    .chunked(60, "5;a=\(String(repeating: "b", count: 260))\r\nhello\r\n0\r\n\r\n"),
    .chunked(
        60, String(repeating: "1;a=\(String(repeating: "b", count: 240))\r\nx\r\n", count: 18)),
    .chunked(61, "0\n\r\n"),
    .chunked(61, "0\r\n\n"),
    .chunked(61, "0\r\n\rX"),
    .chunked(63, "0\r\nContent-Length: 5\r\n\r\n"),
    .chunked(63, "0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    .chunked(63, "0\r\nHost: other\r\n\r\n"),
    .chunked(63, "0\r\nAuthorization: Bearer x\r\n\r\n"),
    .chunked(63, "0\r\na b: c\r\n\r\n"),
    .chunked(63, "0\r\n: c\r\n\r\n"),
    .chunked(63, "0\r\nname\r\n\r\n"),
    .chunked(63, "0\r\nX_Y: c\r\n\r\n"),
    .chunked(64, "0\r\na: \(String(repeating: "b", count: 9 * 1024))\r\n\r\n", 431),
    .chunked(64, "0\r\n\(String(repeating: "a: b\r\n", count: 101))\r\n", 431),
]

private let lines: [RefusedRequest] = [
    RefusedRequest(66, "GET / HTTP/1.1\nHost: h\r\n\r\n"),
    RefusedRequest(66, "GET / HTTP/1.1\r\nHost: h\n\r\n"),
    RefusedRequest(66, "GET / HTTP/1.1\r\nHost: h\r\n\n"),
    RefusedRequest(66, "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"),
    RefusedRequest(66, "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"),
    RefusedRequest(67, "GET / HTTP/1.1\rHost: h\r\r"),
    RefusedRequest(67, "GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n"),
    RefusedRequest(69, "GET /\r\n"),
    RefusedRequest(69, "GET / \r\n"),
    RefusedRequest(71, "GET / HTTP/01.1\r\nHost: h\r\n\r\n"),
    RefusedRequest(71, "GET / HTTP/1\r\nHost: h\r\n\r\n"),
    RefusedRequest(71, "GET / http/1.1\r\nHost: h\r\n\r\n"),
    RefusedRequest(71, "GET / HTTP /1.1\r\nHost: h\r\n\r\n"),
    RefusedRequest(71, "GET / HTTP/1.1x\r\nHost: h\r\n\r\n"),
    RefusedRequest(71, "GET / HTTP/1,1\r\nHost: h\r\n\r\n"),
    RefusedRequest(71, "GET / HTTPS/1.1\r\nHost: h\r\n\r\n"),
    RefusedRequest(71, "GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
    RefusedRequest(71, "GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505),
    RefusedRequest(71, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    RefusedRequest(72, "GET  / HTTP/1.1\r\nHost: h\r\n\r\n"),
    RefusedRequest(72, "GET /  HTTP/1.1\r\nHost: h\r\n\r\n"),
    RefusedRequest(72, "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n"),
    RefusedRequest(72, "GET /\tHTTP/1.1\r\nHost: h\r\n\r\n"),
    RefusedRequest(72, "GET / HTTP/1.1 \r\nHost: h\r\n\r\n"),
    RefusedRequest(72, " GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
    RefusedRequest(72, "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n"),
    RefusedRequest(74, "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", 405),
    RefusedRequest(74, "TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", 405),
    RefusedRequest(76, "FOO / HTTP/1.1\r\nHost: h\r\n\r\n", 501),
    RefusedRequest(76, "get / HTTP/1.1\r\nHost: h\r\n\r\n", 501),
    RefusedRequest(76, "PROPFINDS / HTTP/1.1\r\nHost: h\r\n\r\n", 501),
    RefusedRequest(76, "G@T / HTTP/1.1\r\nHost: h\r\n\r\n"),
    .target(79, "/%00"), .target(79, "/%0d%0a"), .target(79, "/%c0%af"), .target(79, "/%zz"),
    .target(79, "/%"), .target(79, "/%4"), .target(79, "/a?%zz"), .target(79, "/a?%00"),
    .target(79, "/%7f"), .target(79, "/%ed%a0%80"), .target(79, "/%ff"), .target(79, "/%c3"),
    .target(80, "/a%2fb"), .target(80, "/a%5Cb"), .target(80, "/a\\b"), .target(80, "/%2e/a"),
    .target(80, "/a/%2E%2e/b"), .target(80, "/a/.%2e"), .target(80, "/a\u{e9}"),
    .target(80, "/a#b"), .target(80, "/a?b#c"), .target(80, "/a\"b"), .target(80, "/a?b\\"),
    .target(81, "//score"), .target(81, "/a//b"), .target(81, "/a/..//b"),
    .target(82, "http://evil/"), .target(82, "http://h/"), .target(82, "https://evil/"),
    .target(82, "https://h:443/"), .target(82, "https://u@h/"), .target(82, "https://"),
    RefusedRequest(82, "GET http://evil/  HTTP/1.1\r\nHost: h\r\n\r\n"),
    .target(84, "*"), .target(84, ""), .target(84, "h:443"), .target(84, "score"),
    .target(84, "*/"), .target(84, "?a=b"),
    RefusedRequest(84, "OPTIONS */ HTTP/1.1\r\nHost: h\r\n\r\n"),
]

private let fields: [RefusedRequest] = [
    RefusedRequest(86, "GET / HTTP/1.1\r\n\r\n"),
    RefusedRequest(86, "GET / HTTP/1.1\r\nX-Host: h\r\n\r\n"),
    .fields(87, "Host: h"), .fields(87, "hOsT: other"),
    RefusedRequest(88, "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    RefusedRequest(88, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    RefusedRequest(88, "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n"),
    RefusedRequest(88, "GET / HTTP/1.1\r\nHost: h/x\r\n\r\n"),
    RefusedRequest(88, "GET / HTTP/1.1\r\nHost: h,i\r\n\r\n"),
    RefusedRequest(88, "GET / HTTP/1.1\r\nHost: h:\r\n\r\n"),
    RefusedRequest(88, "GET / HTTP/1.1\r\nHost: h:x\r\n\r\n"),
    RefusedRequest(88, "GET / HTTP/1.1\r\nHost: h:65536\r\n\r\n"),
    RefusedRequest(88, "GET / HTTP/1.1\r\nHost: h:443:1\r\n\r\n"),
    RefusedRequest(88, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    RefusedRequest(88, "GET / HTTP/1.1\r\nHost: []\r\n\r\n"),
    RefusedRequest(88, "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n"),
    RefusedRequest(88, "GET / HTTP/1.1\r\nHost: h\u{e9}\r\n\r\n"),
    .fields(91, ": x"), .fields(91, "na me: x"), .fields(91, "na\tme: x"),
    .fields(91, "\u{e9}: x"), .fields(91, "no colon"), .fields(91, "name"),
    .fields(91, "a(b: x"), .fields(91, "a@b: x"), .fields(91, "\"a\": x"),
    .fields(92, "a: b\0c"), .fields(92, "a: b\u{1}"), .fields(92, "a: b\u{1f}"),
    .fields(92, "a: b\u{7f}"), .fields(92, "a: b\rc"), .fields(92, "a: b\nc: d"),
    .fields(98, "Connection: host"), .fields(98, "Connection: close, Content-Length"),
    .fields(98, "Connection: transfer-encoding"), .fields(98, "Connection: AUTHORIZATION"),
    .fields(98, "Connection: x-scoregate-identity"), .fields(98, "Connection: a b"),
    .fields(98, "Connection: \"close\""),
    .fields(98, "Connection: \(String(repeating: "a,", count: 33))"),
    .fields(102, "X_GW_Endpoint: x"), .fields(102, "_: x"),
    .fields(104, "Content-Type: a/b\r\nContent-Type: a/b"),
]

private let limits: [RefusedRequest] = [
    .target(77, "/" + String(repeating: "a", count: 8192), 414),
    RefusedRequest(77, "GET /" + String(repeating: "a", count: 8300), 414),
    .fields(94, "a: " + String(repeating: "b", count: 17 * 1024), 431),
    .fields(
        94,
        (0..<5).map { "a\($0): " + String(repeating: "b", count: 13 * 1024) }
            .joined(separator: "\r\n"), 431),
    .fields(94, (0..<100).map { "a\($0): b" }.joined(separator: "\r\n"), 431),
    RefusedRequest(
        94, "GET / HTTP/1.1\r\nHost: h\r\na: " + String(repeating: "b", count: 17 * 1024), 431),
    RefusedRequest(
        94, "GET / HTTP/1.1\r\nHost: h\r\n" + String(repeating: "a", count: 17 * 1024), 431),
    .fields(106, "Authorization: Bearer " + String(repeating: "b", count: 20 * 1024), 431),
]
