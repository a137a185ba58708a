import Foundation
import KeyVault
import NIOCore
import Testing

/// Identities of a vault whose trust root's key is in a PKCS#11 token.
@Suite("Identities with a token", .serialized, .timeLimit(.minutes(5)))
struct TokenIdentityTests {
    @Test(
        "services join, the trust root is rotated, the vault restarts",
        arguments: SoftToken.Kind.allCases)
    func token(kind: SoftToken.Kind) async throws {
        guard kind.isPossible else { return }
        try await IdentityFleet.run(token: kind) { fleet in
            #expect(fleet.vault.errors.value.contains("keys in the token"))
            #expect(try await fleet.score() == 200)
            try await Self.expectKeys(1, fleet, kind)

            let rotated = try await fleet.identities("rotate-root")
            #expect(rotated.code == 0, "\(rotated.errors)")
            #expect(try await fleet.identities("rotate-root").code == 1)
            let list = try await fleet.identities("list")
            #expect(list.output.components(separatedBy: "\tkey in the token").count == 3)
            // Not that of the rotation that was refused.
            try await Self.expectKeys(2, fleet, kind)
            try await fleet.restartVault {}
            try await fleet.makeToken("agent/a", file: "a.token")
            _ = try await fleet.client("agent/a", name: "a").join()

            await fleet.vault.end()
            if kind == .softHSM, let token = fleet.token {
                try await token.deletePrivateKey("scoregate root test.local")
                let refusal = try await Self.refusal(fleet)
                #expect(refusal.contains("the key of trust root"), "\(refusal)")
            }
            let file = fleet.vault.configuration
            let text = try String(contentsOfFile: file, encoding: .utf8)
            try text.split(separator: "\n").filter { !$0.hasPrefix("pkcs11") }
                .joined(separator: "\n").write(toFile: file, atomically: true, encoding: .utf8)
            let refused = try await fleet.identities("rotate-root")
            #expect(refused.code == 3)
            #expect(refused.errors.contains("\"pkcs11\" is missing"), "\(refused.errors)")
            #expect(try await Self.refusal(fleet).contains("\"pkcs11\" is missing"))
        }
    }

    /// What the vault says when it does not start.
    private static func refusal(_ fleet: IdentityFleet) async throws -> String {
        let vault = try GatewayProcess.launch(
            "vault", configuration: fleet.vault.configuration,
            environment: fleet.token?.environment ?? [:])
        #expect(await vault.exit.wait { $0 != nil })
        #expect(vault.exit.value == 3)
        // Its last words may be read after its end is known.
        await vault.errors.wait { $0.contains("scoregate: ") }
        return vault.errors.value
    }

    private static func expectKeys(
        _ count: Int, _ fleet: IdentityFleet, _ kind: SoftToken.Kind
    ) async throws {
        guard kind == .softHSM, let token = fleet.token else { return }
        let keys = try await token.keys(private: true)
        #expect(keys.count == count, "\(keys)")
        #expect(keys.allSatisfy { $0.contains("EC") && $0.contains("never extractable") })
        #expect(keys.allSatisfy { $0.contains("scoregate root test.local") })
    }
}
