import Testing

@Suite("Fields on their way to the backend", .serialized, .stage())
struct ForwardedFieldTests {
    @Test(
        "What a client could pass for somebody else with is gone",
        arguments: [
            "X-Forwarded-For: 10.0.0.1", "Forwarded: for=10.0.0.1", "X-Real-IP: 10.0.0.1",
            "X-Forwarded-Host: evil", "X-Forwarded-Proto: http", "X-Forwarded-Port: 1",
            "X-HTTP-Method-Override: DELETE", "X-HTTP-Method: DELETE", "X-Original-URL: /admin",
            "X-Rewrite-URL: /admin", "X-Original-Host: evil", "X-Client-IP: 10.0.0.1",
            "X-Client-Cert: evil", "X-SSL-Client-Verify: SUCCESS", "Via: 1.1 evil",
            "X-Scoregate-Endpoint: other", "X-Scoregate-Identity: evil",
            "Proxy-Authorization: Basic ZXZpbA==", "Proxy: evil", "Cookie: a=evil", "TE: gzip",
            "Trailer: evil", "Keep-Alive: timeout=5",
        ])
    func spoofable(_ line: String) async throws {
        let stage = try Stage.current
        let answer = try await stage.exchange(stage.request(lines: line + "\r\nX-Kept: kept\r\n"))
        #expect(answer.status == 200)
        let request = try #require(stage.backend.requests.last)
        #expect(request.path == "/score")
        #expect(request["x-kept"] == "kept")
        #expect(request.values("x-forwarded-for") == ["127.0.0.1"])
        #expect(request.values("x-forwarded-proto") == ["https"])
        let name = line.prefix { $0 != ":" }.lowercased()
        let isOurs = ["x-forwarded-for", "x-forwarded-proto"].contains(name)
        if !name.hasPrefix("x-forwarded-") || !isOurs {
            #expect(request[name] == nil)
        }
        let head = String(decoding: request.head, as: UTF8.self)
        #expect(!head.contains("evil"))
        #expect(!head.contains("10.0.0.1"))
        #expect(!head.contains("Bearer"))
    }

    @Test("Of two request ids backend, client and access log have the first")
    func requestIDs() async throws {
        let stage = try Stage.current
        let answer = try await stage.exchange(
            stage.request(lines: "X-Request-Id: first-id\r\nX-Request-Id: second-id\r\n"))
        #expect(answer.status == 200)
        #expect(answer.values("x-request-id") == ["first-id"])
        let request = try #require(stage.backend.requests.last)
        #expect(request.values("x-request-id") == ["first-id"])
        let id = #""XRequestId":"first-id""#
        let lines = try await stage.accessLog { $0.contains { $0.contains(id) } }
        #expect(lines.contains { $0.contains(id) })
        #expect(!lines.contains { $0.contains("second-id") })
    }

    @Test("The time that is left is the gateway's to say, not the client's")
    func timeLeft() async throws {
        let stage = try Stage.current
        let answer = try await stage.exchange(
            stage.request(lines: "X-Scoregate-Timeout-Ms: 86400000\r\n"))
        #expect(answer.status == 200)
        let request = try #require(stage.backend.requests.last)
        // The backend's identity is an agent's.
        let values = request.values("x-scoregate-timeout-ms")
        #expect(values.count == 1)
        let left = try #require(values.first.flatMap { Int($0) })
        #expect(1...StageSetup.plain.requestTimeoutMilliseconds ~= left)
    }

    @Test("What Connection names goes no further")
    func nominated() async throws {
        let stage = try Stage.current
        let answer = try await stage.exchange(
            stage.request(lines: "Connection: foo, Bar\r\nFoo: 1\r\nBAR: 2\r\nBaz: 3\r\n"))
        #expect(answer.status == 200)
        let request = try #require(stage.backend.requests.last)
        #expect(request["foo"] == nil)
        #expect(request["bar"] == nil)
        #expect(request["baz"] == "3")
        #expect(request["connection"] == nil)
    }

    @Test("An upgrade is not one: the request goes on as HTTP/1.1")
    func upgrade() async throws {
        let stage = try Stage.current
        let answer = try await stage.exchange(
            stage.request(
                lines:
                    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
            ))
        #expect(answer.status == 200)
        let request = try #require(stage.backend.requests.last)
        #expect(request["upgrade"] == nil)
        #expect(request["http2-settings"] == nil)
    }

    @Test("What the backend says of its own connection goes no further, nor what is ours to say")
    func responseFields() async throws {
        let stage = try Stage.current
        stage.backend.script(
            "/fields",
            [
                .receiveRequest,
                .send(
                    """
                    HTTP/1.1 200 OK\r\nServer: evil\r\nKeep-Alive: evil\r\n\
                    Connection: x-named\r\nX-Named: evil\r\nUpgrade: evil\r\n\
                    azureml-model-deployment: evil\r\nx-request-id: evil\r\n\
                    ms-azureml-model-error-reason: evil\r\nx-scoregate-reason: evil\r\n\
                    azureml-model-session: kept\r\nX-Ms-Run-Fn-Exec-Ms: 12\r\n\
                    content-length: 2\r\n\r\nok
                    """),
            ])
        let answer = try await stage.exchange(stage.request("GET", "/fields"))
        #expect(answer.status == 200)
        #expect(!answer.fields.contains { $0.value.contains("evil") })
        #expect(answer.values("azureml-model-deployment") == ["blue"])
        #expect(answer["azureml-model-session"] == "kept")
        #expect(answer["x-ms-run-fn-exec-ms"] == "12")
        #expect(answer["x-named"] == nil)
        #expect(answer.values("date").count == 1)
        #expect(answer.values("strict-transport-security").count == 1)
    }

    /// Rows of the table of request ids: what comes in and goes out, in the order x-request-id,
    /// x-ms-request-id, x-ms-client-request-id.
    ///
    /// "+" is a new one.
    @Test(
        "Request ids come back as the table says",
        arguments: [
            ("---", "++-"), ("A--", "AA-"), ("-B-", "+BB"), ("--C", "+CC"), ("AB-", "ABB"),
            ("-BC", "+BC"), ("A-C", "ACC"), ("ABC", "ABC"),
        ])
    func requestIDs(_ row: (sent: String, answered: String)) async throws {
        let stage = try Stage.current
        let names = ["x-request-id", "x-ms-request-id", "x-ms-client-request-id"]
        let lines = zip(names, row.sent).filter { $0.1 != "-" }
            .map { "\($0.0): id-\($0.1)\r\n" }.joined()
        let answer = try await stage.exchange(stage.request(lines: lines))
        let new = try #require(answer["x-request-id"])
        #expect(row.answered.first != "+" || new.count == 36)
        for (name, expected) in zip(names, row.answered) {
            let value =
                switch expected {
                case "-": [String]()
                case "+": [new]
                default: ["id-\(expected)"]
                }
            #expect(answer.values(name) == value)
        }
        // The backend knows the exchange by the same name.
        #expect(stage.backend.requests.last?.values("x-request-id") == [new])
    }

    @Test(
        "A request id over 100 characters is refused",
        arguments: ["x-request-id", "x-ms-request-id", "x-ms-client-request-id"])
    func longRequestID(_ name: String) async throws {
        let stage = try Stage.current
        let fits = stage.request(lines: "\(name): \(String(repeating: "a", count: 100))\r\n")
        #expect(try await stage.exchange(fits).status == 200)
        let answer = try await stage.exchange(
            stage.request(lines: "\(name): \(String(repeating: "a", count: 101))\r\n"))
        #expect(answer.status == 431)
        let what =
            name == "x-request-id"
            ? "x-request-id" : "x-ms-request-id and x-ms-client-request-id"
        #expect(answer.text == #"{"message":"\#(what) must not exceed 100 characters"}"#)
    }

    @Test("A request id that is refused leaves nothing of the request before it in the answer")
    func refusedAfterAnother() async throws {
        let stage = try Stage.current
        let client = try await stage.connect()
        let long = String(repeating: "a", count: 101)
        var count = 0
        for padding in [0, 5000, 60] {
            let pad = String(repeating: "p", count: padding)
            await client.send(
                "GET /score HTTP/1.1\r\nHost: localhost\r\nPad: \(pad)\r\nX-Request-Id: first\r\n\r\n"
            )
            let first = try #require(await client.answers(count + 1).last)
            #expect(first.status == 401 && first["x-request-id"] == "first")
            await client.send(
                "GET /score HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: \(long)\r\n\r\n")
            let second = try #require(await client.answers(count + 2).last)
            count += 2
            #expect(second.status == 431)
            #expect(second["x-request-id"]?.count == 36)
        }
        try await stage.expectNextRequestWorks()
    }
}
