import HTTPTransport
import NIOCore
import Testing

@Suite("Requests that are accepted")
struct RequestTests {
    /// Parses a request, expecting it to be complete, in one piece and byte by byte.
    private func head(_ text: String, body: String = "", rest: String = "") -> MessageHead {
        let pieces = MessageHead()
        #expect(
            RequestFeeder(pieceBytes: 1).feed(Array(text.utf8), into: pieces)
                == .complete(body: body, rest: rest))
        let head = MessageHead()
        #expect(
            RequestFeeder().feed(Array(text.utf8), into: head)
                == .complete(body: body, rest: rest))
        #expect(head.fields == pieces.fields)
        #expect(head.bytes == pieces.bytes)
        return head
    }

    @Test("a usual request is taken apart")
    func usual() {
        let head = self.head(
            "POST /score?a=b&c HTTP/1.1\r\nHost: iris.example.com:8443\r\n"
                + "Authorization: Bearer key\r\ncontent-TYPE:application/json  \r\n"
                + "Content-Length: 5\r\nX-Empty:\r\n\r\nhelloGET",
            body: "hello", rest: "GET")
        #expect(head.method == .post)
        #expect(head.version == .http11)
        #expect(head.string(head.targetRange) == "/score?a=b&c")
        #expect(head.string(head.pathRange) == "/score")
        #expect(head.queryRange.map(head.string) == "a=b&c")
        #expect(head.framing == .length(5))
        #expect(head.keepAlive)
        #expect(!head.expectsContinue)
        #expect(
            head.fields.map(\.name)
                == [.host, .authorization, .contentType, .contentLength, .other])
        #expect(head.fields.map(\.isCanonical) == [true, true, false, true, false])
        #expect(head.firstValue(of: .contentType) == "application/json")
        #expect(head.string(head.fields[4].valueRange) == "")
        #expect(head.index(ofName: "x-empty") == 4)
        #expect(head.index(ofName: "x-empt") == nil)
        #expect(head.count(of: .host) == 1)
        #expect(head.firstValue(of: .via) == nil)
    }

    @Test(
        "framing is what the fields say",
        arguments: [
            ("Transfer-Encoding: CHUNKED", "5\r\nhello\r\n0\r\n\r\n", BodyFraming.chunked, "hello"),
            ("Content-Length: 0", "", .none, ""),
            ("X: y", "", .none, ""),
            (
                "Content-Length: 38", "GET /admin HTTP/1.1\r\nHost: localhost\r\n", .length(38),
                "GET /admin HTTP/1.1\r\nHost: localhost\r\n"
            ),
        ])
    func framing(_ line: String, _ sent: String, _ framing: BodyFraming, _ body: String) {
        let head = self.head(
            "POST / HTTP/1.1\r\nHost: h\r\n\(line)\r\n\r\n\(sent)NEXT", body: body, rest: "NEXT")
        #expect(head.framing == framing)
    }

    @Test(
        "the connection lives on as version and Connection say",
        arguments: [
            ("HTTP/1.1", "X: y", true), ("HTTP/1.1", "Connection: close", false),
            ("HTTP/1.1", "Connection: foo,, CLOSE ,", false),
            ("HTTP/1.1", "Connection: keep-alive", true), ("HTTP/1.0", "X: y", false),
            ("HTTP/1.0", "Connection: Keep-Alive", true),
            ("HTTP/1.0", "Connection: keep-alive, close", false),
            ("HTTP/1.1", "Connection: closed", true),
        ])
    func keepAlive(_ version: String, _ line: String, _ keepAlive: Bool) {
        let head = self.head("GET / \(version)\r\nHost: h\r\n\(line)\r\n\r\n")
        #expect(head.keepAlive == keepAlive)
    }

    @Test("Expect counts where a body follows, in HTTP/1.1")
    func expectation() {
        let fields = "Host: h\r\nExpect: 100-Continue\r\nContent-Length:"
        #expect(self.head("PUT / HTTP/1.1\r\n\(fields) 1\r\n\r\nx", body: "x").expectsContinue)
        #expect(!self.head("PUT / HTTP/1.1\r\n\(fields) 0\r\n\r\n").expectsContinue)
        #expect(!self.head("PUT / HTTP/1.0\r\n\(fields) 1\r\n\r\nx", body: "x").expectsContinue)
    }

    @Test("fields named by Connection are marked")
    func nominated() {
        let head = self.head(
            "GET / HTTP/1.1\r\nFoo: 1\r\nHost: h\r\nConnection: foo , X-B\r\nfoobar: 2\r\n"
                + "x-b: 3\r\nFOO: 4\r\n\r\n")
        #expect(
            head.fields.map(\.isHopByHop) == [true, false, false, false, true, true])
    }

    @Test("one empty line may stand before a request")
    func emptyLine() {
        _ = self.head("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")
    }

    @Test(
        "every method is known",
        arguments: [
            ("GET", HTTPMethod.get), ("HEAD", .head), ("POST", .post), ("PUT", .put),
            ("DELETE", .delete), ("OPTIONS", .options), ("PATCH", .patch),
        ])
    func methods(_ name: String, _ method: HTTPMethod) {
        #expect(self.head("\(name) / HTTP/1.1\r\nHost: h\r\n\r\n").method == method)
    }

    @Test(
        "a host may be a name, an address, with a port",
        arguments: [
            "h", "a.b-c_d.example", "10.0.0.1:80", "[::1]", "[2001:db8::1.2.3.4]:65535", "h.:1",
        ])
    func hosts(_ host: String) {
        #expect(
            self.head("GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n").firstValue(of: .host) == host)
    }

    @Test("HTTP/1.0 needs no Host")
    func noHost() {
        #expect(self.head("GET / HTTP/1.0\r\n\r\n").version == .http10)
    }

    @Test(
        "targets are normalised and split",
        arguments: [
            ("/", "/", nil), ("/a/b", "/a/b", nil), ("/a/", "/a/", nil), ("/a?", "/a", ""),
            ("/a?b?c/../d", "/a", "b?c/../d"), ("/a/./b", "/a/b", nil), ("/a/../b", "/b", nil),
            ("/..", "/", nil), ("/../a", "/a", nil), ("/a/b/..", "/a/", nil),
            ("/a/b/../..?q", "/", "q"), ("/a/.", "/a/", nil), ("/./a", "/a", nil),
            ("/a/.b/..c/...", "/a/.b/..c/...", nil), ("/score;x=1", "/score;x=1", nil),
            ("/SCORE", "/SCORE", nil), ("/a%20b", "/a%20b", nil), ("/%C3%A9", "/%C3%A9", nil),
            ("/a%2eb", "/a%2eb", nil), ("/a/../b%2e/./c?%2f", "/b%2e/c", "%2f"),
            ("/a?x=[1]|{2}&y=%0a", "/a", "x=[1]|{2}&y=%0a"), ("https://H/a/../b?c", "/b", "c"),
            ("https://h", "/", nil), ("HTTPS://h?q", "/", "q"),
        ] as [(String, String, String?)])
    func targets(_ target: String, _ path: String, _ query: String?) {
        let head = self.head("GET \(target) HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(head.string(head.pathRange) == path)
        #expect(head.queryRange.map(head.string) == query)
        #expect(head.string(head.targetRange) == target)
    }

    @Test("OPTIONS may ask of the server as a whole")
    func asterisk() {
        let head = self.head("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(head.string(head.pathRange) == "*")
    }

    @Test("what is at a limit is accepted")
    func limits() {
        let target = "/" + String(repeating: "a", count: 8192 - 14)
        _ = self.head("GET \(target) HTTP/1.1\r\nHost: h\r\n\r\n")
        let value = String(repeating: "b", count: 16384 - 5)
        _ = self.head("GET / HTTP/1.1\r\nHost: h\r\na: \(value)\r\n\r\n")
        let fields = String(repeating: "a: b\r\n", count: 99)
        _ = self.head("GET / HTTP/1.1\r\nHost: h\r\n\(fields)\r\n")
    }

    @Test("pipelined requests are parsed one after the other with one head")
    func pipelined() throws {
        var parser = HTTP1RequestParser(limits: HTTPLimits())
        let head = MessageHead()
        var input = ByteBuffer(
            string: "GET /1 HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\nGET /22 HTTP/1.1\r\nHost: i\r\n\r\n")
        #expect(try parser.parse(&input, into: head))
        #expect(head.string(head.pathRange) == "/1")
        head.reset()
        #expect(try parser.parse(&input, into: head))
        #expect(head.string(head.pathRange) == "/22")
        #expect(head.firstValue(of: .host) == "i")
        #expect(head.fields.count == 1)
        #expect(input.readableBytes == 0)
    }

    @Test("mutated requests never crash the parser", arguments: 0..<50)
    func mutated(_ seed: UInt64) {
        var random = SplitMix(state: seed)
        let original = Array(
            ("POST /a/../b%20c?d HTTP/1.1\r\nHost: h:1\r\nConnection: x, close\r\nX: y\r\n"
                + "Transfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\nT: u\r\n\r\n").utf8)
        for _ in 0..<40 {
            var bytes = original
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let index = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[index] = .random(in: 0...255, using: &random)
                case 1: bytes.remove(at: index)
                case 2: bytes.insert(bytes[index], at: index)
                default:
                    bytes.insert(
                        "\r\n:; /%.,"
                            .utf8.randomElement(using: &random) ?? 0, at: index)
                }
            }
            let whole = RequestFeeder().feed(bytes)
            if case .incomplete = whole { continue }
            #expect(RequestFeeder(pieceBytes: 1).feed(bytes) == whole)
        }
    }
}

/// A random generator with a seed (SplitMix64), so that a failure can be repeated.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state &+= 0x9e37_79b9_7f4a_7c15
        var z = self.state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
