import Foundation
import Testing

/// Servers that fail while `scoregate load` runs: what it says, its exit code, and that what was found
/// is kept.
struct LoadFailureTests {
    private static func withBackend(
        _ body: (RecordingBackend, Materials) async throws -> Void
    ) async throws {
        let backend = try await RecordingBackend.start(.loopback)
        do {
            try await body(backend, try Materials())
        } catch {
            await backend.stop()
            throw error
        }
        await backend.stop()
    }

    /// Runs it, and gives what it said and what it wrote.
    private static func load(
        _ url: String, _ materials: Materials, _ arguments: [String]
    ) async throws -> (said: GatewayProcess.Outcome, counts: [String: Int]) {
        let json = "\(materials.path)/\(UUID().uuidString).json"
        let said = try await GatewayProcess.run(
            ["load", url, "--duration", "1s", "--workers", "1", "--json", json] + arguments)
        let report = try JSONSerialization.jsonObject(
            with: Data(contentsOf: URL(fileURLWithPath: json)))
        let counts = (report as? [String: Any])?["counts"] as? [String: Int]
        return (said, try #require(counts))
    }

    @Test("a server that stops in mid-run: what it answered before is reported")
    func stops() async throws {
        try await Self.withBackend { backend, materials in
            async let stopped: Void = {
                await backend.connections.wait { $0.flatMap(\.requests).count >= 10 }
                await backend.stop()
            }()
            // Each request on a connection of its own: those there are stay.
            let (said, counts) = try await Self.load(
                backend.url, materials,
                [
                    "--rate", "20", "--duration", "4s", "--requests-per-connection", "1",
                    "--maximum-lag", "1h",
                ])
            await stopped
            #expect(said.code == 1)
            #expect(said.errors.contains("without a connection (Connection refused)"))
            #expect(said.output.contains("connection  "))
            #expect(counts["completed", default: 0] >= 10)
            #expect(counts["completed", default: 0] + counts["failed", default: 0] == 80)
        }
    }

    @Test("a server that answers garbage, or never, or closes instead")
    func answers() async throws {
        try await Self.withBackend { backend, materials in
            backend.script("/garbage", [.receiveRequest, .send("220 mail ESMTP\r\n\r\n"), .close])
            backend.script("/silence", [.receiveRequest, .hang])
            backend.script("/close", [.receiveRequest, .close])
            for (path, timeout, sentence) in [
                ("/garbage", "30s", "10 answered what is not HTTP"),
                ("/silence", "500ms", "10 without an answer in 0.50 s"),
                ("/close", "30s", "10 closed before the answer's end"),
            ] {
                let (said, counts) = try await Self.load(
                    backend.url + path, materials,
                    ["--rate", "10", "--timeout", timeout, "--maximum-lag", "1h"])
                #expect(said.code == 1)
                #expect(said.errors.contains(sentence), "\(said.errors)")
                #expect(counts["sent"] == 10)
                #expect(counts["failed"] == 10)
            }
        }
    }

    @Test("a rate that cannot be sent is not reported as if it had been")
    func rates() async throws {
        try await Self.withBackend { backend, materials in
            let late = try await Self.load(
                backend.url, materials, ["--rate", "50", "--maximum-lag", "1us"])
            #expect(late.said.code == 1)
            #expect(late.said.errors.contains("the tester fell behind"), "\(late.said.errors)")
            #expect(late.counts["completed"] == 50)

            backend.script("/silence", [.receiveRequest, .hang])
            let unsent = try await Self.load(
                backend.url + "/silence", materials,
                [
                    "--rate", "100000", "--outstanding", "10", "--timeout", "2s", "--maximum-lag",
                    "1h",
                ])
            #expect(unsent.said.code == 1)
            #expect(unsent.said.errors.contains("requests were never sent"))
            #expect(unsent.counts["offered"] == 100_000)
            #expect(unsent.counts["sent", default: 0] < 100)
        }
    }

    @Test(
        "a disk that is full does not lose what several runs found",
        arguments: [["--vs", "URL", "--rounds", "1"], ["--find-max", "--fail-if", "mean>1us"]])
    func fullDisk(_ options: [String]) async throws {
        try await Self.withBackend { backend, materials in
            let csv = materials.path + "/kept.csv"
            let outcome = try await GatewayProcess.run(
                [
                    "load", backend.url, "--rate", "1", "--duration", "1s", "--maximum-lag", "1h",
                    "--html", "/dev/full", "--csv", csv,
                ] + options.map { $0 == "URL" ? backend.url : $0 })
            #expect(outcome.code == 3)
            #expect(
                outcome.errors.contains("/dev/full cannot be written: No space left on device"),
                "\(outcome.errors)")
            #expect(FileManager.default.fileExists(atPath: csv))
        }
    }

    @Test("a later run that cannot begin does not lose what those before it found")
    func laterRuns() async throws {
        try await Self.withBackend { backend, materials in
            // The key is gone once the first run of A, or the first trial, has read it.
            for (options, command, found, field) in [
                (
                    ["--vs", backend.url + "/b", "--rounds", "3"],
                    "test -e once && rm key; touch once", "1 rounds of A B", "rounds"
                ),
                (
                    ["--find-max", "--fail-if", "mean>10s"], "rm key", "kept     10.0/s", "trials"
                ),
            ] {
                let folder = "\(materials.path)/\(field)"
                let (key, json) = ("\(folder)/key", "\(folder)/report.json")
                try FileManager.default.createDirectory(
                    atPath: folder, withIntermediateDirectories: false)
                _ = try materials.write("\(field)/key", "a\n", mode: 0o600)
                let outcome = try await GatewayProcess.run(
                    [
                        "load", backend.url, "--key-file", key, "--rate", "10", "--duration", "1s",
                        "--maximum-lag", "1h", "--at", "100ms cd \(folder); \(command)", "--json",
                        json,
                    ] + options)
                #expect(outcome.code == 3, "\(outcome.errors)")
                #expect(outcome.errors.contains(key), "\(outcome.errors)")
                #expect(outcome.output.contains(found), "\(outcome.output)")
                let report = try? JSONSerialization.jsonObject(
                    with: Data(contentsOf: URL(fileURLWithPath: json)))
                #expect(((report as? [String: Any])?[field] as? [Any])?.count == 1)
            }
        }
    }
}
