import Foundation

/// A SoftHSM token in the folder of a test's materials.
struct SoftToken: Sendable {
    /// The PKCS#11 module.
    static let module = "/usr/lib/softhsm/libsofthsm2.so"
    private static let initializer = "/usr/bin/softhsm2-util"
    private static let lister = "/usr/bin/pkcs11-tool"
    private static let softokn = "/usr/lib/x86_64-linux-gnu/libsoftokn3.so"
    private static let certutil = "/usr/bin/certutil"

    /// Where the token's objects lie: who moves it away pulls the token out.
    let folder: String
    /// What the token's user needs in its environment.
    let environment: [String: String]
    /// The vault's line of configuration.
    let line: String

    /// What makes a token, and what its keys are.
    enum Kind: CaseIterable {
        /// Knows OAEP with SHA-1 only: its keys are of AES.
        case softHSM
        /// Mozilla's, which holds keys of RSA too.
        case softokn

        /// Of a key that stays in the token.
        var keyType: String { self == .softHSM ? "oct-HSM" : "RSA-HSM" }
        /// By which such a key wraps log keys.
        var algorithm: String { self == .softHSM ? "A256KW" : "RSA-OAEP-256" }

        /// Makes a token of this kind whose PIN is 1234.
        func make(in materials: Materials) async throws -> SoftToken {
            switch self {
            case .softHSM: try await SoftToken.make(in: materials)
            case .softokn: try await SoftToken.makeSoftokn(in: materials)
            }
        }

        /// Whether it is installed; says so where it is not.
        var isPossible: Bool {
            let needed =
                self == .softHSM
                ? [SoftToken.module, SoftToken.initializer, SoftToken.lister]
                : [SoftToken.softokn, SoftToken.certutil]
            let isThere = needed.allSatisfy(FileManager.default.fileExists)
            if !isThere { print("SKIPPED: \(self) is not installed (Tests/setup components)") }
            return isThere
        }
    }

    /// Makes a token whose PIN is 1234; `pin` is what the vault will say.
    static func make(in materials: Materials, pin: String = "1234") async throws -> SoftToken {
        let folder = materials.path + "/tokens"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: false)
        let configuration = try materials.write(
            "softhsm.conf", "directories.tokendir = \(folder)\nlog.level = ERROR\n")
        try materials.write("pin", pin + "\n", mode: 0o600)
        let token = SoftToken(
            folder: folder, environment: ["SOFTHSM2_CONF": configuration],
            line: "pkcs11: {module: \(self.module), token_label: scoregate, pin: {file: pin}}")
        try await token.addToken()
        return token
    }

    /// Makes another token of SoftHSM with the same label and PIN beside those that are there.
    func addToken() async throws {
        let made = try await Command.run(
            Self.initializer,
            [
                "--init-token", "--free", "--label", "scoregate", "--so-pin", "4321", "--pin",
                "1234",
            ], environment: self.environment)
        guard made.code == 0 else { throw HarnessError.commandFailed(made.errors) }
    }

    /// The serial numbers of the tokens of SoftHSM.
    func serials() async throws -> [String] {
        let shown = try await Command.run(
            Self.initializer, ["--show-slots"], environment: self.environment)
        return shown.output.split(separator: "\n").compactMap { line in
            let words = line.split(whereSeparator: \.isWhitespace)
            return words.count == 3 && words[0] == "Serial" ? String(words[2]) : nil
        }
    }

    /// Makes a token of Mozilla's with the same PIN.
    private static func makeSoftokn(in materials: Materials) async throws -> SoftToken {
        let folder = materials.path + "/tokens"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: false)
        let pin = try materials.write("pin", "1234\n", mode: 0o600)
        let made = try await Command.run(
            self.certutil, ["-N", "-d", "sql:\(folder)", "-f", pin])
        guard made.code == 0 else { throw HarnessError.commandFailed(made.errors) }
        let parameters = "configdir='sql:\(folder)' dbTokenDescription='scoregate'"
        return SoftToken(
            folder: folder, environment: [:],
            line: """
                pkcs11: {module: \(self.softokn), token_label: scoregate, pin: {file: pin}, \
                module_parameters: "\(parameters)"}
                """)
    }

    /// How many RSA keys a token of softokn has.
    func countRSA() async throws -> Int {
        let listed = try await Command.run(
            Self.certutil, ["-K", "-d", "sql:\(self.folder)", "-f", "\(self.folder)/../pin"])
        return listed.output.components(separatedBy: "> rsa").count - 1
    }

    /// What a token of SoftHSM itself says of each of its secret keys, or of its private ones.
    func keys(private isPrivate: Bool = false) async throws -> [String] {
        let listed = try await self.ask(
            "--list-objects", "--type", isPrivate ? "privkey" : "secrkey")
        let title = isPrivate ? "Private Key Object" : "Secret Key Object"
        return Array(listed.output.components(separatedBy: title).dropFirst())
    }

    /// Deletes a private key with this label of a token of SoftHSM.
    func deletePrivateKey(_ label: String) async throws {
        let deleted = try await self.ask(
            "--delete-object", "--type", "privkey", "--label", label)
        guard deleted.code == 0 else { throw HarnessError.commandFailed(deleted.errors) }
    }

    /// Deletes the secret key of a token of SoftHSM whose label begins so.
    func deleteSecretKey(labelPrefix: String) async throws {
        let labels = try await self.keys().flatMap { $0.split(separator: "\n") }.compactMap {
            $0.trimmingPrefix(while: \.isWhitespace).hasPrefix("label:")
                ? $0.split(separator: ":", maxSplits: 1)[1].trimmingCharacters(in: .whitespaces)
                : nil
        }
        guard let label = labels.first(where: { $0.hasPrefix(labelPrefix) }) else {
            throw HarnessError.commandFailed("no key of that label among \(labels)")
        }
        let deleted = try await self.ask(
            "--delete-object", "--type", "secrkey", "--label", label)
        guard deleted.code == 0 else { throw HarnessError.commandFailed(deleted.errors) }
    }

    private func ask(_ arguments: String...) async throws -> GatewayProcess.Outcome {
        try await Command.run(
            Self.lister, ["--module", Self.module, "--login", "--pin", "1234"] + arguments,
            environment: self.environment)
    }
}
