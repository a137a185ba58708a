import Foundation
import NIOCore
import Testing

/// Gateways before one backend of each version; both encrypted.
@Suite("Versions of HTTP", .serialized)
struct VersionPairTests {
    /// A gateway before an HTTP/2 backend, which gets `credentials` as fields of these names.
    private static func withHTTP2(
        isEncrypted: Bool = true, alpn: [String] = ["h2"], limits: String = "{}",
        timeout: Int = 5000, credentials: [String] = [],
        _ body: (Stage, HTTP2Backend) async throws -> Void
    ) async throws {
        let materials = try Materials()
        for name in credentials {
            _ = try materials.write(name, "planted-\(name)", mode: 0o600)
        }
        let secrets = credentials.map { "\($0): {file: \($0)}" }.joined(separator: ", ")
        let backend = try await HTTP2Backend.start(isEncrypted ? materials : nil, alpn: alpn)
        let identity = "        backend_identity: spiffe://test.local/agent/blue\n"
        let setup = StageSetup(
            limits: limits, isBackendEncrypted: isEncrypted,
            endpoints: { _ in
                """
                  iris:
                    traffic: {blue: 100}
                    deployments:
                      blue:
                        backends: ["\(backend.url)"]
                        protocol: http2
                \(isEncrypted ? identity : "")\
                        credentials: {\(secrets)}
                        request_settings: {request_timeout_ms: \(timeout)}
                """
            })
        let stage = try await Stage.start(setup, materials: materials)
        do {
            try await body(stage, backend)
        } catch {
            await stage.stop()
            await backend.stop()
            throw error
        }
        await stage.stop()
        await backend.stop()
    }

    private static func curl(
        _ stage: Stage, _ arguments: [String], path: String = "/score"
    ) async throws -> String {
        let outcome = try await Command.run(
            "/usr/bin/curl",
            [
                "--silent", "--show-error", "--cacert", stage.materials.root,
                "--header", "Authorization: Bearer \(stage.key)",
                "--write-out", " %{http_code} %{http_version}",
            ] + arguments + ["https://localhost:\(stage.port)\(path)"])
        #expect(outcome.errors == "")
        return outcome.output
    }

    /// What httpx prints of its answer to a POST of a file with a wrong key; nil if it is not there.
    private static func httpx(_ stage: Stage, _ file: String) async -> String? {
        let python = testCache + "/clients/bin/python"
        let script = """
            import httpx, ssl, sys
            context = ssl.create_default_context(cafile=sys.argv[1])
            client = httpx.Client(http2=True, verify=context, timeout=30)
            answer = client.post(sys.argv[2], content=open(sys.argv[3], "rb").read(),
                                 headers={"authorization": "Bearer x"})
            print(answer.status_code, answer.http_version, answer.text)
            """
        guard FileManager.default.isExecutableFile(atPath: python) else {
            print("SKIPPED: httpx is not installed (Tests/setup components installs it)")
            return nil
        }
        let outcome = try? await Command.run(
            python,
            [
                "-c", script, stage.materials.root, "https://localhost:\(stage.port)/score", file,
            ])
        return outcome?.output.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    @Test("HTTP/2 and HTTP/1.1 clients are served by an HTTP/1.1 backend", arguments: ["2", "1.1"])
    func toHTTP1(version: String) async throws {
        let stage = try await Stage.start()
        let flag = version == "2" ? "--http2" : "--http1.1"
        #expect(
            try await Self.curl(stage, [flag, "--data", "abc"])
                == #"{"received":3} 200 \#(version)"#)
        let request = try #require(stage.backend.requests.last)
        #expect(request["host"] == "localhost:\(stage.port)")
        #expect(request["content-length"] == "3")
        #expect(request["authorization"] == nil)
        #expect(request["x-forwarded-for"] == "127.0.0.1")
        // A body whose length nobody says.
        #expect(
            try await Self.curl(
                stage, [flag, "--data", "abcd", "--header", "transfer-encoding: chunked"]
            )
            .hasSuffix("200 \(version)"))
        await stage.stop()
    }

    @Test(
        "HTTP/2 and HTTP/1.1 clients are served by an HTTP/2 backend",
        arguments: ["2", "1.1"], [true, false])
    func toHTTP2(version: String, isEncrypted: Bool) async throws {
        try await Self.withHTTP2(isEncrypted: isEncrypted) { stage, backend in
            let flag = version == "2" ? "--http2" : "--http1.1"
            for _ in 0..<3 {
                #expect(
                    try await Self.curl(
                        stage, [flag, "--data", "abc"], path: "/a/../score?q=%20")
                        == #"{"received":3} 200 \#(version)"#)
            }
            let request = try #require(backend.requests.value.last)
            let fields = Dictionary(
                request.fields.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
            #expect(request.path == "/score")
            #expect(fields["host"] == "localhost:\(stage.port)")
            #expect(fields["authorization"] == nil)
            #expect(fields["x-forwarded-for"] == "127.0.0.1")
            #expect(fields["content-length"] == "3")
            // All over one connection.
            #expect(backend.connections.value == 1)
            let large = try await Self.curl(stage, [flag], path: "/large")
            #expect(large.utf8.count >= 1 << 20 && large.hasSuffix("200 \(version)"))
            let upload = try stage.materials.write(
                "upload", String(repeating: "u", count: 3 << 20))
            #expect(
                try await Self.curl(stage, [flag, "--data-binary", "@\(upload)"])
                    == "{\"received\":\(3 << 20)} 200 \(version)")
        }
    }

    @Test("secrets reach an HTTP/2 backend under their own names")
    func credentials() async throws {
        // The last is as long as `authorization`, as which it is treated.
        let names = ["authorization", "x-api-key", "x-backend-key"]
        try await Self.withHTTP2(credentials: names) { stage, backend in
            for _ in 0..<3 {
                let answer = try await Self.curl(stage, ["--data", "x"])
                #expect(answer.contains(" 200 "))
            }
            for request in backend.requests.value {
                for name in names {
                    #expect(
                        request.fields.filter { $0.name == name }.map(\.value)
                            == ["planted-\(name)"])
                }
            }
            #expect(backend.requests.value.count == 3)
        }
    }

    @Test("a backend without ALPN h2 is not ready", arguments: [["http/1.1"], []])
    func withoutALPN(_ alpn: [String]) async throws {
        try await Self.withHTTP2(alpn: alpn) { stage, backend in
            let text = try await Self.curl(stage, ["--http2", "--data", "abc"])
            #expect(text.hasSuffix("503 2"))
            #expect(backend.requests.value.isEmpty)
        }
    }

    @Test("trailers pass from HTTP/2 to HTTP/2, without the backend's word on our names")
    func trailers() async throws {
        try await Self.withHTTP2 { stage, _ in
            let client = try await stage.connectHTTP2()
            await client.send(RawFrame.headers(stage.fields("POST", "/trailers")))
            let frames = await client.frames { $0.count { $0.type == 1 } >= 2 }
            let heads = frames.filter { $0.type == 1 }
            #expect(heads.first?.status == 200)
            #expect(heads.first.map { $0.flags & 1 } == 0)
            #expect(heads.last.map { $0.flags & 1 } == 1)
            // Names are coded by Huffman; the length tells that there is one field.
            #expect((heads.last?.payload.count ?? 0) < 16)
            #expect(frames.contains { $0.type == 0 && $0.payload == Array("body".utf8) })
        }
    }

    @Test("events leave one by one over both versions", arguments: ["2", "1.1"])
    func events(version: String) async throws {
        try await Self.withHTTP2(timeout: 300) { stage, backend in
            let client: RawClient
            if version == "2" {
                client = try await stage.connectHTTP2()
                await client.send(RawFrame.headers(stage.fields("POST", "/events")))
            } else {
                client = try await stage.connect()
                await client.send(stage.request("POST", "/events"))
            }
            for number in 1...3 {
                let event = Array("data: \(number)\n\n".utf8)
                #expect(
                    await client.received.wait { received in
                        received.bytes.firstRange(of: event) != nil
                    })
                let next = Array("data: \(number + 1)".utf8)
                #expect(client.received.value.bytes.firstRange(of: next) == nil)
                backend.release()
            }
        }
    }

    @Test("an answer that comes early is passed on whole; then the upload is cut")
    func early() async throws {
        try await Self.withHTTP2 { stage, backend in
            let client = try await stage.connectHTTP2()
            await client.send(
                RawFrame.headers(stage.fields("POST", "/early"), endsStream: false)
                    + RawFrame.data("begin", endsStream: false))
            // After the time in which the rest of the upload is dropped.
            let frames = await client.frames { $0.contains { $0.type == 3 } }
            #expect(frames.first { $0.type == 1 }?.status == 200)
            #expect(frames.contains { $0.type == 0 && $0.payload == Array("early".utf8) })
            #expect(frames.last { $0.type == 3 }?.code == 0)
        }
    }

    @Test(
        "a client that goes away ends its backend's stream, and no other", arguments: [true, false])
    func clientGone(isReset: Bool) async throws {
        try await Self.withHTTP2 { stage, backend in
            let client = try await stage.connectHTTP2()
            await client.send(RawFrame.headers(stage.fields("POST", "/hang")))
            #expect(await backend.requests.wait { $0.count == 1 })
            if isReset { await client.send(RawFrame.reset(1)) } else { await client.close() }
            #expect(await backend.requests.wait { $0[0].failure != nil })
            #expect(
                try await Self.curl(stage, ["--http1.1", "--data", "abc"]).hasSuffix("200 1.1"))
            #expect(backend.connections.value == 1)
        }
    }

    @Test("a model that does not answer is 408 in the client's own version")
    func timeout() async throws {
        try await Self.withHTTP2(timeout: 200) { stage, _ in
            for (flag, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
                let text = try await Self.curl(stage, [flag], path: "/hang")
                #expect(text.hasSuffix("408 \(version)"))
            }
        }
    }

    @Test("a wrong key with a 10 MiB upload is answered 401 before the upload has ended")
    func earlyRefusal() async throws {
        try await Self.withHTTP2 { stage, backend in
            let upload = try stage.materials.write(
                "upload", String(repeating: "u", count: 10 << 20))
            let outcome = try await Command.run(
                "/usr/bin/curl",
                [
                    "--silent", "--cacert", stage.materials.root, "--http2", "--data-binary",
                    "@\(upload)", "--header", "Authorization: Bearer x", "--write-out",
                    " %{http_code}", "https://localhost:\(stage.port)/score",
                ])
            #expect(outcome.output == "key_auth_access_denied 401")
            #expect(backend.requests.value.isEmpty)
            if let answer = await Self.httpx(stage, upload) {
                #expect(answer == "401 HTTP/2 key_auth_access_denied")
            }
        }
    }

    // Row 139.
    @Test("a client that takes an answer byte by byte is sent away; others are served")
    func dribble() async throws {
        try await Self.withHTTP2 { stage, _ in
            let client = try await stage.connectHTTP2()
            await client.send(
                RawFrame.settings([(4, 1)]) + RawFrame.headers(stage.fields("POST", "/large")))
            await client.frames { $0.contains { $0.type == 0 } }
            client.post((0..<10_000).flatMap { _ in RawFrame.windowUpdate(1, 1) })
            #expect(await client.untilClosed() != nil)
            let frames = client.frames
            #expect(frames.last { $0.type == 7 }?.code == 11)
            #expect(frames.filter { $0.type == 0 }.reduce(0) { $0 + $1.payload.count } < 1000)
            #expect(try await Self.curl(stage, ["--http2", "--data", "abc"]).hasSuffix("200 2"))
        }
    }

    @Test("SIGTERM: GOAWAY twice, the stream in progress ends well")
    func drain() async throws {
        try await Self.withHTTP2 { stage, backend in
            let client = try await stage.connectHTTP2()
            await client.send(RawFrame.headers(stage.fields("POST", "/events")))
            #expect(await backend.requests.wait { $0.count == 1 })
            stage.gateway.signal(SIGTERM)
            let frames = await client.frames { $0.contains { $0.type == 7 } }
            let notice = frames.first { $0.type == 7 }
            #expect(notice?.payload.prefix(4) == [0x7f, 0xff, 0xff, 0xff])
            #expect(notice?.code == 0)
            await client.frames { $0.contains { $0.type == 0 } }
            backend.release()
            await client.received.wait {
                $0.bytes.firstRange(of: Array("data: 2".utf8)) != nil
            }
            backend.release()
            await client.received.wait {
                $0.bytes.firstRange(of: Array("data: 3".utf8)) != nil
            }
            #expect(client.frames.contains { $0.type == 0 && $0.flags & 1 == 1 })
        }
    }
}
