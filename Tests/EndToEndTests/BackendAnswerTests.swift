import NIOCore
import Testing

@Suite(
    "Backends that break HTTP", .serialized,
    .stage(StageSetup(requestTimeoutMilliseconds: 5000)))
struct BackendAnswerTests {
    /// An answer that no client may see anything of.
    struct BadAnswer: CustomTestStringConvertible, Sendable {
        let row: Int
        let text: String

        init(_ row: Int, _ text: String) {
            self.row = row
            self.text = text
        }

        var testDescription: String { "row \(self.row): \(self.text.prefix(90).debugDescription)" }
    }

    private static let ok = "HTTP/1.1 200 OK\r\n"

    @Test(
        "are answered for with 502, and their connection is not used again",
        arguments: [
            BadAnswer(151, ok + "a: b\u{0}c\r\ncontent-length: 0\r\n\r\n"),
            BadAnswer(151, ok + "a: b\rc\r\ncontent-length: 0\r\n\r\n"),
            BadAnswer(151, ok + "a: b\nc: d\r\ncontent-length: 0\r\n\r\n"),
            BadAnswer(151, ok + "a: b\u{1}\r\ncontent-length: 0\r\n\r\n"),
            BadAnswer(151, ok + "a b: c\r\ncontent-length: 0\r\n\r\n"),
            BadAnswer(151, ok + "a : c\r\ncontent-length: 0\r\n\r\n"),
            BadAnswer(151, ok + "a: b\r\n folded\r\ncontent-length: 0\r\n\r\n"),
            BadAnswer(151, ok + ": b\r\ncontent-length: 0\r\n\r\n"),
            BadAnswer(151, ok + "no colon\r\ncontent-length: 0\r\n\r\n"),
            BadAnswer(
                152, ok + "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
            BadAnswer(152, ok + "content-length: 5\r\ncontent-length: 6\r\n\r\nhello!"),
            BadAnswer(152, ok + "content-length: 5, 5\r\n\r\nhello"),
            BadAnswer(152, ok + "content-length: -1\r\n\r\n"),
            BadAnswer(152, ok + "content-length: 0x5\r\n\r\nhello"),
            BadAnswer(152, ok + "content-length: +5\r\n\r\nhello"),
            BadAnswer(152, ok + "transfer-encoding: gzip\r\n\r\n"),
            BadAnswer(152, ok + "transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
            BadAnswer(152, ok + "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n"),
            BadAnswer(152, "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
            BadAnswer(153, "HTTP/2.0 200 OK\r\n\r\n"),
            BadAnswer(153, "HTTP/1.1 099 Low\r\ncontent-length: 0\r\n\r\n"),
            BadAnswer(153, "HTTP/1.1 20 Short\r\ncontent-length: 0\r\n\r\n"),
            BadAnswer(153, "HTTP/1.1 2000 Long\r\ncontent-length: 0\r\n\r\n"),
            BadAnswer(153, "HTTP/1.1  200 OK\r\ncontent-length: 0\r\n\r\n"),
            BadAnswer(153, "HTTP/1.1 200 O\u{0}K\r\ncontent-length: 0\r\n\r\n"),
            BadAnswer(153, "HTTP/1.1 200 OK\ncontent-length: 0\n\n"),
            BadAnswer(153, "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"),
            BadAnswer(153, "SSH-2.0-OpenSSH_9.2\r\n"),
            BadAnswer(153, "hello"),
            BadAnswer(156, ok + "a: " + String(repeating: "b", count: 17 * 1024) + "\r\n\r\n"),
            BadAnswer(
                156,
                ok
                    + (0..<5).map { "a\($0): \(String(repeating: "b", count: 13 * 1024))\r\n" }
                    .joined() + "\r\n"),
            BadAnswer(156, ok + String(repeating: "a: b\r\n", count: 101) + "\r\n"),
        ])
    func badAnswer(_ bad: BadAnswer) async throws {
        let stage = try Stage.current
        stage.backend.script("/bad", [.receiveRequest, .send(bad.text), .receive(.max)])
        if bad.text == "hello" {
            stage.backend.script("/bad", [.receiveRequest, .send(bad.text), .close])
        }
        let answer = try await stage.exchange(stage.request("GET", "/bad"))
        #expect(answer.status == 502)
        #expect(answer.text.hasPrefix(#"{"error":{"code":"bad_gateway""#))
        #expect(await Self.isClosed(after: "/bad", stage))
        try await stage.expectNextRequestWorks()
    }

    @Test(
        "after their head end the client's connection too, without the answer's end",
        arguments: [
            "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
            "transfer-encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
            "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n-1\r\n",
            "transfer-encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
        ])
    func badChunk(_ text: String) async throws {
        let stage = try Stage.current
        stage.backend.script("/chunk", [.receiveRequest, .send(Self.ok + text), .receive(.max)])
        let client = try await stage.connect()
        await client.send(stage.request("GET", "/chunk"))
        let bytes = try #require(await client.untilClosed())
        // Either nothing of the head had left yet, or the body has no end.
        let answers = RawAnswer.parse(bytes, isEnded: true)
        #expect(answers.allSatisfy { $0.status == 502 })
        #expect(await Self.isClosed(after: "/chunk", stage))
        try await stage.expectNextRequestWorks()
    }

    @Test("have trailers: they pass over HTTP/2, and those of an answer's framing never")
    func trailers() async throws {
        let stage = try Stage.current
        let body = "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
        stage.backend.script(
            "/trailers",
            [.receiveRequest, .send(Self.ok + body + "x_sum: 1\r\nContent-Type: a/b\r\n\r\n")])
        let answer = try await stage.exchange(stage.request("GET", "/trailers"), method: "GET")
        #expect(answer.status == 200 && answer.text == "hello")
        let client = try await stage.connectHTTP2()
        await client.send(RawFrame.headers(stage.fields("GET", "/trailers")))
        // END_STREAM (RFC 9113, 6.2) on the second HEADERS.
        let frames = await client.frames { $0.contains { $0.type == 1 && $0.flags & 1 != 0 } }
        #expect(frames.filter { $0.type == 1 }.count == 2)
        #expect(frames.filter { $0.type == 0 }.flatMap(\.payload) == Array("hello".utf8))
        stage.backend.script(
            "/framing",
            [.receiveRequest, .send(Self.ok + body + "content-length: 5\r\n\r\n"), .receive(.max)])
        let other = try await stage.connect()
        await other.send(stage.request("GET", "/framing"))
        let bytes = try #require(await other.untilClosed())
        #expect(RawAnswer.parse(bytes, isEnded: true).allSatisfy { $0.status == 502 })
        try await stage.expectNextRequestWorks()
    }

    @Test(
        "that cut their answer short are not made whole",
        arguments: [
            ("content-length: 10\r\n\r\nhello", RecordingBackend.Step.close),
            ("content-length: 10\r\n\r\nhello", .cut),
            ("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", .close),
            ("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", .cut),
            ("transfer-encoding: chunked\r\n\r\n5\r\nhel", .close),
            // Without close_notify an end that is the connection's is none.
            ("\r\nhello", .cut),
        ])
    func truncated(_ text: String, _ end: RecordingBackend.Step) async throws {
        let stage = try Stage.current
        stage.backend.script(
            "/cut", [.receiveRequest, .send(Self.ok + "x-head: 1\r\n" + text), end])
        let client = try await stage.connect()
        await client.send(stage.request("GET", "/cut"))
        await client.received.wait { $0.isClosed || $0.isInputClosed }
        let received = client.received.value
        let answers = RawAnswer.parse(received.bytes, isEnded: false)
        #expect(answers.allSatisfy { $0.status == 502 })
        if answers.isEmpty { #expect(received.isClosed || received.isInputClosed) }
        try await stage.expectNextRequestWorks()
    }

    @Test("that cut their answer short are not made whole for HTTP/1.0, whose end is close_notify")
    func truncatedHTTP10() async throws {
        let stage = try Stage.current
        let part = "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"
        stage.backend.script(
            "/cut10", [.send(Self.ok + part), .receiveRequest, .cut])
        let client = try await stage.connect()
        await client.send(
            stage.request("POST", "/cut10").replacing("HTTP/1.1", with: "HTTP/1.0")
                .replacing("Content-Length: 0", with: "Content-Length: 1"))
        // The byte that ends the request comes when the answer has begun.
        #expect(
            await client.received.wait {
                String(decoding: $0.bytes, as: UTF8.self).hasSuffix("hello")
            })
        await client.send("x")
        #expect(await client.received.wait { $0.isClosed })
        let received = client.received.value
        // Cut by FIN or by reset: either way not by close_notify.
        #expect(!received.isInputClosed)
        #expect(received.error != nil)
        try await stage.expectNextRequestWorks()
    }

    @Test("An answer that ends with close_notify is whole")
    func untilClose() async throws {
        let stage = try Stage.current
        stage.backend.script("/eof", [.receiveRequest, .send(Self.ok + "\r\nhello"), .close])
        let answer = try await stage.exchange(stage.request("GET", "/eof"))
        #expect(answer.status == 200)
        #expect(answer.text == "hello")
        #expect(answer["transfer-encoding"] == "chunked")
    }

    @Test("that close before a byte of an answer are answered for with 502, POSTs not repeated")
    func closedBeforeAnswer() async throws {
        let stage = try Stage.current
        for (path, step) in [("/gone", RecordingBackend.Step.close), ("/gone-cut", .cut)] {
            stage.backend.script(path, [.receiveRequest, step])
            #expect(try await stage.exchange(stage.request("POST", path)).status == 502)
            #expect(stage.backend.requests.filter { $0.path == path }.count == 1)
        }
        try await stage.expectNextRequestWorks()
    }

    @Test(
        "An answer that hangs is given up in time",
        arguments: ["", "HTTP/1.1 200 OK\r\na: b\r\n"])
    func hang(_ begun: String) async throws {
        let stage = try Stage.current
        stage.backend.script("/hang", [.receiveRequest, .send(begun), .receive(.max)])
        let answer = try await stage.exchange(stage.request("GET", "/hang"))
        #expect(answer.status == 408)
        #expect(answer["ms-azureml-model-error-reason"] == "request_timeout")
        #expect(await Self.isClosed(after: "/hang", stage))
        try await stage.expectNextRequestWorks()
    }

    @Test("1xx answers are ours to take, the one after them is the client's")
    func informational() async throws {
        let stage = try Stage.current
        stage.backend.script(
            "/1xx",
            [
                .receiveRequest,
                .send(
                    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
                        + Self.ok + "content-length: 2\r\n\r\nok"),
            ])
        let client = try await stage.connect()
        await client.send(stage.request("GET", "/1xx"))
        #expect(await client.answers(1).map(\.status) == [200])
    }

    @Test("An answer before the request's end is delivered, and the backend let go")
    func earlyAnswer() async throws {
        let stage = try Stage.current
        stage.backend.script(
            "/early",
            [.receive(200), .send(Self.ok + "content-length: 5\r\n\r\nearly"), .receive(.max)])
        let client = try await stage.connect()
        await client.send(stage.head("/early", "Content-Length: 1000000\r\n"))
        await client.send([UInt8](repeating: 0x61, count: 1000))
        let bytes = try #require(await client.untilClosed())
        let answer = try #require(RawAnswer.parse(bytes, isEnded: true).first)
        #expect(answer.status == 200)
        #expect(answer.text == "early")
        #expect(answer["connection"] == "close")
        #expect(await Self.isClosed(after: "/early", stage))
        try await stage.expectNextRequestWorks()
    }

    @Test("Bytes behind an answer make its connection useless, and reach nobody")
    func bytesBehindAnswer() async throws {
        let stage = try Stage.current
        stage.backend.script(
            "/behind",
            [
                .receiveRequest,
                .send(
                    Self.ok + "content-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n"
                        + "content-length: 4\r\n\r\nevil"), .receive(.max),
            ])
        let client = try await stage.connect()
        await client.send(stage.request("GET", "/behind") + stage.request("GET", "/score"))
        #expect(await client.answers(2).map(\.text) == ["ok", #"{"received":0}"#])
        #expect(await Self.isClosed(after: "/behind", stage))
    }

    @Test("A client that goes away takes its backend request with it")
    func clientGone() async throws {
        let stage = try Stage.current
        for path in ["/left-close", "/left-cut"] {
            stage.backend.script(path, [.receiveRequest, .receive(.max)])
            let client = try await stage.connect()
            await client.send(stage.request("POST", path, body: "hello"))
            _ = await stage.backend.requests(path: path)
            if path == "/left-cut" { await client.cut() } else { await client.close() }
            #expect(await Self.isClosed(after: path, stage))
            #expect(try await Self.isLeft(path, stage))
        }
        try await stage.expectNextRequestWorks()
    }

    @Test("A client that goes away in the middle of its body takes the backend request with it")
    func clientGoneInBody() async throws {
        let stage = try Stage.current
        let before = stage.backend.connections.value.reduce(0) { $0 + $1.byteCount }
        let client = try await stage.connect()
        await client.send(stage.head("/half", "Content-Length: 1000\r\n") + "half")
        await stage.backend.connections.wait { $0.reduce(0) { $0 + $1.byteCount } > before }
        await client.close()
        #expect(
            await stage.backend.connections.wait { connections in
                connections.contains { connection in
                    connection.isClosed
                        && connection.bytes.containsText("POST /half HTTP/1.1\r\n")
                }
            })
        #expect(!stage.backend.requests.contains { $0.path == "/half" })
        #expect(try await Self.isLeft("/half", stage))
        try await stage.expectNextRequestWorks()
    }

    /// Whether the connection that carried a request of this path as its last is closed.
    static func isClosed(after path: String, _ stage: Stage) async -> Bool {
        await stage.backend.connections.wait { connections in
            connections.filter { $0.bytes.containsText(" \(path) HTTP/1.1\r\n") }
                .allSatisfy(\.isClosed)
        }
    }

    /// Whether the request ended because its client left, and not by its timeout.
    private static func isLeft(_ path: String, _ stage: Stage) async throws -> Bool {
        try await eventually {
            try await stage.accessLog(1).contains {
                $0.contains(#""Path":"\#(path)""#) && $0.contains(#""ResponseCode":499"#)
            }
        }
    }
}

extension [UInt8] {
    func containsText(_ text: String) -> Bool { self.contains(Array(text.utf8)) }
}
