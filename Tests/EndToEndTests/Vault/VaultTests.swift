import Foundation
import Testing

/// The vault, asked by the official clients of Azure Key Vault.
@Suite("Vault", .serialized, .timeLimit(.minutes(10)))
struct VaultTests {
    @Test(
        "keys, secrets, policy, events and audit are as Azure's clients expect; restarts lose nothing"
    )
    func clients() async throws {
        guard VaultStage.isPossible else { return }
        let stage = try await VaultStage.make()
        let vault = try await stage.start()
        try await stage.expect(
            "keys", "secrets", "paging", "again", "rewrap", "bad", "policy", "events", "audit",
            "sealed")
        #expect(!vault.errors.value.contains("planted"))
        #expect(vault.errors.value.contains("peer turned away"))
        #expect(await vault.end() == 0)
        let again = try await stage.start()
        try await stage.expect("kept", "audit")
        await again.end()
    }

    @Test("a reload takes over the policy; what is wrong leaves the one in force")
    func reload() async throws {
        guard VaultStage.isPossible else { return }
        let stage = try await VaultStage.make()
        let vault = try await stage.start()
        try await stage.expect("policy")
        let text = try String(contentsOfFile: stage.configuration, encoding: .utf8)
        _ = try stage.materials.write(
            "vault.yaml", text.replacing("[get, list, unwrapKey]", with: "[gett]"))
        vault.signal(SIGHUP)
        await vault.errors.wait { $0.contains("reload failed") }
        #expect(
            vault.errors.value.contains(#"unknown right "gett"; did you mean "get"?"#))
        try await stage.expect("rewrap")
        _ = try stage.materials.write(
            "vault.yaml", text.replacing("    keys: {\"log-*\": [get]}\n", with: ""))
        vault.signal(SIGHUP)
        await vault.errors.wait { $0.contains("reloaded") }
        try await stage.expect("revoked")
        async let holding: Void = stage.expect("hold")
        #expect(
            try await eventually(.seconds(60)) {
                FileManager.default.fileExists(atPath: "\(stage.materials.path)/holding")
            })
        #expect(await vault.end() == 0)
        try await holding
    }
}
