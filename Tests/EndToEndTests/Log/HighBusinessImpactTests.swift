import Foundation
import Testing

/// `hbi: true`: nothing but the sealed log tells what an endpoint is.
@Suite("High business impact", .timeLimit(.minutes(10)))
struct HighBusinessImpactTests {
    private static func setup(_ stageFolder: String) -> StageSetup {
        var setup = SealedLogStage.setup("strict")
        setup.lines += "admin: {address: \"unix:\(stageFolder)/admin.sock\"}\n"
        setup.endpoints = { backend in
            """
              planted-endpoint:
                hbi: true
                path_prefix: /planted-path
                hosts: [localhost]
                traffic: {planted-blue: 100}
                deployments:
                  planted-blue:
                    backends: ["\(backend)"]
                    data_collector:
                      collections: {request: {enabled: true}, response: {enabled: true}}

            """
        }
        return setup
    }

    @Test("no name and no path is told in metrics, access log, own log or file names")
    func names() async throws {
        let materials = try Materials()
        let backend = try await RecordingBackend.start(.loopback)
        let configuration = try materials.write(
            "gateway.yaml", Stage.configuration(Self.setup(materials.path), backend: backend.url))
        let made = try await GatewayProcess.run([
            "keys", "regenerate", "planted-endpoint", "--config", configuration,
        ])
        let key = made.output.split(separator: "\n").first.map(String.init) ?? ""
        let gateway = try await GatewayProcess.start(configuration: configuration)
        let answer = try await Command.run(
            "/usr/bin/curl",
            [
                "--silent", "--show-error", "--cacert", materials.root, "--header",
                "Authorization: Bearer \(key)", "--user-agent", "planted-agent", "--data",
                "planted-body", "--write-out", "%{http_code}",
                "https://localhost:\(try gateway.port)/planted-path/score",
            ])
        #expect(answer.output.hasSuffix("200"), "\(answer.output)\(answer.errors)")
        // The key is revoked and restored, which the process's own log tells of.
        for change in ["disable", "enable"] {
            let changed = try await GatewayProcess.run([
                "keys", "wrapping", change, "planted-endpoint", "--config", configuration,
            ])
            #expect(changed.code == 0, "\(changed.errors)")
        }
        let metrics = try await Command.run(
            "/usr/bin/curl",
            [
                "--silent", "--unix-socket", materials.path + "/admin.sock",
                "http://admin/metrics",
            ])
        #expect(metrics.output.contains(#"endpoint="hbi-1",deployment="deployment-1""#))
        #expect(metrics.output.contains(#"backend="backend-1""#))
        #expect(!metrics.output.contains("planted"))
        #expect(await gateway.end() == 0)
        await backend.stop()
        let access = try String(
            contentsOfFile: materials.path + "/access.log", encoding: .utf8)
        #expect(access.contains(#""EndpointName":"hbi-1","DeploymentName":"deployment-1""#))
        #expect(!access.contains("planted"))
        #expect(gateway.errors.value.contains("wrapping key revoked"))
        #expect(!gateway.errors.value.contains("planted"))
        let log = materials.path + "/log"
        for name in try FileManager.default.subpathsOfDirectory(atPath: log) {
            #expect(!name.contains("planted"))
        }
        let found = try await Command.run("/bin/grep", ["-rlaF", "planted", log])
        #expect(found.output.isEmpty, "\(found.output)")
        // The state has the endpoint's name, and nothing else; all of it only the configuration has.
        for word in ["endpoint", "blue", "path", "body", "agent"] {
            let found = try await Command.run(
                "/bin/grep", ["-rlaF", "planted-\(word)", materials.path])
            let files = found.output.split(separator: "\n").filter {
                $0 != configuration && !(word == "endpoint" && $0.contains("/state/"))
            }
            #expect(files.isEmpty, "\(word): \(files)")
        }
        let listed = try await GatewayProcess.run([
            "logs", "list", "--config", configuration, "--output", "json",
        ])
        #expect(!listed.output.contains(#""created":"20"#))
        let entries = try await GatewayProcess.run(["logs", "cat", "--config", configuration])
        #expect(entries.code == 0, "\(entries.errors)")
        #expect(entries.output.contains(#""endpoint":"planted-endpoint""#))
        #expect(entries.output.contains(#""body":"planted-body""#))
        #expect(!entries.output.contains(#""time""#))
        let verified = try await GatewayProcess.run(["logs", "verify", "--config", configuration])
        #expect(verified.code == 0, "\(verified.output)")
    }

    @Test("an endpoint that takes another's number is one series in every metric")
    func renumbered() async throws {
        let materials = try Materials()
        let backend = try await RecordingBackend.start(.loopback)
        let text = Stage.configuration(Self.setup(materials.path), backend: backend.url)
        let configuration = try materials.write("gateway.yaml", text)
        let gateway = try await GatewayProcess.start(configuration: configuration)
        try materials.write(
            "gateway.yaml", text.replacing("planted-endpoint", with: "other-endpoint"))
        gateway.signal(SIGHUP)
        #expect(await gateway.errors.wait { $0.contains("configuration in force") })
        let metrics = try await Command.run(
            "/usr/bin/curl",
            [
                "--silent", "--unix-socket", materials.path + "/admin.sock",
                "http://admin/metrics",
            ])
        #expect(await gateway.end() == 0)
        await backend.stop()
        let series = metrics.output.split(separator: "\n").filter { !$0.hasPrefix("#") }
            .map { $0.prefix { $0 != " " } }
        #expect(
            series.contains("gateway_log_serving{endpoint=\"hbi-1\"}"), "\(gateway.errors.value)")
        let counts = Dictionary(series.map { ($0, 1) }, uniquingKeysWith: +)
        #expect(counts.filter { $0.value > 1 }.isEmpty)
    }
}
