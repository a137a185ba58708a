import Foundation
import HTTPTransport
import NIOCore
import TLS
import Testing

/// Secret fields for backends whose values are in the vault: vault, gateway and backend as processes.
@Suite("Backend credentials in the vault", .serialized, .timeLimit(.minutes(10)))
struct VaultCredentialTests {
    /// A vault with secrets, and who sets them.
    private struct Place {
        let materials: Materials
        let vault: GatewayProcess
        let port: Int

        /// The gateway has a right to secrets that begin with `backend-` and to no others.
        static func make() async throws -> Place {
            let materials = try Materials()
            _ = try materials.identity("spiffe://test.local/operator/holder", file: "holder")
            _ = try materials.identity(
                "spiffe://test.local/vault/vault", file: "vault", ipAddresses: ["127.0.0.1"])
            try materials.write("vault-root.key", String(repeating: "cd", count: 32), mode: 0o600)
            let port = try await FreePort.find()
            let configuration = try materials.write(
                "vault.yaml",
                """
                trust_domain: test.local
                service: {kind: vault, name: vault}
                state: vault-state
                root_key: {file: vault-root.key}
                listeners:
                  - address: 127.0.0.1:\(port)
                identity: {chain: vault.pem, key: vault.key, trust_roots: root.pem}
                policy:
                  - identity: spiffe://test.local/gateway/edge
                    secrets: {"backend-*": [get]}
                  - identity: spiffe://test.local/operator/holder
                    secrets: {"*": [set, list]}
                """)
            return Place(
                materials: materials,
                vault: try await GatewayProcess.start("vault", configuration: configuration),
                port: port)
        }

        /// Sets a secret as an operator does; the version that was made.
        @discardableResult
        func set(_ name: String, _ value: String) async throws -> String {
            let file = try self.materials.write("value", value, mode: 0o600)
            let set = try await GatewayProcess.run([
                "secrets", "set", name, "--vault", "https://127.0.0.1:\(self.port)",
                "--chain", "\(self.materials.path)/holder.pem",
                "--key", "\(self.materials.path)/holder.key",
                "--trust-roots", self.materials.root, "--file", file,
            ])
            guard set.code == 0 else { throw HarnessError.commandFailed(set.errors) }
            let id = set.output.trimmingCharacters(in: .whitespacesAndNewlines)
            return try #require(id.split(separator: "/").last.map(String.init))
        }

        /// A gateway's set-up with these credentials of its deployment.
        func setup(_ credentials: String) -> StageSetup {
            var setup = StageSetup()
            setup.lines = """
                vault: {base_url: "https://127.0.0.1:\(self.port)"}
                admin: {address: "unix:./admin.sock"}

                """
            setup.deploymentLines = "        credentials: {\(credentials)}\n"
            return setup
        }

        /// The configuration's file of a gateway with these credentials and no backend.
        func configuration(_ credentials: String) throws -> String {
            try self.materials.write(
                "gateway.yaml",
                Stage.configuration(self.setup(credentials), backend: "https://127.0.0.1:1"))
        }
    }

    @Test("they arrive, new versions are taken into use, the last stays in an outage, none shows")
    func fromTheVault() async throws {
        let place = try await Place.make()
        let pinned = try await place.set("backend-pinned", "planted-pinned")
        try await place.set("backend-pinned", "planted-unused")
        try await place.set("backend-key", "planted-one\n")
        let stage = try await Stage.start(
            place.setup(
                "authorization: {scheme: Bearer, secret: backend-key}, "
                    + "x-pinned: {secret: backend-pinned, version: \(pinned)}"),
            materials: place.materials)
        _ = try await stage.exchange(
            stage.request(lines: "X-Pinned: client\r\n", body: "one"))
        let seen = try #require(stage.backend.requests.last)
        #expect(seen.values("authorization") == ["Bearer planted-one"])
        #expect(seen.values("x-pinned") == ["planted-pinned"])

        // Nobody tells the gateway but the vault.
        try await place.set("backend-key", "planted-two")
        #expect(try await self.isSent("Bearer planted-two", stage))
        #expect(stage.backend.requests.last?["x-pinned"] == "planted-pinned")

        // One that would be two fields is not taken into use.
        try await place.set("backend-key", "planted-three\r\nx-injected: yes")
        #expect(
            await stage.gateway.errors.wait {
                $0.contains("something else than visible ASCII")
            }, "\(stage.gateway.errors.value)")
        _ = try await stage.exchange(stage.request(body: "two"))
        #expect(stage.backend.requests.last?["authorization"] == "Bearer planted-two")
        #expect(stage.backend.requests.last?["x-injected"] == nil)

        #expect(await place.vault.end() == 0)
        let inForce = "configuration in force"
        let count = stage.gateway.errors.value.components(separatedBy: inForce).count
        stage.gateway.signal(SIGHUP)
        #expect(
            await stage.gateway.errors.wait {
                $0.components(separatedBy: inForce).count > count
            }, "\(stage.gateway.errors.value)")
        _ = try await stage.exchange(stage.request(body: "three"))
        #expect(stage.backend.requests.last?["authorization"] == "Bearer planted-two")

        let metrics = try await self.metrics(place.materials)
        #expect(metrics.contains("gateway_workers"))
        let process = "/proc/\(stage.gateway.processID)"
        let environment = try String(contentsOfFile: "\(process)/environ", encoding: .utf8)
        let arguments = try String(contentsOfFile: "\(process)/cmdline", encoding: .utf8)
        #expect(await stage.gateway.end() == 0)
        await stage.backend.stop()
        let access = try String(
            contentsOfFile: place.materials.path + "/access.log", encoding: .utf8)
        #expect(!access.isEmpty)
        for text in [
            access, metrics, environment, arguments, stage.gateway.errors.value,
            place.vault.errors.value,
        ] {
            #expect(!text.contains("planted-"), "\(text)")
        }
    }

    @Test("a gateway that cannot have one does not start, and says why")
    func refused() async throws {
        let place = try await Place.make()
        try await place.set("other", "planted-other")
        try await place.set("backend-words", "planted two words")
        try await place.set("backend-long", String(repeating: "a", count: 8193))
        for (credential, problem) in [
            ("secret: other", "other cannot be used: the vault grants no right to get it"),
            ("secret: backend-none", "the vault has no such secret, or version"),
            ("secret: backend-words", "it holds something else than visible ASCII"),
            ("secret: backend-long", "it has more than 8192 bytes"),
        ] {
            let file = try place.configuration("x-a: {\(credential)}")
            // What it is worth is found at the start: check asks nobody.
            #expect(try await GatewayProcess.run(["check", "--config", file]).code == 0)
            let examined = try await GatewayProcess.run(["doctor", "--config", file])
            #expect(examined.output.contains(problem), "\(examined)")
            let gateway = try GatewayProcess.launch(configuration: file)
            await gateway.exit.wait(.seconds(60)) { $0 != nil }
            #expect(gateway.exit.value == 3)
            #expect(
                await gateway.errors.wait { $0.contains(problem) }, "\(gateway.errors.value)")
            #expect(!(examined.output + gateway.errors.value).contains("planted"))
        }
        try await place.set("backend-good", "planted-good")
        let file = try place.configuration("x-a: {secret: backend-good}")
        let examined = try await GatewayProcess.run(["doctor", "--config", file])
        let url = "https://127.0.0.1:\(place.port)/secrets/backend-good"
        #expect(examined.output.contains("credential x-a of iris/blue (\(url)): ok"), "\(examined)")
        #expect(await place.vault.end() == 0)
        let gateway = try GatewayProcess.launch(configuration: file)
        await gateway.exit.wait(.seconds(60)) { $0 != nil }
        #expect(gateway.exit.value == 3)
        let problem = "backend-good cannot be used: the key vault cannot"
        #expect(await gateway.errors.wait { $0.contains(problem) }, "\(gateway.errors.value)")
    }

    private func isSent(_ value: String, _ stage: Stage) async throws -> Bool {
        let end = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < end {
            _ = try await stage.exchange(stage.request(body: "wait"))
            if stage.backend.requests.last?["authorization"] == value { return true }
        }
        return false
    }

    private func metrics(_ materials: Materials) async throws -> String {
        let fetch = HTTPFetch(
            "/metrics", at: .unix(path: "\(materials.path)/admin.sock"), tls: nil,
            fields: [("host", "localhost")])
        return String(decoding: try await fetch.answer().body, as: UTF8.self)
    }
}
