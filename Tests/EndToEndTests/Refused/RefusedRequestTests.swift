import RefusedRequests
import Testing

@Suite("Requests that must be refused", .serialized, .stage())
struct RefusedRequestTests {
    @Test(
        "get their status and the connection's end; the backend hears nothing",
        arguments: RefusedRequest.all)
    func refused(_ request: RefusedRequest) async throws {
        let stage = try Stage.current
        let before = stage.backend.byteCount
        let client = try await stage.connect()
        await client.send(request.bytes(key: stage.key))
        let bytes = try #require(await client.untilClosed())
        let answers = RawAnswer.parse(bytes, isEnded: true)
        #expect(answers.map(\.status) == [request.status])
        #expect(answers.reduce(0) { $0 + $1.byteCount } == bytes.count)
        if let answer = answers.first { Self.expectOurs(answer) }
        try await stage.expectNextRequestWorks()
        #expect(stage.backend.byteCount - before == stage.backend.requests.last?.byteCount)
    }

    @Test(
        "are refused when the fault comes after the head was forwarded",
        arguments: RefusedRequest.chunks.filter { $0.bytes(key: "").count < 400 })
    func refusedLate(_ request: RefusedRequest) async throws {
        let stage = try Stage.current
        let before = stage.backend.connections.value.reduce(0) { $0 + $1.requests.count }
        let opened = stage.backend.byteCount
        let bytes = request.bytes(key: stage.key)
        let (_, bodyStart) = try #require(HeadLines.read(bytes[...]))
        let client = try await stage.connect()
        await client.send(Array(bytes[..<bodyStart]))
        #expect(
            await stage.backend.connections.wait { connections in
                connections.reduce(0) { $0 + $1.byteCount } > opened
            })
        await client.send(Array(bytes[bodyStart...]))
        let answer = try #require(await client.untilClosed())
        #expect(RawAnswer.parse(answer, isEnded: true).map(\.status) == [request.status])
        try await stage.expectNextRequestWorks()
        // The one begun never became whole.
        let after = stage.backend.connections.value.reduce(0) { $0 + $1.requests.count }
        #expect(after == before + 1)
    }

    @Test("A refused request takes the one behind it in the same record with it")
    func pipelinedBehindRefused() async throws {
        let stage = try Stage.current
        let before = stage.backend.byteCount
        let client = try await stage.connect()
        await client.send(
            "POST /score HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n" + stage.request())
        let bytes = try #require(await client.untilClosed())
        #expect(RawAnswer.parse(bytes, isEnded: true).map(\.status) == [400])
        try await stage.expectNextRequestWorks()
        #expect(stage.backend.byteCount - before == stage.backend.requests.last?.byteCount)
    }

    @Test("What follows a request without a body is the next request, good or bad")
    func bytesBehindEmptyBody() async throws {
        let stage = try Stage.current
        let client = try await stage.connect()
        await client.send(stage.request() + "X" + stage.request("GET"))
        let bytes = try #require(await client.untilClosed())
        #expect(RawAnswer.parse(bytes, isEnded: true).map(\.status) == [200, 501])
        try await stage.expectNextRequestWorks()
    }

    @Test("200,000 chunks of one byte are refused once they are too many")
    func tinyChunks() async throws {
        let stage = try Stage.current
        let client = try await stage.connect()
        await client.send(
            "POST /tiny HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer \(stage.key)\r\n"
                + "Transfer-Encoding: chunked\r\n\r\n")
        client.post(Array(String(repeating: "1\r\na\r\n", count: 200_000).utf8))
        let bytes = try #require(await client.untilClosed())
        #expect(RawAnswer.parse(bytes, isEnded: true).map(\.status) == [400])
        #expect(!stage.backend.requests.contains { $0.path == "/tiny" })
        try await stage.expectNextRequestWorks()
    }

    @Test(
        "Other protocols on a connection for HTTP/1.1 get no answer of theirs",
        arguments: [
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0", "\u{16}\u{3}\u{1}",
            "\0\0\0\0",
        ])
    func otherProtocols(_ text: String) async throws {
        let stage = try Stage.current
        let before = stage.backend.byteCount
        let client = try await stage.connect()
        await client.send(text + "\r\n\r\n")
        let bytes = try #require(await client.untilClosed())
        let answers = RawAnswer.parse(bytes, isEnded: true)
        #expect(answers.allSatisfy { $0.status == 400 || $0.status == 505 })
        try await stage.expectNextRequestWorks()
        #expect(stage.backend.byteCount - before == stage.backend.requests.last?.byteCount)
    }

    // Row 89. Each request of HTTP/1.1 names the host of its connection, whatever the certificate covers.
    @Test("Another host than that of SNI is misdirected")
    func misdirected() async throws {
        let stage = try Stage.current
        let before = stage.backend.byteCount
        for host in ["localhost", "other.example.com", "iris.example.com.evil", "127.0.0.1"] {
            let client = try await stage.connect(serverName: "iris.example.com")
            await client.send(stage.request("GET", host: host))
            #expect(try await client.answer(method: "GET").status == 421)
        }
        #expect(stage.backend.byteCount == before)
        let client = try await stage.connect(serverName: "iris.example.com")
        await client.send(stage.request("GET", host: "IRIS.example.com.:8443"))
        #expect(try await client.answer(method: "GET").status == 200)
    }

    /// The form of an answer of the gateway's own.
    private static func expectOurs(_ answer: RawAnswer) {
        #expect(answer["connection"] == "close")
        #expect(answer["cache-control"] == "no-store")
        #expect(answer["content-type"] == "application/json")
        #expect(answer["server"] == nil)
        #expect(answer.text.hasPrefix(#"{"error":{"code":""#))
        #expect(answer.body.count <= 256)
    }
}
