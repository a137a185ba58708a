internal import Cryptography
internal import Foundation
internal import HTTPTransport
internal import KeyVault
internal import NIOCore
internal import State
internal import TLS

/// The whole system on loopback, each service a process of its own, shown and ended.
///
/// What an operator does is done by the commands an operator has; what the holder of the customer's key
/// does, by the vault's API.
struct Demonstration {
    let folder: String
    let show: (String) -> Void

    /// Runs it; every process that was started is ended, whatever happens.
    ///
    /// - Throws: What kept a part from starting, or from behaving as it should.
    func run() async throws {
        self.show("scoregate demo: vault, agent, model and gateway on this machine\n")
        let configuration = try await DemoConfiguration.make()
        try self.makeFiles(configuration)
        var services: [DemoService] = []
        do {
            try await self.start(configuration, &services)
            try await self.demonstrate(configuration)
        } catch {
            await Self.end(services)
            throw error
        }
        await Self.end(services)
        self.show("\nstopped and cleaned up")
    }

    private static func end(_ services: [DemoService]) async {
        for service in services.reversed() { await service.end() }
    }

    private func makeFiles(_ configuration: DemoConfiguration) throws {
        for name in ["vault.key", "gateway-root.key"] {
            _ = try RootKey.create(path: "\(self.folder)/\(name)")
        }
        try self.write("vault.yaml", configuration.vault)
        try self.write("agent.yaml", configuration.agent)
        try self.write("gateway.yaml", configuration.gateway)
        let authority = try CertificateAuthority.create(trustDomain: "public.example", days: 1)
        try self.write("ca.pem", authority.certificate.pem)
        let key = try authority.privateKeyPEM()
        try WholeFile.write(key.bytes, to: "\(self.folder)/ca.key", mode: 0o600, isReplacing: false)
        try self.issueCertificate()
    }

    private func start(
        _ configuration: DemoConfiguration, _ services: inout [DemoService]
    ) async throws {
        func start(_ arguments: [String], addresses: Int) async throws {
            let service = try DemoService(arguments, in: self.folder)
            services.append(service)
            try await service.waitUntilListening(addresses)
        }
        try await start(["vault", "--config", "vault.yaml"], addresses: 2)
        self.show("vault        \(configuration.vaultURL), issues identities, keeps keys")
        for (identity, token) in [
            ("agent/blue", "agent"), ("gateway/edge", "gateway"), ("reader/audit", "reader"),
            ("operator/customer", "customer"),
        ] {
            try await self.command([
                "identities", "token", "spiffe://scoregate.local/\(identity)", "--config",
                "vault.yaml", "--output", "\(token).token",
            ])
        }
        try await self.join("reader/audit", "reader")
        try await self.join("operator/customer", "customer")
        try await self.askVault(
            configuration, .post, "/create", #"{"kty": "RSA", "key_size": 3072}"#)
        self.show("customer     made the key \(DemoConfiguration.keyName) in it: RSA, 3072 bits")
        try await start(["model", "--address", "unix:model.sock"], addresses: 1)
        self.show("model        the built-in iris classifier, on a Unix socket")
        try await start(["agent", "--config", "agent.yaml"], addresses: 1)
        self.show(
            "agent        https://127.0.0.1:\(configuration.agentPort), mutual TLS, for gateway/edge only"
        )
        try await start(["serve", "--config", "gateway.yaml"], addresses: 1)
        self.show(
            """
            gateway      https://localhost:\(configuration.gatewayPort), endpoint iris
            identities   agent/blue, gateway/edge, reader/audit, operator/customer: joined with one-time
                         tokens, certificates for an hour, renewed by themselves
            """)
    }

    private func demonstrate(_ configuration: DemoConfiguration) async throws {
        let key = try await self.makeKey("primary")
        let traffic = DemoTraffic(
            port: configuration.gatewayPort, trustRoots: "\(self.folder)/ca.pem", key: key)
        try await self.score(traffic)
        try await self.changeEverything(configuration, traffic)
        try await self.showLog()
        try await self.revoke(configuration, traffic)
    }

    private func score(_ traffic: DemoTraffic) async throws {
        let answer = try await traffic.request.answer()
        guard let session = answer.session else {
            throw Self.refusal("the answer did not come over TLS")
        }
        let text = String(decoding: answer.body, as: UTF8.self)
        self.show(
            """

            negotiated   \(session.version.name), \(session.cipher.name), \(session.group?.name ?? "no group")
            request      POST /score \(String(decoding: DemoTraffic.body, as: UTF8.self))
            answer       \(answer.status), x-request-id \(answer.value(of: "x-request-id") ?? "none"), \
            deployment \(answer.value(of: "azureml-model-deployment") ?? "none")
            prediction   \(text)
            """)
        guard answer.status == 200, text == #"["setosa", "virginica"]"# else {
            throw Self.refusal("that is not the right prediction")
        }
        var wrong = traffic.request
        wrong.fields[1].value = "Bearer wrong"
        let refused = try await wrong.answer()
        self.show(
            "wrong key    \(refused.status), \(String(decoding: refused.body, as: UTF8.self))")
        guard refused.status == 401 else { throw Self.refusal("a wrong key was not refused") }
    }

    /// Changes the endpoint's key, the wrapping key and the gateway's certificate under load.
    private func changeEverything(
        _ configuration: DemoConfiguration, _ traffic: DemoTraffic
    ) async throws {
        self.show("\nunder load, on kept and on new connections:")
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await traffic.run() }
            defer { traffic.stop() }
            traffic.use(try await self.makeKey("secondary"))
            try await self.makeKey("primary", isShown: false)
            self.show("  endpoint key    primary replaced while callers used secondary")

            let version = try await self.newestVersion(configuration)
            try await self.askVault(configuration, .post, "/rotate", "{}")
            let adopted = try await self.milliseconds("the log did not change keys") {
                let versions = try self.keyRingVersions()
                return !versions.isEmpty && !versions.contains { $0.hasSuffix(version) }
            }
            self.show(
                "  wrapping key    a new version; log keys wrapped under it after \(adopted) ms")

            let before = try await traffic.request.answer().session?.peer?.certificate
            try self.issueCertificate()
            let replaced = try await self.milliseconds("the certificate was not taken over") {
                try await traffic.request.answer().session?.peer?.certificate != before
            }
            self.show(
                "  certificate     a new one from the public authority, shown after \(replaced) ms")
            traffic.stop()
            try await group.waitForAll()
        }
        let result = traffic.result
        self.show(
            "  requests        \(result.good) answered with 200, \(result.bad.count) otherwise")
        guard result.good > 0, result.bad.isEmpty else {
            throw Self.refusal("requests failed: \(result.bad.prefix(5))")
        }
    }
}

// The parts that ask and look.
extension Demonstration {
    /// Takes the customer's key away, and gives it back.
    private func revoke(
        _ configuration: DemoConfiguration, _ traffic: DemoTraffic
    ) async throws {
        try await self.askVault(
            configuration, .patch, "", #"{"attributes": {"enabled": false}}"#)
        // An answer whose entry can no longer be made durable is cut, which is no answer yet.
        let refused = try await self.milliseconds("scoring goes on without the key") {
            try? await traffic.request.answer().status == 503
        }
        let unread = try await DemoService.run(
            ["logs", "cat", "--config", "gateway.yaml"], in: self.folder)
        guard unread.code != 0, unread.output.isEmpty else {
            throw Self.refusal("the log can be read without the key")
        }
        self.show(
            """

            revoked      the customer disabled the key: scoring answers 503 after \(refused) ms; logs cat:
                         \(unread.errors.split(separator: "\n").last ?? "refused")
            """)
        try await self.askVault(
            configuration, .patch, "", #"{"attributes": {"enabled": true}}"#)
        let restored = try await self.milliseconds("scoring does not go on with the key") {
            try? await traffic.request.answer().status == 200
        }
        let verified = try await self.command(["logs", "verify", "--config", "gateway.yaml"])
        self.show(
            """
            restored     and enabled it again: 200 after \(restored) ms
            verified     \(verified.split(separator: "\n").first { $0.hasPrefix("iris") } ?? "")
            """)
    }

    /// Shows that the request is on disk, and only sealed.
    private func showLog() async throws {
        let planted = Array("[[5.1, 3.5, 1.4, 0.2]".utf8)
        var files = 0
        let names = FileManager.default.enumerator(atPath: self.folder)
        while let name = names?.nextObject() as? String {
            guard let bytes = FileManager.default.contents(atPath: "\(self.folder)/\(name)") else {
                continue
            }
            files += 1
            guard bytes.firstRange(of: planted) == nil else {
                throw Self.refusal("the request stands in clear in \(name)")
            }
        }
        self.show("\non disk      the request's bytes are in none of \(files) files")
        let output = try await self.command(["logs", "cat", "--config", "gateway.yaml"])
        let entries = output.split(separator: "\n").filter { !$0.contains(#""kind":"event""#) }
        guard entries.count >= 2, entries[0].contains("5.1, 3.5, 1.4, 0.2") else {
            throw Self.refusal("the request is not in the log")
        }
        for entry in entries.prefix(2) { self.show("log entry    \(entry)") }
        self.show("             … and \(entries.count - 2) more; this reading was logged as well")
    }

    /// Makes an endpoint key by command, in force when this returns.
    @discardableResult
    private func makeKey(_ slot: String, isShown: Bool = true) async throws -> String {
        let output = try await self.command([
            "keys", "regenerate", "iris", "--slot", slot, "--config", "gateway.yaml",
        ])
        if isShown, slot == "primary" { self.show("endpoint key primary, shown once to its owner") }
        return output.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Gets an identity of its own for somebody who is no service.
    private func join(_ identity: String, _ name: String) async throws {
        _ = try await IdentityClient(
            identity: SPIFFEID("spiffe://scoregate.local/\(identity)"),
            folder: IdentityFolder(path: "\(self.folder)/\(name)"),
            tokenPath: "\(self.folder)/\(name).token"
        ).ensure()
    }

    /// Asks the vault about the customer's key, as its holder.
    @discardableResult
    private func askVault(
        _ configuration: DemoConfiguration, _ method: HTTPMethod, _ path: String, _ body: String
    ) async throws -> HTTPFetch.Answer {
        let holder = IdentityFolder(path: "\(self.folder)/customer")
        var fetch = HTTPFetch(
            "/keys/\(DemoConfiguration.keyName)\(path)?api-version=7.6",
            at: .host("127.0.0.1", port: configuration.vaultPort),
            tls: TLSClientConfiguration(
                trustRoots: holder.trustBundle,
                identity: TLSCertificateFiles(chain: holder.chain, key: holder.key),
                peer: .identity("spiffe://scoregate.local/vault/vault"), minimumVersion: .tls13),
            fields: [
                ("host", "127.0.0.1:\(configuration.vaultPort)"),
                ("content-type", "application/json"),
            ])
        fetch.method = method
        fetch.body = Array(body.utf8)
        fetch.timeout = .seconds(30)
        let answer = try await fetch.answer()
        guard answer.status == 200 else {
            throw Self.refusal(
                "the vault answered \(answer.status): \(String(decoding: answer.body, as: UTF8.self))"
            )
        }
        return answer
    }

    private func newestVersion(_ configuration: DemoConfiguration) async throws -> String {
        struct Answer: Decodable {
            let key: Key
            struct Key: Decodable { let kid: String }
        }
        let answer = try await self.askVault(configuration, .get, "", "")
        let kid = try JSONDecoder().decode(Answer.self, from: Data(answer.body)).key.kid
        return kid.split(separator: "/").last.map(String.init) ?? ""
    }

    /// Which versions of the customer's key wrap the log keys.
    private func keyRingVersions() throws -> [String] {
        struct Entry: Decodable {
            let wrappingKey: String
            enum CodingKeys: String, CodingKey { case wrappingKey = "wrapping_key" }
        }
        let folder = "\(self.folder)/log/keyring"
        return try FileManager.default.contentsOfDirectory(atPath: folder)
            .filter { $0.hasSuffix(".json") }
            .map { name in
                try JSONDecoder().decode(
                    Entry.self, from: Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)"))
                ).wrappingKey
            }
            .filter { $0.contains("/keys/") }
    }

    /// How long it takes until `condition` holds.
    private func milliseconds(
        _ failure: String, _ condition: () async throws -> Bool?
    ) async throws -> Int {
        let start = ContinuousClock.now
        while try await condition() != true {
            guard ContinuousClock.now - start < .seconds(70) else { throw Self.refusal(failure) }
            try await Task.sleep(for: .milliseconds(10))
        }
        return Int((ContinuousClock.now - start) / .milliseconds(1))
    }

    /// Gives the gateway another certificate of the public authority.
    private func issueCertificate() throws {
        let authority = try CertificateAuthority(
            certificatePEM: Array(Data(contentsOf: URL(fileURLWithPath: "\(self.folder)/ca.pem"))),
            privateKeyPEM: SecretBytes(
                contentsOf: "\(self.folder)/ca.key", maximum: 16_384))
        let issued = try authority.issueServer(
            commonName: "localhost", dnsNames: ["localhost"], ipAddresses: ["127.0.0.1"], days: 1)
        try WholeFile.write(
            issued.privateKeyPEM.bytes, to: "\(self.folder)/gateway.key", mode: 0o600,
            isReplacing: true)
        try self.write("gateway.pem", issued.certificate.pem)
    }

    private func write(_ name: String, _ text: String) throws {
        try text.write(toFile: "\(self.folder)/\(name)", atomically: true, encoding: .utf8)
    }

    @discardableResult
    private func command(_ arguments: [String]) async throws -> String {
        let outcome = try await DemoService.run(arguments, in: self.folder)
        guard outcome.code == 0 else {
            throw Self.refusal("scoregate \(arguments.joined(separator: " ")): \(outcome.errors)")
        }
        return outcome.output
    }

    private static func refusal(_ message: String) -> CommandFailure {
        CommandFailure(code: .refused, message: message)
    }
}
