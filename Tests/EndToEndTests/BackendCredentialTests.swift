import Foundation
import NIOCore
import Testing

/// Secret fields that the gateway adds for a deployment's backends.
@Suite("Backend credentials", .timeLimit(.minutes(10)))
struct BackendCredentialTests {
    private static func setup() -> StageSetup {
        var setup = StageSetup()
        setup.deploymentLines = """
                    credentials:
                      authorization: {scheme: Bearer, file: model.token}
                      X-Api-Key: {file: model.key}

            """
        return setup
    }

    private static func materials(_ key: String = "planted-key\n") throws -> Materials {
        let materials = try Materials()
        _ = try materials.write("model.token", "planted-token", mode: 0o600)
        _ = try materials.write("model.key", key, mode: 0o600)
        return materials
    }

    private static func start() async throws -> Stage {
        try await Stage.start(Self.setup(), materials: Self.materials())
    }

    @Test("the backend gets them and not the client's, and nothing else ever shows them")
    func added() async throws {
        let stage = try await Self.start()
        let answer = try await stage.exchange(
            stage.request(lines: "X-API-KEY: client\r\nx-api-key: client\r\n", body: "one"))
        #expect(answer.status == 200)
        let seen = try #require(stage.backend.requests.last)
        #expect(seen.values("authorization") == ["Bearer planted-token"])
        #expect(seen.values("x-api-key") == ["planted-key"])
        // Replaced files are taken over within seconds, without a signal.
        _ = try stage.materials.write("model.key", "replaced-key", mode: 0o600)
        var taken = false
        for _ in 0..<200 where !taken {
            _ = try await stage.exchange(stage.request(body: "two"))
            taken = stage.backend.requests.last?["x-api-key"] == "replaced-key"
        }
        #expect(taken)
        // One that cannot be used leaves the one in force.
        _ = try stage.materials.write("model.key", "a b", mode: 0o600)
        await stage.gateway.errors.wait { $0.contains("reload failed") }
        #expect(stage.gateway.errors.value.contains("something else than visible ASCII"))
        _ = try await stage.exchange(stage.request(body: "three"))
        #expect(stage.backend.requests.last?["x-api-key"] == "replaced-key")
        await stage.stop()
        let access = try String(
            contentsOfFile: stage.materials.path + "/access.log", encoding: .utf8)
        for text in [access, stage.gateway.errors.value] {
            #expect(!text.contains("planted") && !text.contains("replaced-key"))
        }
    }

    @Test(
        "a wrong one is refused at its place",
        arguments: [
            ("host: {file: model.key}", "\"host\" cannot be a credential"),
            ("x-a: {file: none}", "none cannot be used"),
            ("x-a: {file: model.key, scheme: a b}", "a scheme is one word"),
            ("x-a: {value: secret}", "unknown key \"value\""),
        ])
    func refused(_ line: String, _ problem: String) async throws {
        let materials = try Self.materials()
        var setup = StageSetup()
        setup.deploymentLines = "        credentials: {\(line)}\n"
        let file = try materials.write(
            "gateway.yaml",
            Stage.configuration(setup, backend: "https://127.0.0.1:1"))
        let checked = try await GatewayProcess.run(["check", "--config", file])
        #expect(checked.code == 1)
        #expect((checked.output + checked.errors).contains(problem), "\(checked)")
    }

    @Test("a file that others may read is refused")
    func openFile() async throws {
        let materials = try Self.materials()
        try FileManager.default.setAttributes(
            [.posixPermissions: 0o644], ofItemAtPath: materials.path + "/model.key")
        let file = try materials.write(
            "gateway.yaml",
            Stage.configuration(Self.setup(), backend: "https://127.0.0.1:1"))
        let checked = try await GatewayProcess.run(["check", "--config", file])
        #expect(checked.code == 1)
        #expect((checked.output + checked.errors).contains("model.key"))
    }
}
