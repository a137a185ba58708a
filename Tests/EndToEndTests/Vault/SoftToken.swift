import Foundation

/// A SoftHSM token in the folder of a test's materials.
struct SoftToken: Sendable {
    /// The PKCS#11 module.
    static let module = "/usr/lib/softhsm/libsofthsm2.so"
    private static let initializer = "/usr/bin/softhsm2-util"
    private static let lister = "/usr/bin/pkcs11-tool"

    /// Where the token's objects lie: who moves it away pulls the token out.
    let folder: String
    /// What the token's user needs in its environment.
    let environment: [String: String]
    /// The vault's line of configuration.
    let line: String

    /// Whether SoftHSM is installed; says so where it is not.
    static var isPossible: Bool {
        let isThere = [self.module, self.initializer, self.lister].allSatisfy(
            FileManager.default.fileExists)
        if !isThere { print("SKIPPED: SoftHSM is not installed (Tests/setup components)") }
        return isThere
    }

    /// Makes a token whose PIN is 1234; `pin` is what the vault will say.
    static func make(in materials: Materials, pin: String = "1234") async throws -> SoftToken {
        let folder = materials.path + "/tokens"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: false)
        let configuration = try materials.write(
            "softhsm.conf", "directories.tokendir = \(folder)\nlog.level = ERROR\n")
        let environment = ["SOFTHSM2_CONF": configuration]
        let made = try await Command.run(
            self.initializer,
            [
                "--init-token", "--free", "--label", "scoregate", "--so-pin", "4321", "--pin",
                "1234",
            ], environment: environment)
        guard made.code == 0 else { throw HarnessError.commandFailed(made.errors) }
        try materials.write("pin", pin + "\n", mode: 0o600)
        return SoftToken(
            folder: folder, environment: environment,
            line: "pkcs11: {module: \(self.module), token_label: scoregate, pin: {file: pin}}")
    }

    /// What the token itself says of each of its secret keys.
    func keys() async throws -> [String] {
        let listed = try await Command.run(
            Self.lister,
            [
                "--module", Self.module, "--login", "--pin", "1234", "--list-objects", "--type",
                "secrkey",
            ], environment: self.environment)
        return Array(listed.output.components(separatedBy: "Secret Key Object").dropFirst())
    }
}
