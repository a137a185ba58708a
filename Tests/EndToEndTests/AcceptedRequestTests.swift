import Testing

@Suite("Requests that must be understood", .serialized, .stage())
struct AcceptedRequestTests {
    @Test("A chunked body arrives whole, whatever its pieces", arguments: ["chunked", "CHUNKED"])
    func chunked(_ coding: String) async throws {
        let stage = try Stage.current
        let client = try await stage.connect()
        await client.send(
            pieces: [
                stage.head("/chunked", "Transfer-Encoding: \(coding)\r\n"), "5;a=b;c=\"d\"\r\nhel",
                "lo\r\n0", "6\r\n world\r\n", "0\r\nX-Trailer: dropped\r\n\r\n",
            ].map { Array($0.utf8) })
        #expect(try await client.answer().text == #"{"received":11}"#)
        let request = try #require(stage.backend.requests.last)
        #expect(request.body == Array("hello world".utf8))
        #expect(request.values("transfer-encoding") == ["chunked"])
        #expect(request["content-length"] == nil)
        #expect(!request.head.contains(Array("x-trailer".utf8)))
    }

    @Test("A body is a body, even one that looks like a request")
    func bodyIsBody() async throws {
        let stage = try Stage.current
        let before = stage.backend.requests.count
        let body = "GET /admin HTTP/1.1\r\nHost: h\r\n\r\n"
        let answer = try await stage.exchange(stage.request(body: body))
        #expect(answer.text == #"{"received":\#(body.utf8.count)}"#)
        #expect(stage.backend.requests.count == before + 1)
        #expect(stage.backend.requests.last?.body == Array(body.utf8))
    }

    @Test("A client that waits is told to continue, then answered")
    func expectContinue() async throws {
        let stage = try Stage.current
        let client = try await stage.connect()
        await client.send(
            stage.head("/expect", "Expect: 100-continue\r\nContent-Length: 5\r\n"))
        #expect(await client.answers(1).map(\.status) == [100])
        await client.send("hello")
        #expect(await client.answers(2).map(\.status) == [100, 200])
        let request = try #require(stage.backend.requests.last)
        #expect(request["expect"] == nil)
        #expect(request.body == Array("hello".utf8))
    }

    @Test("A client that does not wait, with another request behind, gets both answers in order")
    func expectContinueWithoutWaiting() async throws {
        let stage = try Stage.current
        let client = try await stage.connect()
        await client.send(
            stage.head("/expect", "Expect: 100-continue\r\nContent-Length: 5\r\n") + "hello"
                + stage.request("GET", "/behind"))
        let answers = await client.answers(2).filter { $0.status != 100 }
        let all = answers.count == 2 ? answers : await client.answers(3).filter { $0.status != 100 }
        #expect(all.map(\.status) == [200, 200])
        #expect(all.map(\.text) == [#"{"received":5}"#, #"{"received":0}"#])
    }

    @Test("A client that waits with a wrong key is refused at once, and the connection ends")
    func expectContinueWithWrongKey() async throws {
        let stage = try Stage.current
        let before = stage.backend.byteCount
        let client = try await stage.connect()
        await client.send(
            """
            POST /score HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer wrong\r\n\
            Expect: 100-continue\r\nContent-Length: 5\r\n\r\n
            """)
        let bytes = try #require(await client.untilClosed())
        #expect(RawAnswer.parse(bytes, isEnded: true).map(\.status) == [401])
        #expect(stage.backend.byteCount == before)
    }

    @Test("Two requests in one record are answered in their order")
    func pipelining() async throws {
        let stage = try Stage.current
        let client = try await stage.connect()
        await client.send(stage.request(body: "a") + stage.request(body: "bcd"))
        let answers = await client.answers(2)
        #expect(answers.map(\.text) == [#"{"received":1}"#, #"{"received":3}"#])
        await client.send(stage.request(body: "ef"))
        #expect(await client.answers(3).count == 3)
    }

    @Test("Forty requests in one record are answered in their order")
    func deepPipelining() async throws {
        let stage = try Stage.current
        let client = try await stage.connect()
        await client.send(
            (0..<40).map { stage.request(body: String(repeating: "x", count: $0)) }.joined())
        let answers = await client.answers(40)
        #expect(answers.map(\.text) == (0..<40).map { #"{"received":\#($0)}"# })
    }

    @Test("A request cut into single bytes is understood")
    func singleBytes() async throws {
        let stage = try Stage.current
        let client = try await stage.connect()
        await client.send(pieces: stage.request(body: "hello").utf8.map { [$0] })
        #expect(try await client.answer().text == #"{"received":5}"#)
    }

    @Test("connection: close is heeded")
    func connectionClose() async throws {
        let stage = try Stage.current
        let client = try await stage.connect()
        await client.send(stage.request(lines: "Connection: close\r\n"))
        let bytes = try #require(await client.untilClosed())
        let answer = try #require(RawAnswer.parse(bytes, isEnded: true).first)
        #expect(answer.status == 200)
        #expect(answer["connection"] == "close")
        #expect(client.received.value.error == nil)
    }

    @Test("HTTP/1.0 ends with its answer, unless it asks to go on")
    func http10() async throws {
        let stage = try Stage.current
        let text = stage.request("GET").replacing("HTTP/1.1", with: "HTTP/1.0")
        let client = try await stage.connect()
        await client.send(text)
        let bytes = try #require(await client.untilClosed())
        #expect(RawAnswer.parse(bytes, isEnded: true).map(\.status) == [200])
        let other = try await stage.connect()
        let persistent = text.replacing("\r\n\r\n", with: "\r\nConnection: keep-alive\r\n\r\n")
        await other.send(persistent)
        #expect(try await other.answer()["connection"] == "keep-alive")
        await other.send(persistent)
        #expect(await other.answers(2).map(\.status) == [200, 200])
    }

    @Test("HTTP/1.0 without Host is forwarded with one: the address it came to")
    func http10WithoutHost() async throws {
        let stage = try Stage.current
        let answer = try await stage.exchange(
            "GET /score HTTP/1.0\r\nAuthorization: Bearer \(stage.key)\r\n\r\n", method: "GET")
        #expect(answer.status == 200)
        #expect(stage.backend.requests.last?.values("host") == ["127.0.0.1:\(stage.port)"])
    }

    @Test("A chunked answer reaches HTTP/1.0 without chunks, up to the connection's end")
    func http10Chunked() async throws {
        let stage = try Stage.current
        stage.backend.script(
            "/chunks10",
            [
                .receiveRequest,
                .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"),
                .send("2\r\nde\r\n0\r\n\r\n"),
            ])
        let client = try await stage.connect()
        await client.send(
            stage.request("GET", "/chunks10", lines: "Connection: keep-alive\r\n")
                .replacing("HTTP/1.1", with: "HTTP/1.0"))
        let bytes = try #require(await client.untilClosed())
        let answer = try #require(RawAnswer.parse(bytes, isEnded: true).first)
        #expect(answer["transfer-encoding"] == nil)
        #expect(answer.text == "abcde")
    }

    @Test("A chunked answer reaches HTTP/1.1 chunked, piece by piece")
    func chunkedAnswer() async throws {
        let stage = try Stage.current
        stage.backend.script(
            "/chunks",
            [
                .receiveRequest,
                .send(
                    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nX-Kept: 1\r\n\r\n3\r\nabc\r\n"
                ),
                .receive(1), .send("0\r\nX-Trailer: 1\r\n\r\n"),
            ])
        let answer = try await stage.exchange(stage.request("GET", "/chunks"))
        #expect(answer.text == "abc")
        #expect(answer["x-kept"] == "1")
        #expect(answer.values("transfer-encoding") == ["chunked"])
    }

    @Test("HEAD, 204 and 304 have no body, and the connection goes on")
    func bodiless() async throws {
        let stage = try Stage.current
        stage.backend.script(
            "/head",
            [.receiveRequest, .send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\nX-A: b\r\n\r\n")])
        stage.backend.script(
            "/204", [.receiveRequest, .send("HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n")])
        let client = try await stage.connect()
        await client.send(stage.request("HEAD", "/head"))
        await client.send(stage.request("GET", "/204"))
        await client.send(stage.request("GET", "/score"))
        let answers = await client.answers(3, methods: ["HEAD", "GET", "GET"])
        #expect(answers.map(\.status) == [200, 204, 200])
        try #require(answers.count == 3)
        #expect(answers[0]["content-length"] == "1000")
        #expect(answers[1]["content-length"] == nil)
        #expect(answers[1]["transfer-encoding"] == nil)
        #expect(answers[2].text == #"{"received":0}"#)
    }

    @Test("OPTIONS, PUT, PATCH and DELETE are forwarded as they are")
    func methods() async throws {
        let stage = try Stage.current
        for method in ["OPTIONS", "PUT", "PATCH", "DELETE"] {
            let answer = try await stage.exchange(
                stage.request(method, "/\(method)", lines: "Content-Length: 2\r\n", body: "ab"))
            #expect(answer.text == #"{"received":2}"#)
            #expect(stage.backend.requests.last?.method == method)
        }
    }

    @Test("Query and path reach the backend as they came, dot segments removed")
    func targets() async throws {
        let stage = try Stage.current
        for (sent, seen) in [
            ("/score?a=b&c=%20", "/score?a=b&c=%20"), ("/a/../b/./c?x=../y", "/b/c?x=../y"),
            ("/sc%6Fre", "/sc%6Fre"), ("https://localhost/abs?q", "/abs?q"), ("/..", "/"),
        ] {
            #expect(try await stage.exchange(stage.request("GET", sent)).status == 200)
            #expect(stage.backend.requests.last?.target == seen)
        }
    }

    @Test("A gzip body passes as it is, never inflated")
    func compressed() async throws {
        let stage = try Stage.current
        let body = [UInt8](repeating: 0x1f, count: 100_000)
        let client = try await stage.connect()
        await client.send(
            stage.head("/gzip", "Content-Encoding: gzip\r\nContent-Length: 100000\r\n"))
        await client.send(body)
        #expect(try await client.answer().text == #"{"received":100000}"#)
        #expect(stage.backend.requests.last?.body == body)
        #expect(stage.backend.requests.last?["content-encoding"] == "gzip")
    }
}

extension Stage {
    /// A POST's head without framing; `lines` end with CRLF each.
    func head(_ target: String, _ lines: String) -> String {
        "POST \(target) HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(self.key)\r\n"
            + lines + "\r\n"
    }
}
