internal import Foundation
internal import NIOCore
internal import NIOPosix

/// The configurations of the demonstration's services, and the ports they name.
struct DemoConfiguration {
    let vaultPort: Int
    let joinPort: Int
    let agentPort: Int
    let gatewayPort: Int

    /// Finds ports that nobody listens on.
    static func make() async throws -> DemoConfiguration {
        var channels: [any Channel] = []
        for _ in 0..<4 {
            channels.append(
                try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
                    .bind(host: "127.0.0.1", port: 0).get())
        }
        let ports = channels.compactMap { $0.localAddress?.port }
        for channel in channels { try await channel.close() }
        return DemoConfiguration(
            vaultPort: ports[0], joinPort: ports[1], agentPort: ports[2], gatewayPort: ports[3])
    }

    /// The vault's URL.
    var vaultURL: String { "https://127.0.0.1:\(self.vaultPort)" }

    /// Of `vault.yaml`.
    var vault: String {
        """
        service: {kind: vault, name: vault}
        state: vault-state
        root_key: {file: vault.key}
        listeners:
          - address: 127.0.0.1:\(self.vaultPort)
        identities: {join_address: "127.0.0.1:\(self.joinPort)"}
        policy:
          - identity: spiffe://scoregate.local/gateway/edge
            keys: {\(Self.keyName): [get, rewrap]}
          - identity: spiffe://scoregate.local/reader/audit
            keys: {\(Self.keyName): [get, unwrapKey]}
          - identity: spiffe://scoregate.local/operator/customer
            keys: {\(Self.keyName): [create, get, update, rotate]}

        """
    }

    /// Of `agent.yaml`.
    var agent: String {
        """
        service: {kind: agent, name: blue}
        workers: 1
        drain_timeout_ms: 2000
        identity: {vault: {token: {file: agent.token}}, directory: agent-identity}
        listeners:
          - address: 127.0.0.1:\(self.agentPort)
            tls: {certificates: identity, client_trust_roots: identity}
        endpoints:
          model:
            allowed_identities: [spiffe://scoregate.local/gateway/edge]
            deployments:
              model: {backends: ["unix:model.sock"]}

        """
    }

    /// Of `gateway.yaml`.
    var gateway: String {
        """
        service: {kind: gateway, name: edge}
        state: state
        root_key: {file: gateway-root.key}
        workers: 2
        drain_timeout_ms: 2000
        identity: {vault: {token: {file: gateway.token}}, directory: gateway-identity}
        vault: {base_url: "\(self.vaultURL)"}
        log:
          directory: log
          reserve_bytes: 1048576
          reader: {chain: reader/current/chain.pem, key: reader/current/key.pem}
        listeners:
          - address: 127.0.0.1:\(self.gatewayPort)
            tls:
              certificates: [{chain: gateway.pem, key: gateway.key}]
        endpoints:
          iris:
            encryption: {cmk_vault_base_url: "\(self.vaultURL)", cmk_key_name: \(Self.keyName)}
            deployments:
              blue:
                backends: ["https://127.0.0.1:\(self.agentPort)"]
                backend_identity: spiffe://scoregate.local/agent/blue
                protocol: http2
                data_collector:
                  durability: strict
                  collections: {request: {enabled: true}, response: {enabled: true}}

        """
    }

    /// The customer's key in the vault.
    static let keyName = "iris-log"
}
