import Foundation
import NIOCore
import TLS
import Testing

/// What `scoregate doctor` says of a gateway whose backend is behind mutual TLS and whose log is under a
/// customer's key, and of the vault that has the key.
@Suite("Doctor", .serialized, .timeLimit(.minutes(10)))
struct DoctorTests {
    private struct Leg: Decodable {
        var name: String
        var address: String
        var problem: String?
        var protection: String?
        var cipher: String?
        var group: String?
        var identity: String?
        var issuer: String?
        var daysLeft: Int?
        var ticketAgeMilliseconds: Int?
        var keyState: String?
    }

    /// A customer's key, and the gateway's configuration with the port it listens on.
    private static func run(
        _ body: (CustomerKeyStage, _ configuration: String) async throws -> Void
    ) async throws {
        try await CustomerKeyStage.run(
            lines: "admin: {address: \"unix:admin.sock\"}\n", isBackendEncrypted: true
        ) { customer in
            let text = try String(
                contentsOfFile: customer.materials.path + "/gateway.yaml", encoding: .utf8)
            try await body(
                customer, text.replacing("127.0.0.1:0", with: "127.0.0.1:\(customer.stage.port)"))
        }
    }

    /// The legs of a configuration in the folder, and the command's exit code.
    private static func examine(
        _ materials: Materials, _ name: String, _ text: String? = nil
    ) async throws -> (code: Int32, legs: [String: Leg]) {
        if let text { try materials.write(name, text) }
        let outcome = try await GatewayProcess.run([
            "doctor", "--config", "\(materials.path)/\(name)", "--output", "json",
        ])
        let legs = try JSONDecoder().decode([Leg].self, from: Data(outcome.output.utf8))
        return (
            outcome.code, Dictionary(legs.map { ($0.name, $0) }, uniquingKeysWith: { $1 })
        )
    }

    @Test("where all is well every leg has what is known of it, and the exit code is 0")
    func sound() async throws {
        try await Self.run { customer, text in
            let (code, legs) = try await Self.examine(customer.materials, "doctor.yaml", text)
            #expect(code == 0, "\(legs)")
            #expect(
                legs.keys.sorted() == [
                    "admin", "backend of iris/blue", "identity", "listener",
                    "wrapping key of iris",
                ])
            let connected = [
                ("listener", "localhost"),
                ("backend of iris/blue", "spiffe://test.local/agent/blue"),
                ("wrapping key of iris", "spiffe://test.local/vault/vault"),
            ]
            for (name, identity) in connected {
                let leg = try #require(legs[name])
                #expect(leg.problem == nil && leg.protection == "TLSv1.3", "\(leg)")
                #expect(leg.cipher == "TLS_AES_128_GCM_SHA256" && leg.group == "X25519", "\(leg)")
                #expect(leg.identity == identity, "\(leg)")
                #expect(leg.issuer?.isEmpty == false && (leg.daysLeft ?? 0) > 0, "\(leg)")
            }
            #expect(legs["identity"]?.identity == "spiffe://test.local/gateway/edge")
            #expect(legs["admin"]?.protection == "Unix socket")
            #expect(legs["wrapping key of iris"]?.keyState == "active")
            // Tickets are for clients without certificates.
            #expect(try #require(legs["listener"]).ticketAgeMilliseconds != nil)
            #expect(try #require(legs["backend of iris/blue"]).ticketAgeMilliseconds == nil)

            let (vaultCode, ofVault) = try await Self.examine(customer.materials, "vault.yaml")
            #expect(vaultCode == 0, "\(ofVault)")
            let vault = "spiffe://test.local/vault/vault"
            #expect(ofVault["identity"]?.identity == vault)
            let listener = try #require(ofVault["listener"])
            #expect(listener.protection == "TLSv1.3" && listener.identity == vault, "\(listener)")
            #expect(listener.ticketAgeMilliseconds == nil)
            #expect(ofVault["readiness"] != nil)
            let key = try #require(ofVault["key iris-log"])
            #expect(key.keyState == "active" && key.protection == "root key", "\(key)")
            #expect(key.address.hasPrefix("https://127.0.0.1:\(customer.vaultPort)/keys/iris-log/"))

            // The one leg without TLS is named where it is used; nobody is there to be asked.
            let azure = text.replacing(
                "vault: {base_url: \"https://127.0.0.1:\(customer.vaultPort)\"}",
                with: "azure: {managed_identity: imds}")
            let (_, inAzure) = try await Self.examine(customer.materials, "azure.yaml", azure)
            #expect(inAzure["managed identity"]?.protection?.hasPrefix("none") == true)
            #expect(legs["managed identity"] == nil)

            // The same for people.
            let shown = try await GatewayProcess.run([
                "doctor", "--config", "\(customer.materials.path)/doctor.yaml",
            ])
            #expect(shown.code == 0)
            #expect(shown.output.contains("ticket taken after"), "\(shown.output)")
            #expect(shown.output.contains("key active, TLSv1.3"), "\(shown.output)")
        }
    }

    @Test("a gateway, an agent and a vault whose identities the vault issued are sound")
    func issued() async throws {
        try await IdentityFleet.run(ports: .find()) { fleet in
            #expect(try await fleet.score() == 200)
            let peers = [
                ("gateway.yaml", "backend of iris/blue", "spiffe://test.local/agent/blue"),
                ("agent.yaml", "listener", "spiffe://test.local/agent/blue"),
                ("vault.yaml", "listener", "spiffe://test.local/vault/main"),
                ("vault.yaml", "join listener", "spiffe://test.local/vault/main"),
            ]
            for (file, name, identity) in peers {
                let (code, legs) = try await Self.examine(fleet.materials, file)
                #expect(code == 0, "\(file): \(legs)")
                let leg = try #require(legs[name])
                #expect(leg.identity == identity && leg.protection == "TLSv1.3", "\(leg)")
                // For less than an hour, and not to be resumed.
                #expect(leg.daysLeft == 0 && leg.ticketAgeMilliseconds == nil, "\(leg)")
            }
            let (_, ofAgent) = try await Self.examine(fleet.materials, "agent.yaml")
            #expect(ofAgent["backend of model/model"]?.protection == "loopback")
        }
    }

    @Test("a leg that falls short is named with the reason, and the exit code is 1")
    func fallsShort() async throws {
        try await Self.run { customer, text in
            let backend = customer.stage.backend.url
            func expect(
                _ leg: String, _ reason: String, file: String = "doctor.yaml", _ text: String?,
                sourceLocation: SourceLocation = #_sourceLocation
            ) async throws {
                let (code, legs) = try await Self.examine(customer.materials, file, text)
                #expect(code == 1, sourceLocation: sourceLocation)
                let wrong = legs.values.filter { $0.problem != nil }
                #expect(wrong.map(\.name) == [leg], sourceLocation: sourceLocation)
                #expect(
                    wrong.first?.problem?.contains(reason) == true, "\(wrong)",
                    sourceLocation: sourceLocation)
            }
            let leg = "backend of iris/blue"
            // Another than the one that is there.
            try await expect(leg, "agent/green", text.replacing("agent/blue", with: "agent/green"))
            // Nobody.
            let free = try await FreePort.find()
            try await expect(
                leg, "refused", text.replacing(backend, with: "https://127.0.0.1:\(free)"))
            try await expect(
                "listener", "refused",
                text.replacing("127.0.0.1:\(customer.stage.port)", with: "127.0.0.1:\(free)"))
            // One whose certificate ran out yesterday.
            let expired = try await customer.materials.madeUp(
                """
                basicConstraints=critical,CA:FALSE
                keyUsage=critical,digitalSignature
                extendedKeyUsage=serverAuth
                subjectKeyIdentifier=hash
                authorityKeyIdentifier=keyid
                subjectAltName=URI:spiffe://test.local/agent/blue

                """, file: "expired", days: -1)
            let server = try await PeerProcess.start(
                "/usr/bin/openssl",
                [
                    "s_server", "-accept", "127.0.0.1:0", "-cert", expired.chain, "-key",
                    expired.key, "-tls1_3", "-no_dhe", "-www",
                ])
            try await expect(
                leg, "expired", text.replacing(backend, with: "https://127.0.0.1:\(server.port)"))
            await server.end()
            // A key that its holder took away, as the gateway and the vault see it.
            try await customer.set(#""enabled":false"#)
            try await expect("wrapping key of iris", "disabled", text)
            try await expect("key iris-log", "disabled", file: "vault.yaml", nil)
            try await customer.set(
                #""enabled":true,"exp":\#(Int(Date().timeIntervalSince1970) - 1)"#)
            try await expect("key iris-log", "expired", file: "vault.yaml", nil)
        }
    }
}
