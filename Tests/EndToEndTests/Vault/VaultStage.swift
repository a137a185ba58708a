import Foundation
import NIOCore
import Testing

/// A vault as a process, its peers' certificates, and the official clients to ask it.
final class VaultStage: Sendable {
    let materials: Materials
    let port: Int
    private let environment: [String: String]

    private init(_ materials: Materials, port: Int, environment: [String: String]) {
        self.materials = materials
        self.port = port
        self.environment = environment
    }

    /// Whether the clients are installed; says so where they are not.
    static var isPossible: Bool {
        if FileManager.default.isExecutableFile(atPath: self.python) { return true }
        print("SKIPPED: the clients of Azure Key Vault are not installed (Tests/setup components)")
        return false
    }

    private static var python: String { "\(testCache)/vault/bin/python" }

    /// Makes the files of a vault; `lines` are further ones of its configuration.
    static func make(
        lines: String = "", environment: [String: String] = [:],
        materials: Materials? = nil
    ) async throws -> VaultStage {
        let materials = try materials ?? Materials()
        let peers = [
            ("operator/ops", "operator"), ("gateway/edge", "writer"), ("reader/audit", "reader"),
            ("rewrap/main", "rewrap"), ("reader/stranger", "stranger"),
        ]
        for (place, file) in peers {
            _ = try materials.identity("spiffe://test.local/\(place)", file: file)
        }
        // Our own authority would not issue it: another that shares the root might.
        _ = try await materials.madeUp(
            """
            basicConstraints=critical,CA:FALSE
            keyUsage=critical,digitalSignature
            extendedKeyUsage=clientAuth
            subjectAltName=URI:spiffe://elsewhere.local/operator/ops

            """, file: "foreign-domain")
        _ = try materials.foreignIdentity("spiffe://test.local/operator/ops", file: "foreign-root")
        _ = try materials.identity(
            "spiffe://test.local/vault/main", file: "vault", ipAddresses: ["127.0.0.1"])
        // The ids of keys name the port before it is bound.
        let port = try await FreePort.find()
        let stage = VaultStage(materials, port: port, environment: environment)
        try materials.write("vault.yaml", Self.configuration(port: port, lines: lines))
        return stage
    }

    /// The configuration's file.
    var configuration: String { "\(self.materials.path)/vault.yaml" }

    /// Starts the vault, which must come up.
    func start() async throws -> GatewayProcess {
        try await GatewayProcess.start(
            "vault", configuration: self.configuration, environment: self.environment)
    }

    /// Starts the vault, which must not come up; how it ended.
    func refusal() async throws -> (code: Int32?, errors: String) {
        let process = try GatewayProcess.launch(
            "vault", configuration: self.configuration, environment: self.environment)
        await process.exit.wait(.seconds(60)) { $0 != nil }
        // Its last words may be read after its end is known.
        await process.errors.wait { $0.contains("scoregate: ") }
        return (process.exit.value, process.errors.value)
    }

    /// Runs cases of the client; each must say that it is right.
    func expect(
        _ cases: String..., sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let outcome = try await Command.run(
            "/usr/bin/timeout",
            [
                "--signal=KILL", "240", Self.python, "\(repository)/Tests/peers/vault_client.py",
                "\(self.port)", self.materials.root, self.materials.path,
            ] + cases, environment: Peers.environment)
        #expect(
            outcome.output == cases.map { "\($0) ok\n" }.joined(), "\(outcome.errors)",
            sourceLocation: sourceLocation)
    }

    private static func configuration(port: Int, lines: String) -> String {
        """
        trust_domain: test.local
        service: {kind: vault, name: main}
        state: state
        root_key: {file: root.key}
        listeners:
          - address: 127.0.0.1:\(port)
        identity: {chain: vault.pem, key: vault.key, trust_roots: root.pem}
        \(lines)
        policy:
          - identity: spiffe://test.local/operator/ops
            may_wrap_and_unwrap: true
            keys:
              "*": [get, list, create, update, rotate, wrapKey, unwrapKey, rewrap, delete, recover, purge]
            secrets: {"*": [get, list, set, update, delete, recover, purge]}
          - identity: spiffe://test.local/gateway/edge
            keys: {"log-*": [get]}
          - identity: spiffe://test.local/reader/audit
            keys: {"log-*": [get, list, unwrapKey]}
          - identity: spiffe://test.local/rewrap/main
            keys: {"log-*": [get, rewrap]}

        """
    }
}
