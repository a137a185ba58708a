import Foundation
import Testing

/// The commands that ask a vault, or look at its configuration.
@Suite("Vault commands", .serialized, .timeLimit(.minutes(10)))
struct VaultCommandTests {
    @Test("secrets are set from files, listed without their values, and deleted")
    func secrets() async throws {
        let stage = try await VaultStage.make()
        let vault = try await stage.start()
        let folder = stage.materials.path
        let ask = { (peer: String, arguments: [String]) in
            try await GatewayProcess.run(
                ["secrets"] + arguments + [
                    "--vault", "https://127.0.0.1:\(stage.port)", "--trust-roots",
                    stage.materials.root, "--chain", "\(folder)/\(peer).pem", "--key",
                    "\(folder)/\(peer).key",
                ])
        }
        try stage.materials.write("value", "planted\n", mode: 0o600)
        let set = try await ask("operator", ["set", "one", "--file", "\(folder)/value"])
        #expect(set.output.hasPrefix("https://127.0.0.1:\(stage.port)/secrets/one/"), "\(set)")
        let listed = try await ask("operator", ["list"])
        #expect(listed.output == "one\tenabled\n")
        let forbidden = try await ask("reader", ["list"])
        #expect(forbidden.code == 1)
        #expect(forbidden.errors.contains("Forbidden"))
        let deleted = try await ask("operator", ["delete", "one", "--purge"])
        #expect(deleted.code == 0, "\(deleted)")
        #expect(try await ask("operator", ["list"]).output == "")
        let bad = try await ask("operator", ["set", "a/b", "--file", "\(folder)/value"])
        #expect(bad.code == 2)
        try stage.materials.write("value", "planted", mode: 0o644)
        let open = try await ask("operator", ["set", "one", "--file", "\(folder)/value"])
        #expect(open.code == 3 && open.errors.contains("chmod 600"), "\(open)")
        await vault.end()
        let gone = try await ask("operator", ["list"])
        #expect(gone.code == 3)
        #expect(
            gone.errors == "scoregate: no answer from https://127.0.0.1:\(stage.port): it cannot "
                + "be reached: is the vault running, and is this its address?\n",
            "\(gone.errors)")
    }

    @Test("a client that waits to be told to send its body is, unless that is too long")
    func expectContinue() async throws {
        let stage = try await VaultStage.make()
        let vault = try await stage.start()
        let peer = "\(stage.materials.path)/operator"
        let put = { (body: String) in
            try await Command.run(
                "/usr/bin/curl",
                [
                    "--silent", "--cacert", stage.materials.root, "--cert", "\(peer).pem", "--key",
                    "\(peer).key", "--request", "PUT", "--data", body, "--header",
                    "Expect: 100-continue", "--expect100-timeout", "600", "--max-time", "60",
                    "https://127.0.0.1:\(stage.port)/secrets/a?api-version=7.4",
                ])
        }
        let told = try await put(#"{"value": "planted"}"#)
        #expect(told.output.contains(#""value":"planted""#), "\(told)")
        let file = try stage.materials.write("long", String(repeating: "x", count: 1 << 20))
        let long = try await put("@\(file)")
        #expect(long.output.contains("RequestEntityTooLarge"), "\(long)")
        await vault.end()
    }

    @Test("a vault that issues nothing has no trust root to rotate, and makes none")
    func rotateNothing() async throws {
        let stage = try await VaultStage.make()
        let identities = { (arguments: [String]) in
            try await GatewayProcess.run(
                ["identities"] + arguments + ["--config", stage.configuration])
        }
        let rotated = try await identities(["rotate-root"])
        #expect(rotated.code == 1)
        #expect(rotated.errors.contains("no \"identities\" with a join_address"), "\(rotated)")
        #expect(try await identities(["list"]).output == "")
    }

    @Test(
        "whom nobody could be is not denied, and a certificate that is not known is said to be so")
    func denyNobody() async throws {
        let stage = try await VaultStage.make()
        let deny = {
            try await GatewayProcess.run(
                ["identities", "deny", $0, "--config", stage.configuration])
        }
        let foreign = try await deny("spiffe://other/agent/a")
        #expect(foreign.code == 1)
        #expect(foreign.errors.contains("not of the trust domain test.local"), "\(foreign)")
        let zero = try await deny("00")
        #expect(zero.code == 2 && zero.errors.contains("none begins with 00"), "\(zero)")
        let unknown = try await deny("4f3c")
        #expect(unknown.code == 0)
        #expect(unknown.output.contains("no certificate with this serial number"), "\(unknown)")
        let known = try await deny("spiffe://test.local/agent/a")
        #expect(known.code == 0 && !known.output.contains("serial number"), "\(known)")
    }

    @Test("check reads a vault's configuration, and health asks it, with a socket and without")
    func health() async throws {
        let stage = try await VaultStage.make()
        let health = { try await GatewayProcess.run(["health", "--config", stage.configuration]) }
        let checked = try await GatewayProcess.run(["check", "--config", stage.configuration])
        #expect(checked.code == 0 && checked.output == "ok\n", "\(checked)")
        #expect(try await health().code == 3)
        let vault = try await stage.start()
        #expect(try await health().output.contains(#""status":"ready""#))
        await vault.end()
        let text = try String(contentsOfFile: stage.configuration, encoding: .utf8)
        try stage.materials.write("vault.yaml", text + "admin: {address: \"unix:admin.sock\"}\n")
        let other = try await stage.start()
        _ = await other.errors.wait { $0.contains("admin.sock") }
        #expect(try await health().output.contains(#""status":"ready""#))
        await other.end()
        try stage.materials.write("vault.yaml", text.replacing("state: state\n", with: ""))
        let wrong = try await GatewayProcess.run(["check", "--config", stage.configuration])
        #expect(wrong.code == 1 && wrong.output.contains("missing key \"state\""), "\(wrong)")
    }
}
