import Foundation
import Testing

/// A gateway on a machine whose identity Azure vouches for: in a network namespace, where the metadata
/// service's address can be taken.
@Suite("Managed identity", .serialized, .timeLimit(.minutes(10)))
struct ManagedIdentityTests {
    @Test("tokens of the metadata service open a vault, are fetched anew, and stay secret")
    func metadata() async throws {
        let python = "\(testCache)/sealed-log/bin/python"
        let isPossible = try await Self.inNamespace(["/bin/true"])?.code == 0
        guard isPossible, FileManager.default.isExecutableFile(atPath: python) else {
            print("SKIPPED: no network namespace (it takes root), or no cryptography for Python")
            return
        }
        let materials = try Materials()
        try materials.write("gateway.yaml", Self.configuration)
        let outcome = try await Self.inNamespace([
            python, "\(repository)/Tests/peers/managed_identity.py",
            GatewayProcess.executable.path, materials.path,
        ])
        let cases = [
            "scored", "asked for a token", "showed it", "read", "fetched anew", "revoked",
            "restored", "kept secret",
        ]
        #expect(
            outcome?.output == cases.map { "\($0) ok\n" }.joined(), "\(outcome?.errors ?? "")")
    }

    /// Runs a program where nothing but its own loopback is, with the metadata service's address.
    private static func inNamespace(_ command: [String]) async throws -> GatewayProcess.Outcome? {
        let prepare = """
            ip link set lo up && ip address add 169.254.169.254/32 dev lo && exec "$@"
            """
        return try await Command.run(
            "/usr/bin/timeout",
            [
                "--signal=KILL", "240", "/usr/bin/unshare", "--net", "/bin/sh", "-c", prepare,
                "sh",
            ] + command,
            environment: ["PYTHONDONTWRITEBYTECODE": "1", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"])
    }

    private static let configuration = """
        trust_domain: test.local
        service: {kind: gateway, name: edge}
        state: state
        root_key: {file: root.key}
        workers: 1
        log: {directory: log}
        listeners:
          - address: 127.0.0.1:8443
            tls: {certificates: [{chain: server.pem, key: server.key}]}
        identity: {chain: gateway.pem, key: gateway.key, trust_roots: root.pem}
        azure: {managed_identity: imds, client_id: the-app, trust_roots: root.pem}
        endpoints:
          iris:
            encryption:
              cmk_vault_base_url: "https://127.0.0.1:7443"
              cmk_key_name: iris-log
            traffic: {blue: 100}
            deployments:
              blue:
                backends: ["http://127.0.0.1:5001"]
                data_collector:
                  sampling_rate: 1.0
                  collections: {request: {enabled: true}, response: {enabled: true}}

        """
}
