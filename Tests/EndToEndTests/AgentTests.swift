import Foundation
import NIOCore
import TLS
import Testing

/// A gateway with one model twice: directly, and behind an agent.
private struct AgentStage {
    let materials: Materials
    let model: RecordingBackend
    let agent: GatewayProcess
    let stage: GatewayProcess
    let keys: [String: String]

    /// Runs `body`, then ends everything.
    ///
    /// - Parameters:
    ///   - version: What the gateway speaks to the agent.
    ///   - probe: Further lines of the agent's deployment, each with its indentation of eight.
    ///   - drainMilliseconds: How long the agent's requests in flight may take.
    ///   - body: Told the stage.
    /// - Throws: What `body` does, or what kept it from being set up.
    static func run(
        version: String = "http2", probe: String = "", drainMilliseconds: Int = 1000,
        _ body: (AgentStage) async throws -> Void
    ) async throws {
        let materials = try Materials()
        let model = try await RecordingBackend.start(.loopback)
        let agent = try await GatewayProcess.start(
            "agent",
            configuration: materials.write(
                "agent.yaml",
                Self.agent(model.url, probe: probe, drainMilliseconds: drainMilliseconds)))
        do {
            let gateway = try await GatewayProcess.start(
                configuration: materials.write(
                    "gateway.yaml",
                    Self.gateway(model.url, agent: try agent.port, version: version)))
            do {
                var keys: [String: String] = [:]
                for endpoint in ["direct", "through"] {
                    keys[endpoint] = try await gateway.regenerateKey(endpoint: endpoint)
                }
                try await body(
                    AgentStage(
                        materials: materials, model: model, agent: agent, stage: gateway,
                        keys: keys))
            } catch {
                await gateway.end()
                throw error
            }
            await gateway.end()
        } catch {
            await agent.end()
            await model.stop()
            throw error
        }
        await agent.end()
        await model.stop()
    }

    static func agent(
        _ model: String, probe: String = "", drainMilliseconds: Int = 1000
    ) -> String {
        """
        trust_domain: test.local
        service: {kind: agent, name: blue}
        workers: 1
        drain_timeout_ms: \(drainMilliseconds)
        access_log: {path: agent.log}
        listeners:
          - address: 127.0.0.1:0
            tls:
              certificates: [{chain: backend.pem, key: backend.key}]
              client_trust_roots: root.pem
        admin: {address: "unix:agent.sock"}
        endpoints:
          model:
            allowed_identities: [spiffe://test.local/gateway/edge]
            deployments:
              model:
                backends: ["\(model)"]
                request_settings: {request_timeout_ms: 20000}
        \(probe)
        """
    }

    private static func gateway(_ model: String, agent: Int, version: String) -> String {
        """
        trust_domain: test.local
        service: {kind: gateway, name: edge}
        state: state
        root_key: {file: root.key}
        workers: 1
        drain_timeout_ms: 1000
        access_log: {path: access.log}
        listeners:
          - address: 127.0.0.1:0
            tls:
              certificates: [{chain: server.pem, key: server.key}]
        identity: {chain: gateway.pem, key: gateway.key, trust_roots: root.pem}
        endpoints:
          direct:
            hosts: [localhost]
            path_prefix: /direct
            deployments:
              blue:
                backends: ["\(model)"]
                request_settings: {request_timeout_ms: 1500}
          through:
            hosts: [localhost]
            path_prefix: /through
            deployments:
              blue:
                backends: ["https://127.0.0.1:\(agent)"]
                backend_identity: spiffe://test.local/agent/blue
                protocol: \(version)
                request_settings: {request_timeout_ms: 1500}
        """
    }

    /// One request with a body on a connection of its own; `path` as the model sees it.
    func ask(_ endpoint: String, _ path: String, lines: String = "") async throws -> RawAnswer {
        let client = try await RawClient.connect(
            port: self.stage.port, root: self.materials.root, serverName: "localhost",
            alpn: ["http/1.1"])
        await client.send(
            """
            POST /\(endpoint)\(path) HTTP/1.1\r\nHost: localhost\r\n\
            Authorization: Bearer \(self.keys[endpoint] ?? "")\r\nX-Request-ID: 1\r\n\(lines)\
            Content-Length: 4\r\n\r\nbody
            """)
        return try await client.answer(method: "POST")
    }

    /// The lines of an answer that do not tell the time, and its body.
    static func comparable(_ answer: RawAnswer) -> [String] {
        let fields = answer.fields.filter { $0.name != "date" }
        return ["\(answer.status)"] + fields.map { "\($0.name): \($0.value)" }.sorted()
            + [answer.text]
    }
}

@Suite("Agents", .serialized, .timeLimit(.minutes(10)))
struct AgentTests {
    @Test(
        "whatever the model does, a client gets the same with an agent and without",
        arguments: ["http1", "http2"])
    func transparent(_ version: String) async throws {
        try await AgentStage.run(version: version) { stage in
            let json = "content-type: application/json\r\nx-model: a\r\nset-cookie: b=c\r\n"
            for status in ["200 OK", "201 Created", "404 Not Found", "429 Busy", "500 Broken"] {
                stage.model.script(
                    "/\(status.prefix(3))",
                    [
                        .receiveRequest,
                        .send("HTTP/1.1 \(status)\r\n\(json)content-length: 2\r\n\r\n{}"),
                    ])
            }
            stage.model.script("/hang", [.receiveRequest, .hang])
            stage.model.script("/garbage", [.receiveRequest, .send("hello"), .close])
            stage.model.script("/closed", [.receiveRequest, .close])
            stage.model.script(
                "/chunked",
                [
                    .receiveRequest,
                    .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
                    .send("2\r\nhi\r\n0\r\n\r\n"),
                ])
            for (path, status) in [
                ("/200", 200), ("/201", 201), ("/404", 424), ("/429", 424), ("/500", 424),
                ("/hang", 408), ("/garbage", 502), ("/closed", 502), ("/chunked", 200),
            ] {
                let direct = try await stage.ask("direct", path)
                let through = try await stage.ask("through", path)
                #expect(direct.status == status, "\(path)")
                #expect(
                    AgentStage.comparable(through) == AgentStage.comparable(direct), "\(path)")
            }
            stage.model.script(
                "/last",
                [
                    .receiveRequest,
                    .send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"),
                    .close,
                ])
            await stage.model.stop()
            for endpoint in ["direct", "through"] {
                #expect(try await stage.ask(endpoint, "/last").status == 200)
            }
            let direct = try await stage.ask("direct", "/down")
            let through = try await stage.ask("through", "/down")
            #expect(direct.status == 503)
            #expect(AgentStage.comparable(through) == AgentStage.comparable(direct))
            #expect(through.fields.allSatisfy { !$0.name.hasPrefix("x-scoregate-") })
        }
    }

    @Test(
        "the model gets the same request with an agent and without",
        arguments: ["http1", "http2"])
    func request(_ version: String) async throws {
        try await AgentStage.run(version: version) { stage in
            let lines =
                "X-Kept: kept\r\nContent-Type: application/json\r\nX-Forwarded-For: evil\r\n"
            for endpoint in ["direct", "through"] {
                let answer = try await stage.ask(
                    endpoint, "/api/v1/service/model/score?a=b", lines: lines)
                #expect(answer.status == 200)
            }
            let requests = stage.model.requests
            try #require(requests.count == 2)
            let heads = requests.map { request in
                String(decoding: request.head, as: UTF8.self)
                    .components(separatedBy: "\r\n").dropFirst().map { line in
                        let parts = line.split(separator: ":", maxSplits: 1)
                        return parts.count == 2 ? "\(parts[0].lowercased()):\(parts[1])" : line
                    }.sorted()
            }
            #expect(heads[0] == heads[1])
            #expect(requests[0].path == requests[1].path)
            #expect(heads[1].contains("x-forwarded-for: 127.0.0.1"))
            #expect(!heads[1].contains { $0.hasPrefix("x-scoregate-") })
        }
    }

    @Test("it answers nobody but the gateways it names")
    func identities() async throws {
        try await AgentStage.run { stage in
            let agent = try stage.agent.port
            let curl = """
                curl --silent --output /dev/null --write-out '%{http_code}' --cacert root.pem \
                --data x https://127.0.0.1:\(agent)/score
                """
            _ = try stage.materials.identity("spiffe://test.local/gateway/other", file: "other")
            _ = try stage.materials.foreignIdentity(
                "spiffe://test.local/gateway/edge", file: "foreign")
            for (certificate, status) in [
                ("--cert gateway.pem --key gateway.key", "200"),
                ("--cert other.pem --key other.key", "403"),
                ("--cert caller.pem --key caller.key", "403"),
                ("--cert foreign.pem --key foreign.key", "000"), ("", "000"),
                ("--tls-max 1.2 --cert gateway.pem --key gateway.key", "000"),
            ] {
                let outcome = try await Command.run(
                    "/bin/bash",
                    ["-c", "cd \(stage.materials.path); \(curl) \(certificate)"])
                #expect(outcome.output == status, "\(certificate)")
            }
            #expect(stage.model.requests.count == 1)
        }
    }

    @Test("until the model answers its probe, nothing reaches it and the agent is not ready")
    func readiness() async throws {
        let probe = "        readiness_probe: {path: /live, period: 1, failure_threshold: 1}\n"
        try await AgentStage.run(probe: probe) { stage in
            let unready = "HTTP/1.1 500 Starting\r\ncontent-length: 0\r\n\r\n"
            stage.model.script("/live", [.receiveRequest, .send(unready)])
            let socket = stage.materials.path + "/agent.sock"
            func readyz(_ status: String) async throws -> Bool {
                let end = ContinuousClock.now + .seconds(20)
                while ContinuousClock.now < end {
                    let outcome = try await Command.run(
                        "/usr/bin/curl",
                        [
                            "--silent", "--unix-socket", socket, "--write-out", "%{http_code}",
                            "http://admin/readyz",
                        ])
                    if outcome.output.hasSuffix(status) { return true }
                }
                return false
            }
            // The first question may have come before the script.
            #expect(try await readyz("503"))
            let early = try await stage.ask("through", "/score")
            #expect(early.status == 503)
            #expect(early["retry-after"] != nil)
            #expect(stage.model.requests.allSatisfy { $0.path == "/live" })
            stage.model.script("/live", [.receiveRequest, .answer])
            #expect(try await readyz("200"))
            #expect(try await stage.ask("through", "/score").status == 200)
        }
    }

    @Test("SIGTERM lets an agent finish what is in progress", arguments: ["http1", "http2"])
    func drain(_ version: String) async throws {
        try await AgentStage.run(version: version, drainMilliseconds: 60_000) { stage in
            stage.model.script(
                "/gated",
                [
                    .send(
                        Array(
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"
                                .utf8)),
                    .receiveRequest, .send(Array("2\r\nho\r\n0\r\n\r\n".utf8)),
                ])
            let client = try await RawClient.connect(
                port: stage.stage.port, root: stage.materials.root, serverName: "localhost",
                alpn: ["http/1.1"])
            await client.send(
                """
                POST /through/gated HTTP/1.1\r\nHost: localhost\r\n\
                Authorization: Bearer \(stage.keys["through"] ?? "")\r\nContent-Length: 4\r\n\r\nbod
                """)
            #expect(
                await client.received.wait {
                    String(decoding: $0.bytes, as: UTF8.self).contains("hi")
                })
            stage.agent.signal(SIGTERM)
            #expect(await stage.agent.errors.wait { $0.contains("draining") })
            #expect(stage.agent.exit.value == nil)
            await client.send("y")
            #expect(try await client.answer().text == "hiho")
            #expect(await stage.agent.exit.wait { $0 != nil })
            #expect(stage.agent.exit.value == 0)
            #expect(!stage.agent.errors.value.contains("drain timed out"))
        }
    }

    @Test("the time that is left goes with the request")
    func timeout() async throws {
        try await AgentStage.run { stage in
            stage.model.script("/hang", [.receiveRequest, .hang])
            let outcome = try await Command.run(
                "/bin/bash",
                [
                    "-c",
                    """
                    cd \(stage.materials.path); curl --silent --include --cacert root.pem \
                    --cert gateway.pem --key gateway.key --header 'x-scoregate-timeout-ms: 300' \
                    --max-time 10 --http1.1 --data x https://127.0.0.1:\(stage.agent.port)/hang
                    """,
                ])
            #expect(outcome.output.contains("x-scoregate-source: agent"))
            #expect(outcome.output.contains("x-scoregate-reason: timeout"))
        }
    }
}

@Suite("Agent configurations")
struct AgentConfigurationTests {
    @Test(
        "what an agent may not be is refused by name",
        arguments: [
            (
                "allowed_identities: [spiffe://test.local/gateway/edge]", "auth_mode: mtls",
                "missing key \"allowed_identities\""
            ),
            ("deployments:", "auth_mode: key\n    deployments:", "an agent has no endpoint keys"),
            ("deployments:", "hosts: [localhost]\n    deployments:", "leave hosts to the gateway"),
            ("deployments:", "wire_compatibility: managed\n    deployments:", "transparent"),
            ("http://127.0.0.1:1", "https://127.0.0.1:1", "an agent's model is on its own host"),
            (
                "client_trust_roots", "minimum_version: \"1.2\"\n      client_trust_roots",
                "TLS 1.3 only"
            ),
            (
                "client_trust_roots", "client_authentication: optional\n      client_trust_roots",
                "asks every client for a certificate"
            ),
            ("gateway/edge]", "nobody/edge]", "its kind must be one of"),
        ])
    func refused(_ old: String, _ new: String, _ problem: String) async throws {
        let materials = try Materials()
        let text = AgentStage.agent("http://127.0.0.1:1")
        let right = try materials.write("right.yaml", text)
        #expect(try await GatewayProcess.run(["check", "--config", right]).code == 0)
        let file = try materials.write("agent.yaml", text.replacing(old, with: new))
        let outcome = try await GatewayProcess.run(["check", "--config", file])
        #expect(outcome.code == 1)
        #expect(outcome.errors.contains(problem) || outcome.output.contains(problem))
    }

    @Test("serve runs no agent's configuration, and agent none of a gateway")
    func kinds() async throws {
        let materials = try Materials()
        let file = try materials.write("agent.yaml", AgentStage.agent("http://127.0.0.1:1"))
        let outcome = try await GatewayProcess.run(["serve", "--config", file])
        #expect(outcome.code == 3)
        #expect(outcome.errors.contains("of kind agent, not gateway"))
    }
}
