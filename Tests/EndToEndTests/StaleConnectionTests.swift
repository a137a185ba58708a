import Testing

/// The tests of one stage do not run at once: each knows which connections are idle.
@Suite("Backend connections that went stale", .serialized, .stage())
struct StaleConnectionTests {
    private static let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n"

    @Test(
        "An idle connection the backend closed is noticed before it is used",
        arguments: ["GET", "POST"])
    func closedWhileIdle(_ method: String) async throws {
        let stage = try Stage.current
        stage.backend.script(
            "/then-close", [.receiveRequest, .send(Self.answer + "\r\nok"), .close])
        for _ in 0..<10 {
            #expect(try await stage.exchange(stage.request("GET", "/then-close")).status == 200)
            #expect(await BackendAnswerTests.isClosed(after: "/then-close", stage))
            #expect(
                try await stage.exchange(stage.request(method), method: method).status == 200)
        }
    }

    @Test("A backend that answers connection: close is not asked again on the same connection")
    func connectionClose() async throws {
        let stage = try Stage.current
        stage.backend.script(
            "/closing",
            [.receiveRequest, .send(Self.answer + "connection: close\r\n\r\nok"), .hang])
        for _ in 0..<5 {
            let answer = try await stage.exchange(stage.request("POST", "/closing"))
            #expect(answer.status == 200)
            // The client's connection is another matter.
            #expect(answer["connection"] == nil)
        }
        #expect(await BackendAnswerTests.isClosed(after: "/closing", stage))
    }

    @Test("A GET that a stale connection took with it is asked again, once")
    func repeatedGet() async throws {
        let stage = try Stage.current
        _ = try await stage.exchange(stage.request())
        // On a used connection: closes without a byte of an answer.
        stage.backend.script("/stale", [.receiveRequest, .close])
        let before = stage.backend.requests.count
        #expect(try await stage.exchange(stage.request("GET", "/stale")).status == 502)
        #expect(stage.backend.requests.count == before + 2)
    }

    @Test("A POST that a stale connection took with it is not asked again")
    func unrepeatedPost() async throws {
        let stage = try Stage.current
        _ = try await stage.exchange(stage.request())
        stage.backend.script("/stale", [.receiveRequest, .close])
        let before = stage.backend.requests.count
        #expect(try await stage.exchange(stage.request("POST", "/stale")).status == 502)
        #expect(stage.backend.requests.count == before + 1)
    }

    @Test("Connections are used again")
    func reuse() async throws {
        let stage = try Stage.current
        _ = try await stage.exchange(stage.request())
        let before = stage.backend.connections.value.count
        for _ in 0..<20 { _ = try await stage.exchange(stage.request()) }
        #expect(stage.backend.connections.value.count == before)
    }
}

@Suite(
    "A deployment that may run a model twice", .serialized,
    .stage(StageSetup(deploymentLines: "        retry_stale: true\n")))
struct RetryStaleTests {
    @Test("A POST that a stale connection took with it is asked again, once, with its body")
    func repeatedPost() async throws {
        let stage = try Stage.current
        _ = try await stage.exchange(stage.request())
        stage.backend.script("/stale", [.receiveRequest, .close])
        #expect(
            try await stage.exchange(stage.request("POST", "/stale", body: "hello")).status == 502)
        let requests = stage.backend.requests.filter { $0.path == "/stale" }
        #expect(requests.map(\.body) == [Array("hello".utf8), Array("hello".utf8)])
        try await stage.expectNextRequestWorks()
    }

    @Test("A POST whose body is too large to be held is not asked again")
    func largePost() async throws {
        let stage = try Stage.current
        _ = try await stage.exchange(stage.request())
        stage.backend.script("/stale-large", [.receiveRequest, .close])
        let body = String(repeating: "a", count: 100_000)
        #expect(
            try await stage.exchange(stage.request("POST", "/stale-large", body: body)).status
                == 502)
        #expect(stage.backend.requests.filter { $0.path == "/stale-large" }.count == 1)
    }
}
