import Foundation
import NIOCore
import Testing

/// What the gateway logs of requests and responses, as an operator sees it.
@Suite("The sealed log", .serialized, .timeLimit(.minutes(10)))
struct SealedLogEndToEndTests {
    @Test("a request and its answer are in the log, and nowhere in clear")
    func sealed() async throws {
        try await SealedLogStage.run(SealedLogStage.setup()) { stage in
            let answer = try await stage.exchange(
                stage.request(
                    lines: """
                        X-Request-ID: planted-id\r\nX-Api-Key: planted-key\r\n\
                        Cookie: planted-cookie\r\nX-Kept: kept-field\r\n
                        """, body: "planted-body"))
            #expect(answer.status == 200)
            #expect(await stage.gateway.end() == 0)
            let entries = try await SealedLogStage.entries(stage).filter { $0.kind != "event" }
            try #require(entries.count == 2)
            #expect(entries.map(\.kind) == ["request", "response"])
            #expect(entries.allSatisfy { $0.requestID == "planted-id" })
            #expect(entries.allSatisfy { $0.endpoint == "iris" })
            #expect(entries[0].body == "planted-body")
            #expect(entries[0].headers?.contains("X-Kept: kept-field\r\n") == true)
            #expect(entries[0].headers?.contains("planted-") == true)
            #expect(entries[0].headers?.contains("planted-key") == false)
            #expect(entries[0].headers?.contains("planted-cookie") == false)
            #expect(entries[0].headers?.contains("Bearer") == false)
            #expect(entries[1].status == 200)
            #expect(entries[1].body == #"{"received":12}"#)
            #expect(entries[1].outcome == "complete")

            // The access log may tell the request id, and nothing tells the rest.
            for secret in [
                "planted-body", "planted-key", "planted-cookie", "kept-field", stage.key,
            ] {
                let found = try await Command.run(
                    "/bin/grep", ["-rlaF", secret, stage.materials.path])
                #expect(found.output.isEmpty, "\(secret): \(found.output)")
            }
            #expect(!stage.gateway.errors.value.contains("planted"))
            let verified = try await SealedLogStage.command(stage, "logs", "verify")
            #expect(verified.code == 0, "\(verified.output)")
            #expect(verified.output.contains("iris: ok, 1 segments"))
            // The reading itself was logged.
            let accesses = try await SealedLogStage.command(stage, "logs", "cat", "--accesses")
            #expect(accesses.output.contains(#""event":"accessed""#))
            // A time as it was shown leaves out what was before it, to the millisecond.
            let last = try #require(
                (try await SealedLogStage.entries(stage)).last { $0.kind == "response" }?.time)
            let since = try await SealedLogStage.command(
                stage, "logs", "cat", "--endpoint", "iris", "--since", last)
            #expect(since.output.contains("planted-id"))
            let until = try await SealedLogStage.command(
                stage, "logs", "cat", "--endpoint", "iris", "--until", last)
            #expect(!until.output.contains(#""time":"\#(last)""#))
            // Readers wait for each other to log that they read.
            async let one = SealedLogStage.command(stage, "logs", "cat")
            async let two = SealedLogStage.command(stage, "logs", "cat")
            async let three = SealedLogStage.command(stage, "logs", "cat")
            let codes = try await [one.code, two.code, three.code]
            #expect(codes == [0, 0, 0])
            let listed = try await SealedLogStage.command(stage, "logs", "list")
            #expect(listed.output.contains("final"))
            let late = try await SealedLogStage.command(
                stage, "logs", "cat", "--until", "9999-12-31T23:59:59Z")
            #expect(late.code == 2)
            #expect(late.errors.contains("too far in the future"))
        }
    }

    @Test("a changed byte is found, with its place")
    func changed() async throws {
        try await SealedLogStage.run(SealedLogStage.setup()) { stage in
            #expect(try await stage.exchange(stage.request(body: "body")).status == 200)
            #expect(await stage.gateway.end() == 0)
            let found = try await Command.run(
                "/bin/bash",
                ["-c", "ls \(stage.materials.path)/log/*/*.sgl"])
            let file = try #require(found.output.split(separator: "\n").first.map(String.init))
            var bytes = try Data(contentsOf: URL(fileURLWithPath: file))
            bytes[400] ^= 1
            try FileManager.default.setAttributes(
                [.posixPermissions: 0o640], ofItemAtPath: file)
            try bytes.write(to: URL(fileURLWithPath: file))
            let verified = try await SealedLogStage.command(stage, "logs", "verify")
            #expect(verified.code == 1)
            #expect(verified.output.contains("aead at frame 0"), "\(verified.output)")
        }
    }

    @Test(
        "strict: what a client saw the end of outlives a kill", arguments: ["http/1.1", "h2"])
    func strict(_ version: String) async throws {
        try await SealedLogStage.run(SealedLogStage.setup("strict")) { stage in
            let flag = version == "h2" ? "--http2" : "--http1.1"
            var ids: Set<String> = []
            stage.backend.script("/broken", [.receiveRequest, .close])
            for number in 0..<9 {
                let path = ["/score", "/chunked", "/broken"][number % 3]
                stage.backend.script(
                    "/chunked",
                    [
                        .receiveRequest,
                        .send(
                            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n"),
                        .send("2\r\nho\r\n0\r\n\r\n"),
                    ])
                let outcome = try await Command.run(
                    "/usr/bin/curl",
                    [
                        "--silent", "--show-error", flag, "--cacert", stage.materials.root,
                        "--header", "Authorization: Bearer \(stage.key)", "--header",
                        "x-request-id: r\(number)", "--data", "body\(number)",
                        "--write-out", "%{http_code}", "https://localhost:\(stage.port)\(path)",
                    ])
                #expect(outcome.code == 0, "\(outcome.errors)")
                #expect(outcome.output.hasSuffix(path == "/broken" ? "502" : "200"))
                ids.insert("r\(number)")
            }
            stage.gateway.signal(SIGKILL)
            await stage.gateway.exit.wait { $0 != nil }
            let entries = try await SealedLogStage.entries(stage)
            #expect(Set(entries.filter { $0.kind == "request" }.compactMap(\.requestID)) == ids)
            #expect(Set(entries.filter { $0.kind == "response" }.compactMap(\.requestID)) == ids)
            #expect(entries.contains { $0.kind == "response" && $0.body == "hiho" })
            // It starts again after that, and finds what was written.
            let again = try await GatewayProcess.start(
                configuration: stage.materials.path + "/gateway.yaml")
            #expect(await again.end() == 0)
            let verified = try await SealedLogStage.command(stage, "logs", "verify")
            #expect(verified.code == 0, "\(verified.output)")
            #expect(verified.output.contains("recovered"))
        }
    }

    @Test(
        "a disabled wrapping key stops endpoint and log within the command, and enabling restores")
    func revoked() async throws {
        try await SealedLogStage.run(SealedLogStage.setup()) { stage in
            #expect(try await stage.exchange(stage.request(body: "one")).status == 200)
            let disabled = try await SealedLogStage.command(
                stage, "keys", "wrapping", "disable", "iris")
            #expect(disabled.code == 0, "\(disabled.errors)")
            #expect(disabled.output.contains("in force on 1 of 1 workers"))
            let refused = try await stage.exchange(stage.request(body: "two"))
            #expect(refused.status == 503)
            #expect(refused.text.contains("log_unavailable"))
            #expect(refused["retry-after"] != nil)
            let read = try await SealedLogStage.command(stage, "logs", "cat", "--endpoint", "iris")
            #expect(read.code == 1)
            #expect(read.errors.contains("disabled"))
            // The rest of the log can still be read and held against itself.
            let accesses = try await SealedLogStage.command(stage, "logs", "cat", "--accesses")
            #expect(accesses.code == 1)
            #expect(accesses.output.contains(#""event":"accessed""#))
            let structure = try await SealedLogStage.command(stage, "logs", "verify")
            #expect(structure.code == 0, "\(structure.output)")
            #expect(structure.output.contains("iris: ok"))
            #expect(structure.output.contains("structure only"))
            let enabled = try await SealedLogStage.command(
                stage, "keys", "wrapping", "enable", "iris")
            #expect(enabled.code == 0)
            #expect(try await stage.exchange(stage.request(body: "three")).status == 200)
            #expect(await stage.gateway.end() == 0)
            let bodies = try await SealedLogStage.entries(stage).filter { $0.kind == "request" }
                .compactMap(\.body)
            #expect(bodies.last == "three")
            #expect(!bodies.contains("two"))
            let events = try await SealedLogStage.entries(stage).compactMap(\.event?.event)
            #expect(events == ["started", "revoked", "restored", "stopped"])
            #expect(try await SealedLogStage.command(stage, "logs", "verify").code == 0)
        }
    }

    @Test("what is lost while the wrapping key is disabled is counted, also by the next start")
    func revokedBeforeStop() async throws {
        try await SealedLogStage.run(SealedLogStage.setup()) { stage in
            for verb in ["disable", "enable"] {
                let told = try await SealedLogStage.command(
                    stage, "keys", "wrapping", verb, "iris")
                #expect(told.code == 0, "\(told.errors)")
                // The event of its end finds no key to be sealed with.
                if verb == "disable" { #expect(await stage.gateway.end() == 0) }
            }
            let again = try await GatewayProcess.start(
                configuration: stage.materials.path + "/gateway.yaml")
            #expect(await again.end() == 0)
            let verified = try await SealedLogStage.command(
                stage, "logs", "verify", "--output", "json")
            #expect(verified.code == 0, "\(verified.output)")
            #expect(verified.output.contains("1 entries and 0 bodies lost (revoked)"))
        }
    }

    @Test("a rotated wrapping key seals what comes, and the old log stays readable")
    func rotated() async throws {
        try await SealedLogStage.run(SealedLogStage.setup()) { stage in
            #expect(try await stage.exchange(stage.request(body: "one")).status == 200)
            let rotated = try await SealedLogStage.command(
                stage, "keys", "wrapping", "rotate", "iris")
            #expect(rotated.code == 0, "\(rotated.errors)")
            #expect(try await stage.exchange(stage.request(body: "two")).status == 200)
            #expect(await stage.gateway.end() == 0)
            let bodies = try await SealedLogStage.entries(stage).filter { $0.kind == "request" }
                .compactMap(\.body)
            #expect(bodies == ["one", "two"])
            let listed = try await SealedLogStage.command(
                stage, "logs", "list", "--endpoint", "iris")
            #expect(listed.output.contains("/2\t"))
        }
    }

    @Test("nothing sampled, nothing logged")
    func unsampled() async throws {
        try await SealedLogStage.run(SealedLogStage.setup(sampling: "0")) { stage in
            let answer = try await stage.exchange(stage.request(body: "one"))
            #expect(answer.status == 200)
            #expect(await stage.gateway.end() == 0)
            let entries = try await SealedLogStage.entries(stage)
            #expect(entries.allSatisfy { $0.kind == "event" })
        }
    }

    @Test("a body over the cap keeps its begin, its length and its digest")
    func capped() async throws {
        var setup = SealedLogStage.setup()
        setup.deploymentLines = setup.deploymentLines.replacing(
            "durability: bounded", with: "body_bytes: 8")
        try await SealedLogStage.run(setup) { stage in
            #expect(try await stage.exchange(stage.request(body: "0123456789abcdef")).status == 200)
            #expect(await stage.gateway.end() == 0)
            let outcome = try await SealedLogStage.command(
                stage, "logs", "cat", "--endpoint", "iris")
            #expect(outcome.output.contains(#""body":"01234567","body_bytes":16"#))
            // sha256sum of the whole.
            #expect(
                outcome.output.contains(
                    "9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f"))
        }
    }

    @Test("segments that vanish while no gateway runs are missed at the start, and from then on")
    func rolledBack() async throws {
        try await SealedLogStage.run(SealedLogStage.setup()) { stage in
            #expect(await stage.gateway.end() == 0)
            for round in 0..<2 {
                for file in try SealedLogStage.segments(stage).suffix(1) {
                    try FileManager.default.removeItem(atPath: file)
                }
                let again = try await GatewayProcess.start(
                    configuration: stage.materials.path + "/gateway.yaml")
                #expect(await again.end() == 0)
                #expect(
                    again.errors.value.contains("the log was rolled back"),
                    "\(again.errors.value)")
                let verified = try await SealedLogStage.command(stage, "logs", "verify")
                #expect(verified.code == 1, "\(verified.output)")
                #expect(verified.output.contains("segments 0 to \(round) are missing"))
            }
        }
    }

    @Test(
        "the answer's fields are those the client got, and none of the connection's or of the model's"
    )
    func answerFields() async throws {
        try await SealedLogStage.run(SealedLogStage.setup()) { stage in
            stage.backend.script(
                "/fields",
                [
                    .receiveRequest,
                    .send(
                        """
                        HTTP/1.1 200 OK\r\nServer: model\r\nX-Request-Id: models\r\n\
                        Connection: x-hop\r\nX-Hop: hop\r\nx-kept: kept\r\n\
                        Content-Length: 0\r\n\r\n
                        """),
                ])
            let answer = try await stage.exchange(stage.request("POST", "/fields", body: "one"))
            #expect(await stage.gateway.end() == 0)
            let response = try await SealedLogStage.entries(stage).first { $0.kind == "response" }
            let lines = try #require(response?.headers).split(separator: "\r\n").map(String.init)
            let own = ["content-length", "connection"]
            let got = answer.fields.filter { !own.contains($0.name.lowercased()) }
                .map { "\($0.name): \($0.value)" }
            #expect(lines.sorted() == got.sorted())
        }
    }

    @Test("a second writer, and a folder that cannot be written, are refused at the start")
    func refusedStart() async throws {
        try await SealedLogStage.run(SealedLogStage.setup()) { stage in
            // The same log; the same state, which has the anchors, with another log; then as before.
            for (name, log) in [("gateway", "log"), ("other", "other-log")] {
                let path = stage.materials.path + "/gateway.yaml"
                let text = try String(contentsOfFile: path, encoding: .utf8)
                let second = try GatewayProcess.launch(
                    configuration: stage.materials.write(
                        "\(name).yaml",
                        text.replacing("directory: log", with: "directory: \(log)")))
                await second.exit.wait(.seconds(20)) { $0 != nil }
                #expect(second.exit.value == 3)
                #expect(second.errors.value.contains("process \(stage.gateway.processID)"))
            }
        }
        let materials = try Materials()
        let file = try materials.write(
            "gateway.yaml",
            Stage.configuration(
                SealedLogStage.setup(log: "{directory: /proc/log}"), backend: "http://127.0.0.1:1"))
        let gateway = try GatewayProcess.launch(configuration: file)
        await gateway.exit.wait(.seconds(20)) { $0 != nil }
        #expect(gateway.exit.value == 3)
        #expect(gateway.errors.value.contains("the log cannot be opened"))
    }
}
