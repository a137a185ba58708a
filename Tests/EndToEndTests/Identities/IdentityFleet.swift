import Cryptography
import Foundation
import KeyVault
import NIOCore
import NIOPosix
import Testing

/// A vault that issues identities, and services that get theirs from it.
final class IdentityFleet {
    let materials: Materials
    let model: RecordingBackend
    private(set) var vault: GatewayProcess
    private(set) var agent: GatewayProcess?
    private(set) var gateway: GatewayProcess?
    private(set) var key = ""
    /// The vault's token, if it has one.
    let token: SoftToken?

    private init(
        _ materials: Materials, _ model: RecordingBackend, _ vault: GatewayProcess,
        _ token: SoftToken?
    ) {
        self.materials = materials
        self.model = model
        self.vault = vault
        self.token = token
    }

    /// Where everything listens; 0 is a port of the kernel's choice.
    struct Ports {
        var vault: Int
        var join: Int
        var agent = 0
        var gateway = 0

        /// Free ports for all of them, known before anything is started.
        static func find() async throws -> Self {
            try await Self(
                vault: FreePort.find(), join: FreePort.find(), agent: FreePort.find(),
                gateway: FreePort.find())
        }

        var named: [(name: String, port: Int)] {
            [
                ("vault", self.vault), ("join listener", self.join), ("agent", self.agent),
                ("gateway", self.gateway),
            ]
        }
    }

    /// Starts a vault, and an agent and a gateway if they are wanted; ends them after `body`.
    ///
    /// With a `kind` the vault has a token of that kind.
    static func run(
        services: Bool = true, ports: Ports? = nil, token kind: SoftToken.Kind? = nil,
        _ body: (IdentityFleet) async throws -> Void
    ) async throws {
        let materials = try Materials()
        let token = try await kind?.make(in: materials)
        let model = try await RecordingBackend.start(.loopback)
        do {
            var ports = ports
            if ports == nil {
                ports = try await Ports(vault: FreePort.find(), join: FreePort.find())
            }
            let chosen = try #require(ports)
            let file = try materials.write(
                "vault.yaml",
                Self.vaultConfiguration(port: chosen.vault, joinPort: chosen.join, token))
            let vault = try await GatewayProcess.start(
                "vault", configuration: file, environment: token?.environment ?? [:])
            let fleet = IdentityFleet(materials, model, vault, token)
            do {
                #expect(await fleet.isJoinable())
                if services { try await fleet.startServices(chosen) }
                try await body(fleet)
            } catch {
                await fleet.end()
                throw error
            }
            await fleet.end()
        } catch {
            await model.stop()
            throw error
        }
        await model.stop()
    }

    private func startServices(_ ports: Ports) async throws {
        try await self.makeToken("agent/blue", file: "agent.token", "--dns", "localhost")
        try await self.makeToken("gateway/edge", file: "gateway.token")
        let agent = try await GatewayProcess.start(
            "agent",
            configuration: self.materials.write(
                "agent.yaml", Self.agentConfiguration(self.model.url, port: ports.agent)))
        self.agent = agent
        let gateway = try await GatewayProcess.start(
            configuration: self.materials.write(
                "gateway.yaml", Self.gatewayConfiguration(agent: agent.port, port: ports.gateway)))
        self.gateway = gateway
        self.key = try await gateway.regenerateKey()
    }

    private func end() async {
        await self.gateway?.end()
        await self.agent?.end()
        await self.vault.end()
    }

    /// Ends the vault, and starts it again with the same state and ports.
    func restartVault(_ body: () async throws -> Void) async throws {
        await self.vault.end()
        try await body()
        self.vault = try await GatewayProcess.start(
            "vault", configuration: self.vault.configuration,
            environment: self.token?.environment ?? [:])
        #expect(await self.isJoinable())
    }

    private func isJoinable() async -> Bool {
        await self.vault.errors.wait(.seconds(60)) { text in
            text.components(separatedBy: "listening").count > 2
        }
    }

    /// A command on the vault's state.
    func identities(_ arguments: String...) async throws -> GatewayProcess.Outcome {
        try await GatewayProcess.run(
            ["identities"] + arguments + ["--config", self.vault.configuration],
            environment: self.token?.environment ?? [:])
    }

    func makeToken(_ place: String, file: String, _ arguments: String...) async throws {
        let outcome = try await GatewayProcess.run(
            ["identities", "token", "spiffe://test.local/\(place)"] + arguments + [
                "--output", self.path(file), "--config", self.vault.configuration,
            ], environment: self.token?.environment ?? [:])
        guard outcome.code == 0 else { throw HarnessError.commandFailed(outcome.errors) }
    }

    /// A service in this process, whose token is `<name>.token`.
    func client(_ place: String, name: String) throws -> IdentityClient {
        try IdentityClient(
            identity: SPIFFEID("spiffe://test.local/\(place)"),
            folder: IdentityFolder(path: self.path(name)), tokenPath: self.path("\(name).token"))
    }

    func path(_ name: String) -> String { "\(self.materials.path)/\(name)" }

    /// The status of one scored request on a connection of its own; 0 if there is no answer.
    func score() async throws -> Int {
        let port = try #require(self.gateway).port
        let client = try await RawClient.connect(
            port: port, root: self.materials.root, serverName: "localhost", alpn: ["http/1.1"])
        await client.send(
            """
            POST /score HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(self.key)\r\n\
            Content-Length: 4\r\n\r\nbody
            """)
        return await client.answers(1, within: .seconds(60)).first?.status ?? 0
    }

    private static func vaultConfiguration(
        port: Int, joinPort: Int, _ token: SoftToken?
    ) -> String {
        """
        trust_domain: test.local
        service: {kind: vault, name: main}
        state: vault-state
        root_key: {file: root.key}
        listeners:
          - address: 127.0.0.1:\(port)
        identities: {join_address: "127.0.0.1:\(joinPort)", certificate_minutes: 15}
        \(token?.line ?? "")
        policy: []
        """
    }

    private static func agentConfiguration(_ model: String, port: Int) -> String {
        """
        trust_domain: test.local
        service: {kind: agent, name: blue}
        workers: 1
        drain_timeout_ms: 1000
        listeners:
          - address: 127.0.0.1:\(port)
            tls: {certificates: identity, client_trust_roots: identity}
        identity: {vault: {token: {file: agent.token}}, directory: agent-identity}
        endpoints:
          model:
            allowed_identities: [spiffe://test.local/gateway/edge]
            deployments:
              model:
                backends: ["\(model)"]
                request_settings: {request_timeout_ms: 20000}
        """
    }

    private static func gatewayConfiguration(agent: Int, port: Int) -> String {
        """
        trust_domain: test.local
        service: {kind: gateway, name: edge}
        state: state
        root_key: {file: root.key}
        workers: 2
        drain_timeout_ms: 1000
        listeners:
          - address: 127.0.0.1:\(port)
            tls:
              certificates: [{chain: server.pem, key: server.key}]
        identity: {vault: {token: {file: gateway.token}}, directory: gateway-identity}
        endpoints:
          iris:
            hosts: [localhost]
            deployments:
              blue:
                backends: ["https://127.0.0.1:\(agent)"]
                backend_identity: spiffe://test.local/agent/blue
                protocol: http2
                request_settings: {request_timeout_ms: 20000}
        """
    }
}
