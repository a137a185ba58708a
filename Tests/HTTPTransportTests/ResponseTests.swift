import HTTPTransport
import NIOCore
import Testing

@Suite("Responses")
struct ResponseTests {
    /// Parses a response head, in pieces of so many bytes; nil while incomplete.
    private func parse(
        _ text: String, method: HTTPMethod = .post, pieceBytes: Int
    ) throws(HTTPError) -> MessageHead? {
        var parser = HTTP1ResponseParser(limits: .response)
        let head = MessageHead()
        var input = ByteBuffer()
        var rest = ByteBuffer(string: text)
        while let piece = rest.readSlice(length: min(pieceBytes, max(1, rest.readableBytes))) {
            input.writeImmutableBuffer(piece)
            if try parser.parse(&input, into: head, requestMethod: method) { return head }
        }
        return nil
    }

    @Test(
        "framing and persistence follow status, method and fields",
        arguments: [
            (200, "Content-Length: 5", HTTPMethod.post, BodyFraming.length(5), true),
            (200, "Content-Length: 0", .post, .none, true),
            (200, "Transfer-Encoding: chunked", .post, .chunked, true),
            (200, "X: y", .post, .untilClose, false),
            (200, "Connection: close\r\nContent-Length: 5", .post, .length(5), false),
            (200, "Content-Length: 5", .head, .none, true),
            (200, "Transfer-Encoding: chunked", .head, .none, true),
            (204, "X: y", .post, .none, true), (204, "Content-Length: 0", .post, .none, true),
            (304, "Content-Length: 5", .get, .none, true), (100, "X: y", .post, .none, true),
            (103, "Link: x", .post, .none, true), (404, "X: y", .head, .none, true),
        ])
    func framing(
        _ status: Int, _ line: String, _ method: HTTPMethod, _ framing: BodyFraming,
        _ keepAlive: Bool
    ) throws {
        let text = "HTTP/1.1 \(status) Some Reason\r\n\(line)\r\n\r\n"
        for pieceBytes in [1, 7, 1000] {
            let head = try #require(try self.parse(text, method: method, pieceBytes: pieceBytes))
            #expect(head.status == status)
            #expect(head.framing == framing)
            #expect(head.keepAlive == keepAlive)
            #expect(head.string(head.reasonRange) == "Some Reason")
        }
    }

    @Test("HTTP/1.0 closes unless it says keep-alive")
    func http10() throws {
        let text = "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n"
        let plain = try #require(try self.parse("\(text)\r\n", pieceBytes: 1000))
        #expect(plain.version == .http10)
        #expect(!plain.keepAlive)
        let kept = try #require(
            try self.parse("\(text)Connection: keep-alive\r\n\r\n", pieceBytes: 1000))
        #expect(kept.keepAlive)
    }

    @Test("a reason may be missing, empty or not ASCII", arguments: ["", " ", " \u{e9}\tb"])
    func reasons(_ reason: String) throws {
        let head = try #require(
            try self.parse("HTTP/1.1 204\(reason)\r\nX_Y: z\r\n\r\n", pieceBytes: 1))
        #expect(head.status == 204)
    }

    @Test(
        "a response with two readings is refused",
        arguments: [
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\n",
            "HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
            "HTTP/1.1 200 OK\nA: b\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 600 OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n", "HTTP/1.1 -20 OK\r\n\r\n",
            "http/1.1 200 OK\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n", "ICY 200 OK and more\r\n\r\n",
            "\r\nHTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\u{1}\r\n\r\n",
            "HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: \(String(repeating: "b", count: 65 * 1024))\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\(String(repeating: "a: b\r\n", count: 101))\r\n",
            "HTTP/1.1 200 \(String(repeating: "a", count: 9000))",
        ])
    func refused(_ text: String) {
        for pieceBytes in [1, 1_000_000] {
            #expect(throws: HTTPError.self) { try self.parse(text, pieceBytes: pieceBytes) }
        }
    }

    @Test("a head that stops early is waited for")
    func incomplete() throws {
        #expect(try self.parse("HTTP/1.1 200 OK\r\nA: b\r\n", pieceBytes: 3) == nil)
    }
}
