import Foundation
import Testing

/// What `scoregate load` says when it cannot begin.
struct LoadRefusalTests {
    private static let url = "http://127.0.0.1:9/"

    @Test(
        "wrong usage is said with exit code 2",
        arguments: [
            (["ftp://a/"], "begins with https:// or http://"),
            (["https://user@a/"], "--key-file"),
            ([url, "--rate", "abc"], "not a number of requests a second"),
            ([url, "--rate", "0"], "not one request is due"),
            ([url, "--duration", "5"], "a time is a number with"),
            ([url, "--fail-if", "p98>5ms"], "is no condition"),
            ([url, "--header", "Authorization: Bearer x"], "no place for a key"),
            ([url, "--header", "nonsense"], "a field is 'name: value'"),
            ([url, "--data", "{{nothing}}"], "there are {{sequence}}"),
            ([url, "--data", "a", "--data-file", "b"], "only one of"),
            ([url, "--cert", "a.pem"], "belong together"),
            ([url, "--ciphers", "RC4"], "none of TLS_AES_128_GCM_SHA256"),
            ([url, "--groups", "X448"], "none of X25519"),
            ([url, "--handshake", "often"], "full, resume or mix:SHARE"),
            ([url, "--at", "30s"], "a time and a command"),
            ([url, "--cancel", "5"], "a share and a time"),
            ([url, "--workers", "0"], "a number of 1 to 256"),
            ([url, "--requests-per-connection", "0"], "a number of at least 1"),
            ([url, "--at", "10s true"], "the run is over after 10 s"),
            (
                [url, "--find-max", "--rate", "300", "--duration", "2s", "--fail-if", "p99>1s"],
                "p99 needs 1000 samples"
            ),
        ])
    func usage(_ arguments: [String], _ message: String) async throws {
        let outcome = try await GatewayProcess.run(["load"] + arguments)
        #expect(outcome.code == 2)
        #expect(outcome.errors.contains(message), "\(outcome.errors)")
        #expect(outcome.errors.contains("Usage: scoregate load "), "\(outcome.errors)")
        #expect(outcome.errors.contains("See 'scoregate load --help'"), "\(outcome.errors)")
    }

    @Test(
        "a report that cannot be written is found out before anything is sent",
        arguments: [
            ("--json", "missing/a.json", "the folder is missing"), ("--html", ".", "is a folder"),
            ("--csv", "file/a.csv", "the folder is missing"),
        ])
    func unwritableReport(_ option: String, _ name: String, _ reason: String) async throws {
        let backend = try await RecordingBackend.start(.loopback)
        let materials = try Materials()
        try materials.write("file", "")
        let outcome = try await GatewayProcess.run([
            "load", backend.url, "--duration", "1s", option, "\(materials.path)/\(name)",
        ])
        #expect(outcome.code == 3)
        #expect(outcome.errors.contains("\(name) cannot be written: "), "\(outcome.errors)")
        #expect(outcome.errors.contains(reason), "\(outcome.errors)")
        #expect(outcome.output == "")
        #expect(backend.connections.value.isEmpty)
        await backend.stop()
    }

    @Test("what the environment lacks is said with exit code 3")
    func environment() async throws {
        let missing = try await GatewayProcess.run(
            ["load", Self.url, "--data-file", "/nonexistent/body.json"])
        #expect(missing.code == 3)
        #expect(missing.errors.contains("the payload cannot be read: /nonexistent/body.json"))
        let backend = try await RecordingBackend.start(.loopback)
        let port = backend.url.split(separator: ":").last ?? ""
        await backend.stop()
        let refused = try await GatewayProcess.run(["load", "http://127.0.0.1:\(port)/"])
        #expect(refused.code == 3)
        #expect(refused.errors.contains("no connection to 127.0.0.1:\(port): Connection refused"))
        let materials = try Materials()
        let key = try materials.write("open.key", "secret", mode: 0o644)
        let open = try await GatewayProcess.run(
            ["load", "http://127.0.0.1:\(port)/", "--key-file", key])
        #expect(open.code == 3)
        #expect(open.errors.contains("the key cannot be used"), "\(open.errors)")
    }
}
