import Foundation
import TLS
import Testing

/// How `scoregate load` connects: whom it shows itself as, whom it believes, where it goes.
struct LoadConnectionTests {
    private static func load(
        _ arguments: [String], duration: String = "1s"
    ) async throws -> GatewayProcess.Outcome {
        let rate = arguments.contains("--closed") ? [] : ["--rate", "20"]
        return try await GatewayProcess.run(
            ["load", "--duration", duration, "--maximum-lag", "1h", "--workers", "1"] + rate
                + arguments)
    }

    private static func report(_ path: String) throws -> [String: Any] {
        let data = try Data(contentsOf: URL(fileURLWithPath: path))
        return try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
    }

    private static func withBackend(
        _ kind: (Materials) -> RecordingBackend.Kind,
        _ body: (RecordingBackend, Materials) async throws -> Void
    ) async throws {
        let materials = try Materials()
        let backend = try await RecordingBackend.start(kind(materials))
        do {
            try await body(backend, materials)
        } catch {
            await backend.stop()
            throw error
        }
        await backend.stop()
    }

    @Test("a server that demands a certificate is shown one, and is believed by its identity")
    func clientCertificate() async throws {
        try await Self.withBackend {
            .mutualTLS($0.backend, root: $0.root)
        } _: { backend, materials in
            let roots = ["--ca", materials.root]
            let shown = ["--cert", materials.caller.chain, "--cert-key", materials.caller.key]
            let known = try await Self.load([backend.url + "/score"] + roots + shown)
            #expect(known.code == 0, "\(known.errors)")
            #expect(backend.requests.count == 20)

            let unknown = try await Self.load([backend.url + "/score"] + roots)
            #expect(unknown.code == 1)
            #expect(unknown.output.contains("completed 0"), "\(unknown.errors)\(unknown.output)")

            // Nothing of the URL is in the server's certificate, but its identity is right.
            let elsewhere = [
                "https://model.invalid/score", "--connect-to",
                String(backend.url.dropFirst("https://".count)),
            ]
            let identity = "spiffe://test.local/agent/blue"
            let right = try await Self.load(
                elsewhere + roots + shown + ["--peer-identity", identity])
            #expect(right.code == 0, "\(right.errors)")
            #expect(backend.requests.last?["host"] == "model.invalid")
            let wrong = try await Self.load(
                elsewhere + roots + shown + ["--peer-identity", identity + "x"])
            #expect(wrong.code == 1)
            #expect(wrong.errors.contains("no TLS with"), "\(wrong.errors)")
            #expect(backend.requests.count == 40)
        }
    }

    @Test("a Unix socket leads to the server, and the URL still names it")
    func unixSocket() async throws {
        try await Self.withBackend {
            .unix(path: $0.path + "/model.sock")
        } _: { backend, materials in
            let outcome = try await Self.load([
                "http://iris.example.com/score", "--connect-to", backend.url,
            ])
            #expect(outcome.code == 0, "\(outcome.errors)")
            #expect(outcome.output.contains("completed 20"))
            #expect(backend.requests.count == 20)
            #expect(backend.requests.allSatisfy { $0["host"] == "iris.example.com" })
            let missing = "unix:\(materials.path)/nobody.sock"
            let nobody = try await Self.load(["http://localhost/", "--connect-to", missing])
            #expect(nobody.code == 3)
            #expect(nobody.errors.contains("no connection to \(missing)"), "\(nobody.errors)")
        }
    }

    @Test("the name sent is the URL's, wherever it leads, unless another is asked for")
    func names() async throws {
        let stage = try await Stage.start()
        let key = try stage.materials.write("load.key", stage.key, mode: 0o600)
        let options = [
            "--connect-to", "127.0.0.1:\(stage.port)", "--ca", stage.materials.root, "--key-file",
            key,
        ]
        let url = "https://iris.example.com/score"
        let own = try await Self.load([url] + options)
        #expect(own.code == 0, "\(own.errors)")
        // The gateway knows no such name and says so before it shows a certificate.
        let other = try await Self.load([url, "--sni", "stranger.invalid"] + options)
        #expect(other.code == 1)
        #expect(other.errors.contains("alert unrecognized_name (112)"), "\(other.errors)")
        await stage.stop()
    }

    @Test("so many handshakes as asked for are resumed")
    func mixedHandshakes() async throws {
        let stage = try await Stage.start()
        let json = stage.materials.path + "/mix.json"
        let outcome = try await Self.load(
            [
                "https://localhost:\(stage.port)/", "--ca", stage.materials.root, "--handshake",
                "mix:0.5", "--handshakes-only", "--json", json,
            ], duration: "2s")
        await stage.stop()
        #expect(outcome.code == 0, "\(outcome.errors)")
        let report = try Self.report(json)
        let counts = try #require(report["counts"] as? [String: Int])
        #expect(counts["completed"] == 40)
        // One that would be resumed, before there was a ticket, is a full one.
        let made = try #require(report["connections"] as? [String: Any])
        let full = (made["fullHandshake"] as? [String: Any])?["count"] as? Int ?? 0
        let resumed = (made["resumedHandshake"] as? [String: Any])?["count"] as? Int ?? 0
        #expect(full + resumed == 40)
        #expect((15...20).contains(resumed))
        #expect(stage.backend.connections.value.isEmpty)
    }

    @Test("handshakes are all resumed by the tickets of a file, however few it has")
    func resumedFromFile() async throws {
        let stage = try await Stage.start()
        let (json, file) = (stage.materials.path + "/resumed.json", stage.materials.path + "/file")
        let options = [
            "https://localhost:\(stage.port)/", "--ca", stage.materials.root, "--handshakes-only",
            "--handshake", "resume", "--session-file", file,
        ]
        let first = try await Self.load(options + ["--rate", "2"])
        #expect(first.code == 0, "\(first.errors)")
        let second = try await Self.load(
            options + ["--closed", "--connections", "8", "--json", json])
        await stage.stop()
        #expect(second.code == 0, "\(second.errors)")
        let made = try #require(try Self.report(json)["connections"] as? [String: Any])
        #expect(made["fullHandshake"] == nil)
        #expect(made["made"] as? Int ?? 0 >= 8)
    }

    @Test("handshakes alone, as many at once as there are connections")
    func handshakesOnly() async throws {
        let stage = try await Stage.start()
        let json = stage.materials.path + "/handshakes.json"
        let outcome = try await Self.load([
            "https://localhost:\(stage.port)/", "--ca", stage.materials.root, "--handshakes-only",
            "--closed", "--connections", "3", "--json", json, "--expect-no-errors",
        ])
        await stage.stop()
        #expect(outcome.code == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("closed loop, handshakes only"))
        let report = try Self.report(json)
        let counts = try #require(report["counts"] as? [String: Int])
        let made = try #require(report["connections"] as? [String: Any])
        let full = try #require((made["fullHandshake"] as? [String: Any])?["count"] as? Int)
        #expect(full >= 3)
        #expect(counts["completed"] == full)
        #expect(made["made"] as? Int == full)
        #expect((report["statuses"] as? [String: Int])?.isEmpty == true)
        #expect((made["failed"] as? [String: Int])?.isEmpty == true, "\(made["failed"] ?? 0)")
    }
}
