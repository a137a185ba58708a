import Foundation
import Testing

/// The vault with a PKCS#11 token: SoftHSM, each test with one of its own.
@Suite("Vault with a token", .serialized, .timeLimit(.minutes(10)))
struct VaultTokenTests {
    private static var isPossible: Bool {
        SoftToken.Kind.softHSM.isPossible && VaultStage.isPossible
    }

    private static func stage(pin: String = "1234") async throws -> (VaultStage, SoftToken) {
        let materials = try Materials()
        let token = try await SoftToken.make(in: materials, pin: pin)
        let stage = try await VaultStage.make(
            lines: token.line, environment: token.environment, materials: materials)
        return (stage, token)
    }

    @Test(
        "AES keys never leave it, RSA keys are sealed by it; pulled out and put back, it works again"
    )
    func token() async throws {
        guard Self.isPossible else { return }
        let (stage, token) = try await Self.stage()
        let vault = try await stage.start()
        #expect(vault.errors.value.contains("sealed under a key of the token"))
        try await stage.expect("token", "policy", "sealed")
        let keys = try await token.keys()
        // The one that seals, and two versions of log-token; the purged one is gone.
        #expect(keys.count == 3, "\(keys)")
        #expect(keys.allSatisfy { $0.contains("never extractable") }, "\(keys)")
        #expect(!keys.contains { $0.contains("gone/") })

        try FileManager.default.moveItem(atPath: token.folder, toPath: token.folder + ".pulled")
        try await stage.expect("tokengone")
        #expect(vault.errors.value.contains("a request failed"))
        try FileManager.default.moveItem(atPath: token.folder + ".pulled", toPath: token.folder)
        try await stage.expect("tokenkept")
        #expect(await vault.end() == 0)

        let again = try await stage.start()
        try await stage.expect("tokenkept")
        await again.end()
        // Without its token this state is of no use: better said at the start.
        let text = try String(contentsOfFile: stage.configuration, encoding: .utf8)
        _ = try stage.materials.write(
            "vault.yaml",
            text.split(separator: "\n").filter { !$0.hasPrefix("pkcs11") }.joined(separator: "\n"))
        let refusal = try await stage.refusal()
        #expect(refusal.code == 3)
        #expect(refusal.errors.contains("\"pkcs11\" is missing"), "\(refusal.errors)")
    }

    @Test("RSA keys stay in a token that opens OAEP with SHA-256, and work after a restart")
    func rsaToken() async throws {
        guard VaultStage.isPossible, SoftToken.Kind.softokn.isPossible else { return }
        let materials = try Materials()
        let token = try await SoftToken.Kind.softokn.make(in: materials)
        let stage = try await VaultStage.make(lines: token.line, materials: materials)
        let vault = try await stage.start()
        #expect(vault.errors.value.contains("in the token, or sealed"), "\(vault.errors.value)")
        try await stage.expect("rsatoken", "tokenkept")
        #expect(await vault.end() == 0)
        // Two versions of log-inside; the purged one is gone, and so is that of the test at the start.
        #expect(try await token.countRSA() == 2)
        let again = try await stage.start()
        try await stage.expect("tokenkept")
        #expect(await again.end() == 0)
    }

    @Test("a wrong PIN, an unknown token and a module that is none are said at the start")
    func refused() async throws {
        guard Self.isPossible else { return }
        let (stage, _) = try await Self.stage(pin: "9999")
        let wrongPIN = try await stage.refusal()
        #expect(wrongPIN.code == 3)
        #expect(wrongPIN.errors.contains("does not take the PIN"), "\(wrongPIN.errors)")
        #expect(!wrongPIN.errors.contains("9999"))
        let text = try String(contentsOfFile: stage.configuration, encoding: .utf8)
        for (old, new, problem) in [
            ("token_label: scoregate", "token_label: other", "no slot has a token"),
            (SoftToken.module, "/usr/lib/none.so", "cannot be used"),
            (SoftToken.module, "\(stage.materials.path)/root.pem", "cannot be used"),
        ] {
            _ = try stage.materials.write("vault.yaml", text.replacing(old, with: new))
            let refusal = try await stage.refusal()
            #expect(refusal.code == 3)
            #expect(refusal.errors.contains(problem), "\(refusal.errors)")
        }
    }

    @Test("of two tokens of one label the serial number says which; without it neither is taken")
    func serial() async throws {
        guard Self.isPossible else { return }
        let (stage, token) = try await Self.stage()
        // Makes its key there.
        await (try await stage.start()).end()
        let first = try await token.serials()
        try await token.addToken()
        let serial = try #require(first.first { !$0.isEmpty })
        #expect(try await token.serials().count { $0.count == serial.count } == 2)
        let refusal = try await stage.refusal()
        #expect(refusal.code == 3)
        #expect(refusal.errors.contains("more than one token is labelled"), "\(refusal.errors)")
        let text = try String(contentsOfFile: stage.configuration, encoding: .utf8)
        for (named, isRight) in [(serial, true), ("0123", false)] {
            _ = try stage.materials.write(
                "vault.yaml",
                text.replacing("pin: {file", with: "serial: \"\(named)\", pin: {file"))
            if isRight {
                #expect(await (try await stage.start()).end() == 0)
            } else {
                let refusal = try await stage.refusal()
                #expect(refusal.code == 3)
                #expect(refusal.errors.contains("with serial number"), "\(refusal.errors)")
            }
        }
    }
}
