import Foundation
import TLS
import Testing

/// `scoregate load` against a gateway over TLS, as its users run it.
@Suite(.stage())
struct LoadCommandTests {
    /// Runs it against the suite's gateway with a key that is right unless told otherwise.
    private static func load(
        _ stage: Stage, _ arguments: [String], key: String? = nil, ca: String? = nil,
        url: String? = nil
    ) async throws -> GatewayProcess.Outcome {
        let name = UUID().uuidString
        let file = try stage.materials.write(name, (key ?? stage.key) + "\n", mode: 0o600)
        return try await GatewayProcess.run(
            [
                "load", url ?? "https://localhost:\(stage.port)/score", "--connect-to",
                "127.0.0.1:\(stage.port)", "--ca", ca ?? stage.materials.root, "--key-file", file,
                // Machines that test are busy: how late the tester is, is not what is tested here.
                "--maximum-lag", "1h", "--duration", "1s",
            ] + arguments)
    }

    private static func report(_ path: String) throws -> [String: Any] {
        let data = try Data(contentsOf: URL(fileURLWithPath: path))
        return try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
    }

    private static func counts(_ report: [String: Any]) throws -> [String: Int] {
        try #require(report["counts"] as? [String: Int])
    }

    @Test("a run says what it found, on the terminal and in files", arguments: ["1.1", "2"])
    func reports(_ version: String) async throws {
        let stage = try Stage.current
        let base = "\(stage.materials.path)/report-\(version)"
        let outcome = try await Self.load(
            stage,
            [
                "--rate", "50", "--http", version, "--data", "{}", "--json", base + ".json",
                "--csv",
                base + ".csv", "--html", base + ".html",
            ])
        #expect(outcome.code == 0, "\(outcome.errors)")
        #expect(outcome.errors == "")
        #expect(outcome.output.contains("offered 50, sent 50, completed 50, failed 0"))
        #expect(outcome.output.contains("TLSv1.3"))
        let report = try Self.report(base + ".json")
        #expect(report["schema"] as? String == "scoregate-load/1")
        let environment = try #require(report["environment"] as? [String: Any])
        let floor = try #require(environment["floor"] as? [String: Any])
        #expect(floor["count"] as? Int == 1000)
        #expect(outcome.output.contains("\nfloor       p50 "), "\(outcome.output)")
        #expect(try Self.counts(report)["completed"] == 50)
        let csv = try String(contentsOfFile: base + ".csv", encoding: .utf8)
        let lines = csv.split(separator: "\n").map {
            $0.split(separator: ",", omittingEmptySubsequences: false)
        }
        #expect(lines.allSatisfy { $0.count == 11 })
        #expect(lines.dropFirst().reduce(0) { $0 + (Int($1[3]) ?? 0) } == 50)
        let page = try String(contentsOfFile: base + ".html", encoding: .utf8)
        #expect(page.contains("scoregate-load/1"))
        #expect(!page.contains("src="))
        #expect(!page.contains(stage.key))
    }

    @Test("a browser draws the page without network")
    func page() async throws {
        guard isInstalled("chromium-headless-shell") else { return }
        let stage = try Stage.current
        let page = "\(stage.materials.path)/page.html"
        let outcome = try await Self.load(stage, ["--rate", "50", "--html", page])
        #expect(outcome.code == 0, "\(outcome.errors)")
        let text = try await drawn(page)
        #expect(text.contains("good answers a second"))
        #expect(text.components(separatedBy: "<svg").count - 1 == 3)
        #expect(text.contains("Run and environment"))
        #expect(text.contains("tester's floor"))
    }

    @Test("sessions are resumed within a run, and from the file of the run before")
    func resumption() async throws {
        let stage = try Stage.current
        let file = "\(stage.materials.path)/sessions"
        let json = "\(stage.materials.path)/resumed.json"
        let options = [
            "--rate", "20", "--http", "1.1", "--requests-per-connection", "1", "--handshake",
            "resume",
            "--workers", "1", "--session-file", file, "--json", json,
        ]
        func handshakes() async throws -> (full: Int, resumed: Int) {
            let outcome = try await Self.load(stage, options)
            #expect(outcome.code == 0, "\(outcome.errors)")
            let connections = try #require(Self.report(json)["connections"] as? [String: Any])
            func count(_ name: String) -> Int {
                (connections[name] as? [String: Any])?["count"] as? Int ?? 0
            }
            return (count("fullHandshake"), count("resumedHandshake"))
        }
        let first = try await handshakes()
        #expect(first.full >= 1)
        #expect(first.resumed >= 10)
        #expect(first.full + first.resumed == 20)
        let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions]
        #expect(mode as? Int == 0o600)
        let second = try await handshakes()
        #expect(second.resumed == 20)

        let other = try await Self.load(stage, options + ["--sni", "iris.example.com"])
        #expect(other.code == 3)
        #expect(other.errors.contains("not a session file of this server"))
    }

    @Test("a session file that cannot be written does not lose what was found")
    func unwritableSessions() async throws {
        let stage = try Stage.current
        let json = "\(stage.materials.path)/unwritable.json"
        let outcome = try await Self.load(
            stage,
            [
                "--rate", "20", "--handshake", "resume", "--json", json, "--session-file",
                "\(stage.materials.path)/missing/sessions",
            ])
        #expect(outcome.code == 3)
        #expect(outcome.errors.contains("the session file cannot be written"))
        #expect(outcome.output.contains("completed 20"))
        #expect(try Self.counts(Self.report(json))["completed"] == 20)
    }

    @Test(
        "version, cipher and group are what was asked for",
        arguments: [
            ("1.2", "ECDHE-ECDSA-CHACHA20-POLY1305", "P-256"),
            ("1.3", "TLS_AES_256_GCM_SHA384", "P-384"),
        ])
    func negotiated(_ version: String, _ cipher: String, _ group: String) async throws {
        let outcome = try await Self.load(
            Stage.current,
            [
                "--rate", "10", "--tls-version", version, "--ciphers", cipher, "--groups", group,
            ])
        #expect(outcome.code == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("TLSv\(version), \(cipher), \(group)"))
    }

    @Test("a handshake that finds nothing in common is told by its alert")
    func alert() async throws {
        // TLS 1.2 needs the curve of the certificate's key among the groups (RFC 8422, 5.1.1).
        let outcome = try await Self.load(
            Stage.current, ["--tls-version", "1.2", "--groups", "X25519"])
        #expect(outcome.code == 1)
        #expect(outcome.errors.contains("alert handshake_failure (40)"), "\(outcome.errors)")
    }

    @Test("keys by weight, a deployment, templates and request ids arrive as they were asked for")
    func requests() async throws {
        let stage = try Stage.current
        let lines = try stage.materials.write(
            "lines.jsonl", "{\"a\": {{sequence}}}\n\n{\"b\": \"{{uuid}}\"}\n")
        let outcome = try await Self.load(
            stage,
            [
                "--rate", "20", "--data-lines", lines, "--request-ids", "--deployment", "blue",
                "--header", "x-tested-by: us", "--workers", "1",
            ])
        #expect(outcome.code == 0, "\(outcome.errors)")
        let requests = stage.backend.connections.value.flatMap(\.requests)
            .filter { $0["x-tested-by"] != nil }
        #expect(requests.count == 20)
        let ids = Set(requests.compactMap { $0["x-request-id"] })
        #expect(ids.count == 20)
        #expect(ids.allSatisfy { UUID(uuidString: $0) != nil })
        let log = try await stage.accessLog { lines in
            ids.allSatisfy { id in lines.contains { $0.contains(id) } }
        }
        #expect(ids.allSatisfy { id in log.contains { $0.contains(id) } })
    }

    @Test("a wrong key is said to be one")
    func wrongKey() async throws {
        let outcome = try await Self.load(
            Stage.current, ["--rate", "10"], key: String(repeating: "x", count: 40))
        #expect(outcome.code == 1)
        #expect(
            outcome.errors.contains("10 answered 401 (the key is missing or wrong: --key-file)"))
        #expect(outcome.output.contains("status      401: 10"))
    }

    @Test("a certificate nobody trusts, and one of another name, end it before it begins")
    func certificates() async throws {
        let stage = try Stage.current
        let stranger = try stage.materials.foreignIdentity(
            "spiffe://test.local/reader/stranger", file: "stranger")
        let untrusted = try await Self.load(stage, [], ca: stranger.chain)
        #expect(untrusted.code == 1)
        #expect(untrusted.errors.contains("the peer's certificate is refused"))
        #expect(untrusted.output == "")
        let wrongName = try await Self.load(
            stage, [], url: "https://other.invalid:\(stage.port)/score")
        #expect(wrongName.code == 1)
        #expect(
            wrongName.errors.contains("other.invalid") || wrongName.errors.contains("unrecognized"),
            "\(wrongName.errors)")
        let ownName = try await Self.load(
            stage, ["--sni", "localhost"], url: "https://other.invalid:\(stage.port)/score")
        #expect(ownName.code == 1)
        #expect(ownName.errors.contains("the peer is not other.invalid"), "\(ownName.errors)")
    }

    @Test("limits decide the exit code, and a disk that is full does not lose what was found")
    func limits() async throws {
        let stage = try Stage.current
        let broken = try await Self.load(stage, ["--rate", "50", "--fail-if", "p50>0.001ms"])
        #expect(broken.code == 1)
        #expect(broken.errors.contains("not p50>0.001ms"))
        let unsupported = try await Self.load(stage, ["--rate", "50", "--fail-if", "p99>1h"])
        #expect(unsupported.code == 1)
        #expect(unsupported.errors.contains("p99 needs 1000 samples, there are 50"))
        let kept = try await Self.load(
            stage, ["--rate", "50", "--fail-if", "p50>1h", "--expect-no-errors"])
        #expect(kept.code == 0, "\(kept.errors)")
        let csv = "\(stage.materials.path)/kept.csv"
        let full = try await Self.load(
            stage, ["--rate", "50", "--json", "/dev/full", "--csv", csv])
        #expect(full.code == 3)
        #expect(full.errors.contains("/dev/full cannot be written: No space left on device"))
        #expect(full.output.contains("completed 50"))
        #expect(FileManager.default.fileExists(atPath: csv))
    }

    @Test("keys are rotated in mid-run without an error, and the time is marked")
    func rotation() async throws {
        let stage = try Stage.current
        let json = "\(stage.materials.path)/rotated.json"
        let command =
            "200ms \(GatewayProcess.executable.path) keys regenerate iris --slot secondary "
            + "--config \(stage.gateway.configuration)"
        let outcome = try await Self.load(
            stage,
            [
                "--rate", "50", "--duration", "3s", "--at", command, "--expect-no-errors", "--json",
                json,
            ])
        #expect(outcome.code == 0, "\(outcome.errors)")
        let marks = try #require(Self.report(json)["marks"] as? [[String: Any]])
        #expect(marks.map { $0["exitCode"] as? Int } == [0])
    }
}

/// What a browser without network makes of a page, without the scripts at its end: all that could
/// be drawn stands in those.
private func drawn(_ page: String) async throws -> String {
    let outcome = try await Command.run(
        "/usr/bin/timeout",
        [
            "--signal=KILL", "60", "/usr/bin/chromium-headless-shell", "--no-sandbox",
            "--disable-gpu", "--proxy-server=127.0.0.1:9", "--user-data-dir=\(page).profile",
            "--dump-dom", "file://\(page)",
        ])
    #expect(outcome.code == 0, "\(outcome.errors)")
    let parts = outcome.output.components(separatedBy: "<script")
    #expect(parts.count == 3)
    return parts[0]
}

/// Several runs, a run that is ended early, and the example.
struct LoadRunsTests {
    private static func withModel(_ body: (_ url: String) async throws -> Void) async throws {
        let backend = try await RecordingBackend.start(.loopback)
        do {
            try await body(backend.url)
        } catch {
            await backend.stop()
            throw error
        }
        await backend.stop()
    }

    @Test("two URLs are asked in turn, and no key goes to the second")
    func versus() async throws {
        let stage = try await Stage.start(StageSetup(isBackendEncrypted: false))
        let key = try stage.materials.write("load.key", stage.key, mode: 0o600)
        let base = "\(stage.materials.path)/versus"
        let host = String(stage.backend.url.dropFirst("http://".count))
        let outcome = try await GatewayProcess.run([
            "load", "https://localhost:\(stage.port)/score", "--ca", stage.materials.root,
            "--key-file", key, "--vs", stage.backend.url + "/score", "--vs-no-key", "--rounds", "2",
            "--rate", "40", "--duration", "1s", "--maximum-lag", "1h", "--json",
            base + ".json", "--csv", base + ".csv", "--html", base + ".html", "--header",
            "x-tag: </script><h3>",
        ])
        await stage.stop()
        #expect(outcome.code == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("2 rounds of A B"))
        let data = try Data(contentsOf: URL(fileURLWithPath: base + ".json"))
        let report = try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
        #expect((report["rounds"] as? [Any])?.count == 2)
        let lines = try String(contentsOfFile: base + ".csv", encoding: .utf8)
            .split(separator: "\n").map { $0.split(separator: ",") }
        #expect(lines.dropFirst().map { "\($0[0])\($0[1])" } == ["1A", "1B", "2A", "2B"])
        if isInstalled("chromium-headless-shell") {
            let text = try await drawn(base + ".html")
            // Throughput and p50; of p90 and p99 there are too few samples.
            #expect(text.components(separatedBy: "<svg").count - 1 == 2)
            #expect(text.contains("<code>http://\(host)/score</code>"))
            #expect(text.contains("tester's floor"))
            #expect(!text.contains("<h3"))
        }
        let direct = stage.backend.connections.value.flatMap(\.requests)
            .filter { $0["host"] == host }
        #expect(direct.count == 80)
        #expect(direct.allSatisfy { $0["authorization"] == nil })
    }

    @Test("the search for the highest rate needs a limit, and says what it found")
    func findMaximum() async throws {
        try await Self.withModel { url in
            let limitless = try await GatewayProcess.run(["load", url, "--find-max"])
            #expect(limitless.code == 2)
            #expect(limitless.errors.contains("--find-max needs to know"))
            let impossible = try await GatewayProcess.run([
                "load", url, "--find-max", "--rate", "4", "--duration", "500ms", "--maximum-lag",
                "1h", "--fail-if", "mean>1us",
            ])
            #expect(impossible.code == 1)
            #expect(impossible.output.contains("no rate keeps it"))
        }
    }

    @Test("the search for the highest rate is in files, and a browser draws it")
    func searchFiles() async throws {
        try await Self.withModel { url in
            let materials = try Materials()
            let base = materials.path + "/maximum"
            let outcome = try await GatewayProcess.run([
                "load", url, "--find-max", "--rate", "40", "--duration", "500ms", "--maximum-lag",
                "1h", "--fail-if", "throughput>60/s", "--fail-if", "p50>10s", "--csv",
                base + ".csv", "--html", base + ".html", "--header", "x-tag: </script><h3>",
            ])
            #expect(outcome.code == 0, "\(outcome.errors)")
            let csv = try String(contentsOfFile: base + ".csv", encoding: .utf8)
            #expect(csv.contains("\n40.000000,"))
            #expect(csv.contains(",true,\n"))
            #expect(csv.contains(",false,not throughput>60/s: "))
            guard isInstalled("chromium-headless-shell") else { return }
            let text = try await drawn(base + ".html")
            #expect(text.components(separatedBy: "<svg").count - 1 == 2)
            #expect(!text.contains("<b>none</b>"))
            #expect(text.contains("limit of p50"))
            #expect(text.contains("highest rate that keeps it</span>"))
            #expect(text.contains("not kept: not throughput&gt;60/s"))
            #expect(text.contains("tester's floor"))
            #expect(!text.contains("<h3"))
        }
    }

    @Test("a summary that cannot be written is said with exit code 3, and loses no file")
    func unwritableSummary() async throws {
        try await Self.withModel { url in
            let csv = try Materials().path + "-summary.csv"
            defer { try? FileManager.default.removeItem(atPath: csv) }
            let outcome = try await Command.run(
                "/bin/sh",
                [
                    "-c", #""$0" "$@" > /dev/full"#, GatewayProcess.executable.path, "load", url,
                    "--rate", "20", "--duration", "1s", "--csv", csv, "--maximum-lag", "1h",
                ])
            #expect(outcome.code == 3)
            #expect(
                outcome.errors.contains(
                    "the summary cannot be written: No space left on device"), "\(outcome.errors)")
            #expect(FileManager.default.fileExists(atPath: csv))
        }
    }

    @Test("SIGINT ends a run early, and what was found is printed")
    func interrupted() async throws {
        try await Self.withModel { url in
            // In the foreground it sends one signal; otherwise its process group gets another, and
            // a second SIGINT ends the command at once.
            let outcome = try await Command.run(
                "/usr/bin/timeout",
                [
                    "--foreground", "--preserve-status", "--kill-after=60", "--signal=INT", "4",
                    GatewayProcess.executable.path, "load", url, "--rate", "50", "--duration",
                    "10m",
                    "--maximum-lag", "1h",
                ])
            #expect(outcome.code == 1, "\(outcome.errors)")
            #expect(outcome.output.contains("ended before its time"))
            #expect(outcome.output.contains("completed"))
        }
    }

    @Test("a key is not sent in the clear to another machine")
    func plaintextKey() async throws {
        let materials = try Materials()
        let key = try materials.write("load.key", "secret", mode: 0o600)
        let outcome = try await GatewayProcess.run([
            "load", "http://192.0.2.1/", "--key-file", key,
        ])
        #expect(outcome.code == 2)
        #expect(outcome.errors.contains("a key is not sent without TLS"))
    }

    @Test("examples/load-test tests three real model servers")
    func example() async throws {
        for environment in ["azureml", "triton", "llama"]
        where !FileManager.default.fileExists(atPath: "\(testCache)/\(environment)") {
            print("SKIPPED: \(environment) is not installed (Tests/setup components)")
            return
        }
        let materials = try Materials()
        let outcome = try await Command.run(
            "/usr/bin/env",
            [
                "SCOREGATE=\(GatewayProcess.executable.path)", "REPORTS=\(materials.path)/reports",
                "SECONDS_EACH=2", "RATE=5", "MAXIMUM_LAG=1h", "timeout", "--kill-after=10", "300",
                "\(repository)/examples/load-test/run", "--once",
            ])
        #expect(outcome.code == 0, "\(outcome.errors)")
        for server in ["azureml", "triton", "llama"] {
            let data = try Data(
                contentsOf: URL(fileURLWithPath: "\(materials.path)/reports/\(server).json"))
            let report = try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
            let counts = try #require(report["counts"] as? [String: Int])
            #expect(counts["failed"] == 0)
            #expect(counts["completed", default: 0] > 0)
        }
    }
}
