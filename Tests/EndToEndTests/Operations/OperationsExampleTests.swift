import Foundation
import Testing

/// What a newcomer runs first.
@Suite("Operations: examples")
struct OperationsExampleTests {
    @Test("demo shows the whole system: scored, changed under load, revoked, restored, cleaned up")
    func demo() async throws {
        let materials = try Materials()
        let temporary = "\(materials.path)/t"
        try FileManager.default.createDirectory(
            atPath: temporary, withIntermediateDirectories: false)
        let outcome = try await Command.run(
            GatewayProcess.executable.path, ["demo"], environment: ["TMPDIR": temporary])
        #expect(outcome.code == 0, "\(outcome.errors)")
        for text in [
            "negotiated   TLSv1.3, TLS_AES_128_GCM_SHA256, X25519", "POST /score",
            #"{"input_data": [[5.1, 3.5, 1.4, 0.2]"#, #"prediction   ["setosa", "virginica"]"#,
            "wrong key    401", "answered with 200, 0 otherwise", "the request's bytes are in none",
            "scoring answers 503", "is disabled", "and enabled it again: 200", "iris: ok",
            "stopped and cleaned up",
        ] {
            #expect(outcome.output.contains(text), "\(text)")
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: temporary) == [])
    }

    @Test("The version is told")
    func version() async throws {
        let outcome = try await GatewayProcess.run(["--version"])
        #expect(outcome.code == 0)
        #expect(outcome.output.wholeMatch(of: /scoregate \d+\.\d+\.\d+\n/) != nil)
    }

    @Test("examples/gateway.yaml is right once its files are there")
    func configuration() async throws {
        try await Installation.run(starts: false) { installation in
            let example = try String(
                contentsOfFile: "\(repository)/examples/gateway.yaml", encoding: .utf8)
            try await installation.issueServer(["--dns", "iris.example.com"])
            try installation.write(
                "gateway.yaml",
                example.replacing("/var/lib/scoregate", with: installation.folder)
                    .replacing("/etc/scoregate", with: installation.folder))
            let checked = try await installation.command("check")
            #expect(checked.code == 0, "\(checked.output)")
        }
    }

    @Test("examples/vault.yaml is right once its files are there, and a vault starts with it")
    func vault() async throws {
        let materials = try Materials()
        try materials.write("vault-root.key", String(repeating: "ef", count: 32), mode: 0o600)
        let ports = try await (FreePort.find(), FreePort.find())
        let text = try String(contentsOfFile: "\(repository)/examples/vault.yaml", encoding: .utf8)
            .replacing("/var/lib/scoregate-vault", with: materials.path)
            .replacing("/etc/scoregate", with: materials.path)
            .replacing("0.0.0.0:7443", with: "127.0.0.1:\(ports.0)")
            .replacing("0.0.0.0:7444", with: "127.0.0.1:\(ports.1)")
        let file = try materials.write("vault.yaml", text)
        let checked = try await GatewayProcess.run(["check", "--config", file])
        #expect(checked.code == 0, "\(checked.output)")
        // What is not in force there is right too.
        let pin = try materials.write("token.pin", "1234", mode: 0o600)
        let withToken = try materials.write(
            "token.yaml", text.replacing("# pkcs11:", with: "pkcs11:"))
        let checkedToken = try await GatewayProcess.run(["check", "--config", withToken])
        #expect(checkedToken.code == 0, "\(checkedToken.output) \(pin)")
        let vault = try await GatewayProcess.start("vault", configuration: file)
        #expect(await vault.errors.wait { $0.components(separatedBy: "listening").count > 3 })
        let examined = try await GatewayProcess.run(["doctor", "--config", file])
        #expect(examined.code == 0, "\(examined.output)")
        #expect(await vault.end() == 0)
    }

    @Test("the vault's unit is as hardened as the gateway's")
    func units() throws {
        func lines(_ name: String) throws -> Set<Substring> {
            let text = try String(
                contentsOfFile: "\(repository)/examples/systemd/\(name)", encoding: .utf8)
            return Set(text.split(separator: "\n").filter { !$0.hasPrefix("#") })
        }
        let (gateway, vault) = try (lines("scoregate.service"), lines("scoregate-vault.service"))
        let others = [
            "Description", "ExecStartPre", "ExecStart", "TimeoutStopSec", "LoadCredentialEncrypted",
            "User", "StateDirectory", "WorkingDirectory", "AmbientCapabilities",
            "CapabilityBoundingSet",
        ]
        for line in gateway.subtracting(vault) {
            #expect(others.contains { line.hasPrefix("\($0)=") }, "\(line)")
        }
        // It needs no right of root's at all.
        #expect(vault.contains("CapabilityBoundingSet="))
        #expect(
            vault.contains(
                "ExecStart=/usr/local/bin/scoregate vault --config /etc/scoregate/vault.yaml"))
    }

    /// A row: the example, the environment it needs, and what it says at the end.
    @Test(
        "llama.cpp is asked by the openai SDK, Triton by its own client",
        arguments: [
            ("llama-cpp", "llama", "wrong key 401\n"),
            ("triton", "triton", "wrong key     StatusCode.UNAUTHENTICATED\n"),
        ])
    func modelServer(example: String, environment: String, last: String) async throws {
        guard
            FileManager.default.isExecutableFile(atPath: "\(testCache)/\(environment)/bin/python")
        else {
            print("SKIPPED: \(environment) is not installed (Tests/setup components)")
            return
        }
        let outcome = try await Command.run(
            "/usr/bin/env",
            [
                "SCOREGATE=\(GatewayProcess.executable.path)",
                "\(repository)/examples/\(example)/run", "--once",
            ])
        #expect(outcome.code == 0, "\(outcome.errors)")
        #expect(outcome.output.hasSuffix(last), "\(outcome.output)")
    }

    @Test(
        "The Azure ML inference server is scored by curl, requests and httpx",
        arguments: [
            "gthread", "sync",
        ])
    func inferenceServer(worker: String) async throws {
        guard FileManager.default.isExecutableFile(atPath: "\(testCache)/azureml/bin/gunicorn"),
            FileManager.default.isExecutableFile(atPath: "\(testCache)/clients/bin/python"),
            isInstalled("stunnel4")
        else {
            print("SKIPPED: the inference server is not installed (Tests/setup components)")
            return
        }
        let outcome = try await Command.run(
            "/usr/bin/env",
            [
                "SCOREGATE=\(GatewayProcess.executable.path)", "SCOREGATE_MODEL_WORKER=\(worker)",
                "\(repository)/examples/azureml-inference-server/run", "--once",
            ])
        #expect(outcome.code == 0, "\(outcome.errors)")
        for flower in ["setosa", "versicolor", "virginica"] {
            #expect(outcome.output.contains(flower))
        }
        #expect(outcome.output.contains("key_auth_access_denied"))
    }
}
