import Foundation
import HTTPTransport
import NIOCore
import NIOPosix
import TLS
import Testing

/// A vault with a customer's key, a gateway whose endpoint logs under it, and what its holder and a reader
/// do.
final class CustomerKeyStage: Sendable {
    let materials: Materials
    let vault: GatewayProcess
    let vaultPort: Int
    let stage: Stage
    /// What the key lives in; nil if that is the vault's state.
    let token: SoftToken?
    private let holder: TLSCertificateFiles

    private init(
        _ materials: Materials, _ vault: GatewayProcess, _ port: Int, _ stage: Stage,
        _ token: SoftToken?, _ holder: TLSCertificateFiles
    ) {
        self.materials = materials
        self.vault = vault
        self.vaultPort = port
        self.stage = stage
        self.token = token
        self.holder = holder
    }

    /// Sets it up, runs `body` and ends everything.
    ///
    /// `encryption` has further keys of the endpoint's; `lines` are further ones of the configuration.
    /// With `kind` the vault has a PKCS#11 token of that kind, and the customer's key lives in it.
    static func run(
        encryption: String = "", lines: String = "", isBackendEncrypted: Bool = false,
        kind: SoftToken.Kind? = nil,
        _ body: (CustomerKeyStage) async throws -> Void
    ) async throws {
        let materials = try Materials()
        let holder = try materials.identity(
            "spiffe://test.local/operator/holder", file: "holder")
        _ = try materials.identity("spiffe://test.local/vault/vault", file: "vault")
        try materials.write("vault-root.key", String(repeating: "cd", count: 32), mode: 0o600)
        let port = try await FreePort.find()
        let token = try await kind?.make(in: materials)
        let configuration = try materials.write(
            "vault.yaml", Self.vaultConfiguration(port, token))
        let vault = try await GatewayProcess.start(
            "vault", configuration: configuration, environment: token?.environment ?? [:])
        do {
            let created = try await Self.ask(
                .post, "/keys/iris-log/create",
                #"{"kty":"\#(kind?.keyType ?? "RSA")"}"#,
                holder, materials, port)
            try #require(created.status == 200, "\(String(decoding: created.body, as: UTF8.self))")
            var setup = SealedLogStage.setup(
                log: "{directory: log, reader: {chain: caller.pem, key: caller.key}}")
            setup.lines += "vault: {base_url: \"https://127.0.0.1:\(port)\"}\n" + lines
            setup.isBackendEncrypted = isBackendEncrypted
            setup.endpointLines = """
                    encryption: {cmk_vault_base_url: "https://127.0.0.1:\(port)", \
                cmk_key_name: iris-log\(encryption)}

                """
            let stage = try await Stage.start(setup, materials: materials)
            let whole = CustomerKeyStage(materials, vault, port, stage, token, holder)
            do {
                try await body(whole)
            } catch {
                await stage.stop()
                throw error
            }
            await stage.stop()
        } catch {
            await vault.end()
            throw error
        }
        await vault.end()
    }

    /// Ends the vault and runs `body` with the same one at another port, where commands look for it and the
    /// gateway, which runs already, does not.
    func withVaultElsewhere(_ body: (CustomerKeyStage) async throws -> Void) async throws {
        await self.vault.end()
        let port = try await FreePort.find()
        for name in ["vault.yaml", "gateway.yaml"] {
            let text = try String(
                contentsOfFile: self.materials.path + "/" + name, encoding: .utf8)
            try self.materials.write(
                name, text.replacing("127.0.0.1:\(self.vaultPort)", with: "127.0.0.1:\(port)"))
        }
        let vault = try await GatewayProcess.start(
            "vault", configuration: self.materials.path + "/vault.yaml")
        do {
            try await body(
                CustomerKeyStage(
                    self.materials, vault, port, self.stage, self.token, self.holder))
        } catch {
            await vault.end()
            throw error
        }
        await vault.end()
    }

    /// Asks the vault as the key's holder.
    @discardableResult
    func ask(
        _ method: HTTPMethod, _ path: String, _ body: String = ""
    ) async throws -> HTTPFetch.Answer {
        try await Self.ask(
            method, path, body, self.holder, self.materials, self.vaultPort)
    }

    /// Asks the vault as a reader of the log.
    func askAsReader(_ path: String, _ body: String) async throws -> HTTPFetch.Answer {
        try await Self.ask(
            .post, path, body, self.materials.caller, self.materials, self.vaultPort)
    }

    /// Changes the key's attributes.
    func set(_ attributes: String) async throws {
        let answer = try await self.ask(
            .patch, "/keys/iris-log", #"{"attributes":{\#(attributes)}}"#)
        try #require(answer.status == 200, "\(String(decoding: answer.body, as: UTF8.self))")
    }

    /// Scores until the gateway answers with that status; gives how long that took.
    func wait(for status: Int) async throws -> Duration {
        let start = ContinuousClock.now
        while ContinuousClock.now - start < .seconds(60) {
            let answer = try await self.stage.exchange(self.stage.request(body: "wait"))
            if answer.status == status { return ContinuousClock.now - start }
        }
        throw HarnessError.notListening("never \(status): \(self.stage.gateway.errors.value)")
    }

    /// Reads the log, again where a busy machine kept the vault from answering in its two seconds.
    func read() async throws -> GatewayProcess.Outcome {
        var outcome = try await SealedLogStage.command(self.stage, "logs", "cat")
        for _ in 0..<5 where outcome.code == 3 {
            outcome = try await SealedLogStage.command(self.stage, "logs", "cat")
        }
        return outcome
    }

    /// The key ring's entries.
    func keyRing() throws -> [KeyRingFile] {
        let folder = self.materials.path + "/log/keyring"
        return try FileManager.default.contentsOfDirectory(atPath: folder).compactMap { name in
            guard name.hasSuffix(".json") else { return nil }
            return try JSONDecoder().decode(
                KeyRingFile.self,
                from: Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)")))
        }.filter { $0.provider == "azure-key-vault" }
    }

    struct KeyRingFile: Decodable {
        let provider: String
        let algorithm: String
        let wrapped: String
        let wrappingKey: String

        enum CodingKeys: String, CodingKey {
            case provider, algorithm, wrapped
            case wrappingKey = "wrapping_key"
        }
    }

    private static func ask(
        _ method: HTTPMethod, _ path: String, _ body: String, _ identity: TLSCertificateFiles,
        _ materials: Materials, _ port: Int
    ) async throws -> HTTPFetch.Answer {
        var fetch = HTTPFetch(
            path + "?api-version=7.4", at: .host("127.0.0.1", port: port),
            tls: TLSClientConfiguration(
                trustRoots: materials.root, identity: identity,
                peer: .identity("spiffe://test.local/vault/vault"), minimumVersion: .tls13),
            fields: [("host", "127.0.0.1:\(port)"), ("content-type", "application/json")])
        fetch.method = method
        fetch.body = Array(body.utf8)
        fetch.timeout = .seconds(30)
        return try await fetch.answer()
    }

    private static func vaultConfiguration(_ port: Int, _ token: SoftToken?) -> String {
        """
        trust_domain: test.local
        service: {kind: vault, name: vault}
        state: vault-state
        root_key: {file: vault-root.key}
        listeners:
          - address: 127.0.0.1:\(port)
        identity: {chain: vault.pem, key: vault.key, trust_roots: root.pem}
        \(token?.line ?? "")
        policy:
          - identity: spiffe://test.local/gateway/edge
            keys: {iris-log: [get, rewrap\(token == nil ? "" : ", wrapKey")]}
          - identity: spiffe://test.local/reader/caller
            keys: {iris-log: [get, unwrapKey]}
          - identity: spiffe://test.local/operator/holder
            keys: {iris-log: [create, get, update, rotate, list, delete, purge]}
        """
    }
}
