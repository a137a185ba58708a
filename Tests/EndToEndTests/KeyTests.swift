import Testing

@Suite("Endpoint keys", .serialized, .stage())
struct KeyTests {
    @Test(
        "The right key is let in, and never reaches the backend", arguments: ["Bearer", "bearer"])
    func rightKey(_ scheme: String) async throws {
        let stage = try Stage.current
        let request = stage.request(body: "hello").replacing("Bearer ", with: scheme + " ")
        let answer = try await stage.exchange(request)
        #expect(answer.status == 200)
        #expect(answer.text == #"{"received":5}"#)
        #expect(stage.backend.requests.last?["authorization"] == nil)
    }

    @Test(
        "A malformed Authorization is refused before the backend hears of it",
        arguments: [
            "", "Authorization: Basic KEY\r\n", "Authorization: KEY\r\n",
            "Authorization: Bearer\r\n", "Authorization: Bearer KEY KEY\r\n",
            "Authorization: Bearer KEY\r\nAuthorization: Bearer KEY\r\n",
            "Authorization: Bearer KEY\r\nauthorization: Bearer other\r\n",
            "X-Api-Key: KEY\r\n",
        ])
    func badHeader(_ lines: String) async throws {
        try await self.refuse(lines, with: "key_auth_bad_header_forbidden")
    }

    @Test(
        "A wrong key is refused before the backend hears of it, always with the same bytes",
        arguments: [
            "wrong", "KEYx", "kEY",
            "sgk1p_0000000000000000000000000000000000000000000000000000000000000",
            "sgk1p_000000000000000000000000000000000000000000000000000000000000",
        ])
    func wrongKey(_ key: String) async throws {
        try await self.refuse(
            "Authorization: Bearer \(key)\r\n", with: "key_auth_access_denied")
    }

    private func refuse(_ lines: String, with text: String) async throws {
        let stage = try Stage.current
        let before = stage.backend.byteCount
        // One character changed is another key; so is one more.
        let changed = String(stage.key.dropLast()) + (stage.key.hasSuffix("0") ? "1" : "0")
        let lines = lines.replacing("kEY", with: changed).replacing("KEY", with: stage.key)
        let request =
            "POST /score HTTP/1.1\r\nHost: h\r\n\(lines)Content-Length: 5\r\n\r\nhello"
        let answer = try await stage.exchange(request)
        #expect(answer.status == 401)
        #expect(answer.text == text)
        #expect(answer["cache-control"] == "no-store")
        #expect(stage.backend.byteCount == before)
        try await stage.expectNextRequestWorks()
    }

    @Test("A key in the query lets nobody in")
    func keyInQuery() async throws {
        let stage = try Stage.current
        let answer = try await stage.exchange(
            "GET /score?key=\(stage.key) HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(answer.status == 401)
    }

    @Test("A new secondary key works beside the primary; its predecessor is refused at once")
    func rotation() async throws {
        let stage = try Stage.current
        let first = try await stage.gateway.regenerateKey(slot: "secondary")
        func status(_ key: String) async throws -> Int {
            try await stage.exchange(
                stage.request().replacing(stage.key, with: key)
            ).status
        }
        #expect(try await status(first) == 200)
        let second = try await stage.gateway.regenerateKey(slot: "secondary")
        #expect(try await status(first) == 401)
        #expect(try await status(second) == 200)
        #expect(try await status(stage.key) == 200)
        let revoked = try await GatewayProcess.run([
            "keys", "revoke", "iris", "--slot", "secondary", "--config",
            stage.gateway.configuration,
        ])
        #expect(revoked.code == 0)
        #expect(revoked.output.contains("in force on 1 of 1 worker"))
        #expect(try await status(second) == 401)
        #expect(try await status(stage.key) == 200)
    }
}
