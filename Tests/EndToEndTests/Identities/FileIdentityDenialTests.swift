import Foundation
import NIOCore
import Testing

/// Services whose identity is in files that somebody else keeps, in a trust domain with a vault.
@Suite("Deny list without an identity from the vault", .serialized, .timeLimit(.minutes(10)))
struct FileIdentityDenialTests {
    @Test("a gateway that names a vault cuts off whom that vault denies, and keeps the list")
    func followed() async throws {
        try await CustomerKeyStage.run(isBackendEncrypted: true) { customer in
            let stage = customer.stage
            func status() async throws -> Int {
                try await stage.exchange(stage.request(body: "body")).status
            }
            let id = "spiffe://test.local/agent/blue"
            func identities(_ command: String) async throws -> Int32 {
                try await GatewayProcess.run([
                    "identities", command, id, "--config", customer.vault.configuration,
                ]).code
            }
            #expect(try await status() == 200)
            #expect(try await identities("deny") == 0)
            let isClosed = await stage.gateway.errors.wait(.seconds(20)) {
                $0.contains("connection of a denied peer closed")
            }
            #expect(isClosed, "\(stage.gateway.errors.value)")
            #expect(try await status() == 503)
            let kept = try String(
                contentsOfFile: customer.materials.path + "/state/denied.json", encoding: .utf8)
            #expect(kept.contains(id))
            #expect(try await identities("allow") == 0)
            #expect(try await eventually { try await status() == 200 })
        }
    }
}
