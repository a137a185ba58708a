import HTTPTransport
import NIOCore
import Testing

@testable import Gateway

@Suite("Exchange", .timeLimit(.minutes(10)))
struct ExchangeTests {
    /// Runs `body` and stops the bench, whatever comes.
    private func with(
        _ bench: ExchangeBench, _ body: (ExchangeBench) async throws -> Void
    ) async throws {
        do {
            try await body(bench)
        } catch {
            await bench.stop()
            throw error
        }
        await bench.stop()
    }

    @Test(
        "a model's status is mapped as the endpoint's wire compatibility says",
        arguments: [
            (EndpointConfiguration.WireCompatibility.managed, 424, 408),
            (.kubernetes, 502, 504), (.transparent, 0, 504),
        ])
    func statuses(
        wire: EndpointConfiguration.WireCompatibility, model: Int, timeout: Int
    ) async throws {
        let backend = try await ScriptedBackend { _, _, text in
            if text.hasPrefix("GET /silent ") { return .nothing }
            if text.hasPrefix("GET /garbage ") { return .send("garbage\r\n\r\n") }
            let status = text.split(separator: " ")[1].dropFirst()
            return .send("HTTP/1.1 \(status) X\r\nContent-Length: 2\r\nA: b\r\n\r\nhi")
        }
        let bench = try await ExchangeBench([backend], wire: wire) {
            $0.endpoints[0].deployments[0].requestTimeoutMilliseconds = 2000
        }
        try await self.with(bench) { bench in
            for status in [200, 201, 302, 404, 429, 500, 503] {
                let answer = try await bench.ask(.get, "/\(status)")
                let isMapped = status >= 300 && model != 0
                #expect(answer.status == (isMapped ? model : status))
                #expect(answer.body == Array("hi".utf8))
                #expect(answer.value(of: "a") == "b")
                #expect(answer.value(of: "azureml-model-deployment") == "blue")
                #expect(
                    answer.value(of: "ms-azureml-model-error-statuscode")
                        == (isMapped ? "\(status)" : nil))
                #expect(
                    answer.value(of: "ms-azureml-model-error-reason")
                        == (isMapped ? "model_error" : nil))
            }
            #expect(try await bench.ask(.get, "/garbage").status == 502)
            let late = try await bench.ask(.get, "/silent")
            #expect(late.status == timeout)
            #expect(late.value(of: "ms-azureml-model-error-reason") == "request_timeout")
        }
    }

    @Test("a backend that cannot be reached is answered 503 with a reason")
    func unreachable() async throws {
        let port = try await ScriptedBackend.freePort()
        try await self.with(try await ExchangeBench([], extraPorts: [port])) { bench in
            let answer = try await bench.ask()
            #expect(answer.status == 503)
            #expect(answer.value(of: "ms-azureml-model-error-reason") == "model_not_ready")
            #expect(answer.value(of: "retry-after") != nil)
        }
    }

    @Test(
        "a request id is in the body of an answer of ours where it needs no escaping",
        arguments: [
            ("a/b:1==", #","request_id":"a/b:1==""#), (#"a","code":"ok"#, ""), (#"a\"#, ""),
            ("é", ""),
        ])
    func quotedID(_ id: String, _ member: String) async throws {
        let port = try await ScriptedBackend.freePort()
        try await self.with(try await ExchangeBench([], extraPorts: [port])) { bench in
            let answer = try await bench.ask(fields: [("x-request-id", id)])
            let body = String(decoding: answer.body, as: UTF8.self)
            #expect(body == #"{"error":{"code":"model_not_ready"\#(member)}}"#)
        }
    }

    @Test("another backend gets the request where one cannot be reached")
    func failover() async throws {
        let port = try await ScriptedBackend.freePort()
        let backend = try await ScriptedBackend { _, _, _ in .ok() }
        try await self.with(try await ExchangeBench([backend], extraPorts: [port])) { bench in
            for _ in 0..<4 {
                let answer = try await bench.ask(.post, body: Array("data".utf8))
                #expect(answer.status == 200)
            }
            #expect(backend.requests.count == 4)
            #expect(backend.requests.allSatisfy { $0.hasSuffix("\r\n\r\ndata") })
        }
    }

    @Test("every other backend is tried, also after a stale connection")
    func failoverToTheLast() async throws {
        var ports: [Int] = []
        for _ in 0..<4 { ports.append(try await ScriptedBackend.freePort()) }
        let backend = try await ScriptedBackend { _, _, _ in .ok() }
        try await self.with(try await ExchangeBench([backend], extraPorts: ports)) { bench in
            for _ in 0..<5 {
                let status = try await bench.ask().status
                #expect(status == 200)
            }
            #expect(backend.requests.count == 5)
        }
    }

    @Test(
        "a full pool is overload and no failure of its backend",
        arguments: [
            (EndpointConfiguration.WireCompatibility.managed, 429), (.kubernetes, 503),
            (.transparent, 429),
        ])
    func overload(wire: EndpointConfiguration.WireCompatibility, status: Int) async throws {
        let backend = try await ScriptedBackend { _, _, _ in .ok() }
        let bench = try await ExchangeBench([backend], wire: wire) {
            $0.endpoints[0].deployments[0].poolLimits.waiting = 0
        }
        try await self.with(bench) { bench in
            for _ in 0..<4 {
                let answer = try await bench.ask()
                #expect(answer.status == status)
                #expect(answer.body.isEmpty)
                #expect(answer.value(of: "content-type")?.hasPrefix("text/plain") == true)
                #expect(
                    answer.value(of: "ms-azureml-model-error-reason")
                        == "too_many_pending_request")
            }
            let metrics = try await bench.gateway.metrics()
            let healthy = metrics.split(separator: "\n").filter {
                $0.hasPrefix("gateway_backend_healthy{")
            }
            #expect(healthy.count == 1)
            #expect(healthy.allSatisfy { $0.hasSuffix(" 1") })
        }
    }

    @Test("a key whose grace ends takes what it let in with it")
    func graceEnds() async throws {
        let backend = try await ScriptedBackend { _, _, text in
            text.hasPrefix("GET /silent ") ? .nothing : .ok()
        }
        try await self.with(try await ExchangeBench([backend])) { bench in
            async let answer = bench.ask(.get, "/silent")
            while backend.requests.isEmpty { await Task.yield() }
            try bench.regenerate(graceMilliseconds: 1_500)
            #expect(try await bench.ask().status == 200)
            // Left alone, the silent backend's request would be answered 408.
            do {
                _ = try await answer
                Issue.record("answered")
            } catch is StreamError {}
            #expect(try await bench.ask().status == 401)
        }
    }

    @Test("nobody without a valid key reaches a backend")
    func unauthorised() async throws {
        let backend = try await ScriptedBackend { _, _, _ in .ok() }
        try await self.with(try await ExchangeBench([backend])) { bench in
            let key = bench.key
            let forged = String(key.dropLast()) + (key.last == "0" ? "1" : "0")
            for (authorization, body) in [
                (nil, "key_auth_bad_header_forbidden"),
                ("Basic \(key)", "key_auth_bad_header_forbidden"),
                ("Bearer", "key_auth_bad_header_forbidden"),
                ("Bearer a b", "key_auth_bad_header_forbidden"),
                ("Bearer \(forged)", "key_auth_access_denied"),
                ("Bearer x", "key_auth_access_denied"),
                ("Bearer sgk1p_\(String(repeating: "A", count: 60))", "key_auth_access_denied"),
            ] as [(String?, String)] {
                let answer = try await bench.ask(authorization: authorization)
                #expect(answer.status == 401, "\(authorization ?? "none")")
                #expect(String(decoding: answer.body, as: UTF8.self) == body)
                #expect(answer.value(of: "content-type")?.hasPrefix("text/plain") == true)
            }
            #expect(backend.requests.isEmpty)
            #expect(try await bench.ask().status == 200)
        }
    }

    @Test("a body over the limit is refused before the backend hears of it")
    func bodyLimit() async throws {
        let backend = try await ScriptedBackend { _, _, _ in .ok() }
        let bench = try await ExchangeBench([backend]) { $0.endpoints[0].bodyBytes = 4 }
        try await self.with(bench) { bench in
            let refused = try await bench.ask(.post, body: Array("12345".utf8))
            #expect(refused.status == 413)
            #expect(backend.requests.isEmpty)
            let answered = try await bench.ask(.post, body: Array("1234".utf8))
            #expect(answered.status == 200)
        }
    }

    @Test("what a client cannot say for itself does not reach the backend")
    func fields() async throws {
        let backend = try await ScriptedBackend { _, _, _ in .ok() }
        try await self.with(try await ExchangeBench([backend])) { bench in
            _ = try await bench.ask(
                fields: [
                    ("X-Forwarded-For", "10.0.0.1"), ("Cookie", "a=b"), ("X-Scoregate-A", "x"),
                    ("azureml-model-deployment", "blue"), ("Kept", "yes"),
                ])
            let request = try #require(backend.requests.first)
            let lines = request.split(separator: "\r\n").map { $0.lowercased() }
            #expect(lines.contains("kept: yes"))
            #expect(lines.contains("x-forwarded-for: 127.0.0.1"))
            #expect(lines.contains("x-forwarded-proto: https"))
            #expect(lines.count { $0.hasPrefix("x-request-id: ") } == 1)
            for name in ["cookie", "authorization", "x-scoregate-a", "azureml-model-deployment"] {
                #expect(!lines.contains { $0.hasPrefix("\(name):") })
            }
        }
    }

    @Test("a stale connection: GET is asked again, once; POST only where the deployment says so")
    func stale() async throws {
        for (method, retries, bodyBytes, status) in [
            (HTTPMethod.get, false, 0, 200), (.post, false, 4, 502), (.post, true, 4, 200),
            (.post, true, 0, 200), (.post, true, 65_536, 200), (.post, true, 65_537, 502),
        ] {
            let backend = try await ScriptedBackend { connection, request, _ in
                request == 1 ? .ok("\(connection)") : .close
            }
            let bench = try await ExchangeBench([backend]) {
                $0.endpoints[0].deployments[0].retriesStaleConnections = retries
            }
            try await self.with(bench) { bench in
                #expect(try await bench.ask().status == 200)
                let body = [UInt8](repeating: 0x61, count: bodyBytes)
                let answer = try await bench.ask(method, body: body)
                #expect(answer.status == status, "\(method) \(retries) \(bodyBytes)")
                let requests = backend.requests
                #expect(requests.count == (status == 200 ? 3 : 2))
                if status == 200 {
                    #expect(answer.body == Array("2".utf8))
                    #expect(requests[1] == requests[2])
                }
            }
        }
    }

    @Test("revoking a key ends what it let in")
    func revoked() async throws {
        let backend = try await ScriptedBackend { _, _, _ in .nothing }
        try await self.with(try await ExchangeBench([backend])) { bench in
            async let answer = bench.ask()
            while backend.requests.isEmpty { await Task.yield() }
            try bench.revoke()
            do {
                _ = try await answer
                Issue.record("answered")
            } catch is StreamError {}
            #expect(try await bench.ask().status == 401)
        }
    }

    @Test("an exchange in progress survives that its endpoint moves in a new configuration")
    func reloaded() async throws {
        let backend = try await ScriptedBackend { _, _, _ in .nothing }
        let bench = try await ExchangeBench([backend]) {
            $0.endpoints[0].hosts = ["iris.example.com"]
            $0.endpoints[0].deployments[0].requestTimeoutMilliseconds = 400
        }
        try await self.with(bench) { bench in
            async let answer = bench.ask()
            while backend.requests.isEmpty { await Task.yield() }
            var configuration = bench.gateway.configuration
            var other = configuration.endpoints[0]
            other.name = "other"
            other.hosts = ["x.apps.example.com"]
            configuration.endpoints.insert(other, at: 0)
            try await bench.gateway.reload(configuration)
            // It came to its own end, the deadline, and was not cut.
            let status = try await answer.status
            #expect(status == 408)
            let metrics = try await bench.gateway.metrics()
            let labels = #"endpoint="iris",deployment="blue""#
            #expect(metrics.contains("gateway_requests_total{\(labels),status=\"408\"} 1\n"))
            #expect(metrics.contains("gateway_requests_in_flight 0\n"))
        }
    }

    /// A row: the three ids that came, and the three that are answered; "*" is a new one.
    @Test(
        "request ids are answered as the table says",
        arguments: [
            ["", "", "", "*", "*", ""], ["A", "", "", "A", "A", ""], ["", "B", "", "*", "B", "B"],
            ["", "", "C", "*", "C", "C"], ["A", "B", "", "A", "B", "B"],
            ["", "B", "C", "*", "B", "C"], ["A", "", "C", "A", "C", "C"],
            ["A", "B", "C", "A", "B", "C"],
        ])
    func requestIDs(row: [String]) throws {
        let head = MessageHead()
        for (name, value) in zip(
            ["x-request-id", "x-ms-request-id", "x-ms-client-request-id"], row)
        where !value.isEmpty {
            head.append(name: Array(name.utf8).span, value: Array(value.utf8).span)
        }
        var random = FastRandom()
        var ids = RequestIDs(random: &random)
        try ids.read(head)
        let answered = [ids.requestID, ids.answeredMSRequestID, ids.answeredClientRequestID].map {
            var text = ByteBuffer()
            let id = $0
            text.write(atMost: 100) { ids.write(id, of: head, to: &$0) }
            return text.readableBytes == 36 ? "*" : String(buffer: text)
        }
        #expect(answered == Array(row[3...]))
    }

    @Test("of a request id that came again, or empty, the first that says something stays alone")
    func repeatedRequestIDs() throws {
        var random = FastRandom()
        for name in ["x-request-id", "x-ms-request-id", "x-ms-client-request-id"] {
            for (values, expected) in [
                (["a", "b"], ["a"]), (["", "b", "c"], ["b"]), (["", ""], []), (["a", ""], ["a"]),
            ] {
                let head = MessageHead()
                for value in values {
                    head.append(name: Array(name.utf8).span, value: Array(value.utf8).span)
                }
                var ids = RequestIDs(random: &random)
                try ids.read(head)
                let taken = [ids.requestID, ids.msRequestID, ids.clientRequestID].compactMap {
                    if case .field(let range) = $0 { head.string(range) } else { nil }
                }
                #expect(taken == expected)
                var kept: [String] = []
                for field in head.fields where !field.isHopByHop {
                    kept.append(head.string(field.valueRange))
                }
                #expect(kept == expected)
            }
        }
    }

    @Test("a request id has at most 100 characters")
    func longRequestID() throws {
        var random = FastRandom()
        for name in ["x-request-id", "x-ms-request-id", "x-ms-client-request-id"] {
            for count in [100, 101] {
                let head = MessageHead()
                let value = [UInt8](repeating: 0x61, count: count)
                head.append(name: Array(name.utf8).span, value: value.span)
                var ids = RequestIDs(random: &random)
                let isTaken = (try? ids.read(head)) != nil
                #expect(isTaken == (count == 100))
            }
        }
    }
}
