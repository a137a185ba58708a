import Foundation
import Testing

/// The vault with a PKCS#11 token: SoftHSM, each test with one of its own.
@Suite("Vault with a token", .serialized, .timeLimit(.minutes(10)))
struct VaultTokenTests {
    private static let module = "/usr/lib/softhsm/libsofthsm2.so"
    private static let tools = ["/usr/bin/softhsm2-util", "/usr/bin/pkcs11-tool"]

    private static var isPossible: Bool {
        let isThere = (tools + [module]).allSatisfy(FileManager.default.fileExists)
        if !isThere { print("SKIPPED: SoftHSM is not installed (Tests/setup components)") }
        return isThere && VaultStage.isPossible
    }

    private static func stage(pin: String = "1234") async throws -> VaultStage {
        let materials = try Materials()
        try FileManager.default.createDirectory(
            atPath: materials.path + "/tokens", withIntermediateDirectories: false)
        let configuration = try materials.write(
            "softhsm.conf", "directories.tokendir = \(materials.path)/tokens\nlog.level = ERROR\n")
        let environment = ["SOFTHSM2_CONF": configuration]
        let made = try await Command.run(
            tools[0],
            [
                "--init-token", "--free", "--label", "scoregate", "--so-pin", "4321", "--pin",
                "1234",
            ], environment: environment)
        guard made.code == 0 else { throw HarnessError.commandFailed(made.errors) }
        try materials.write("pin", pin + "\n", mode: 0o600)
        return try await VaultStage.make(
            lines:
                "pkcs11: {module: \(self.module), token_label: scoregate, pin: {file: pin}}",
            environment: environment, materials: materials)
    }

    @Test(
        "AES keys never leave it, RSA keys are sealed by it; pulled out and put back, it works again"
    )
    func token() async throws {
        guard Self.isPossible else { return }
        let stage = try await Self.stage()
        let vault = try await stage.start()
        try await stage.expect("token", "policy", "sealed")
        // What the token itself says of its keys.
        let listed = try await Command.run(
            Self.tools[1],
            [
                "--module", Self.module, "--login", "--pin", "1234", "--list-objects", "--type",
                "secrkey",
            ],
            environment: ["SOFTHSM2_CONF": "\(stage.materials.path)/softhsm.conf"])
        let keys = listed.output.components(separatedBy: "Secret Key Object").dropFirst()
        // The one that seals, and two versions of log-token; the purged one is gone.
        #expect(keys.count == 3, "\(listed)")
        #expect(keys.allSatisfy { $0.contains("never extractable") }, "\(listed.output)")
        #expect(!listed.output.contains("gone/"))

        let tokens = stage.materials.path + "/tokens"
        try FileManager.default.moveItem(atPath: tokens, toPath: tokens + ".pulled")
        try await stage.expect("tokengone")
        #expect(vault.errors.value.contains("a request failed"))
        try FileManager.default.moveItem(atPath: tokens + ".pulled", toPath: tokens)
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

    @Test("a wrong PIN, an unknown token and a module that is none are said at the start")
    func refused() async throws {
        guard Self.isPossible else { return }
        let stage = try await Self.stage(pin: "9999")
        let wrongPIN = try await stage.refusal()
        #expect(wrongPIN.code == 3)
        #expect(wrongPIN.errors.contains("does not take the PIN"), "\(wrongPIN.errors)")
        #expect(!wrongPIN.errors.contains("9999"))
        let text = try String(contentsOfFile: stage.configuration, encoding: .utf8)
        for (old, new, problem) in [
            ("token_label: scoregate", "token_label: other", "no slot has a token"),
            (Self.module, "/usr/lib/none.so", "cannot be used"),
            (Self.module, "\(stage.materials.path)/root.pem", "cannot be used"),
        ] {
            _ = try stage.materials.write("vault.yaml", text.replacing(old, with: new))
            let refusal = try await stage.refusal()
            #expect(refusal.code == 3)
            #expect(refusal.errors.contains(problem), "\(refusal.errors)")
        }
    }
}
