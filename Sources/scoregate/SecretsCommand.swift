internal import ArgumentParser
internal import Cryptography
internal import Foundation
internal import HTTPTransport
internal import NIOCore
internal import Vault

/// `scoregate secrets`: the credentials that a vault keeps.
struct SecretsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "secrets",
        abstract: "Set, list and delete the secrets of a vault: never show them.",
        subcommands: [Set.self, List.self, Delete.self])

    struct Set: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give a secret a value, from standard input or a file.",
            discussion: """
                The value is never an argument: those are seen by every user of the host. One line \
                end after it is left out. What the secret was before is kept as an older version.
                """)

        @OptionGroup var options: VaultClientOptions
        @Argument(help: "The secret's name: letters, digits and dashes.")
        var name: String
        @Option(
            help: "A file with the value, mode 0600; without it, standard input is read.",
            completion: .file())
        var file: String?

        func validate() throws { try SecretsCommand.check(self.name) }

        func run() async throws {
            try ProcessHardening.applyOrFail()
            let value = try self.value()
            let body = try JSONEncoder().encode(["value": value])
            let answer = try await self.options.ask(
                "/secrets/\(self.name)", .put, body: [UInt8](body))
            let made = try JSONDecoder().decode(Listed.self, from: Data(answer))
            if self.options.output == .json {
                try JSONOutput.print(made)
            } else {
                print(made.id)
            }
        }

        private func value() throws -> String {
            var bytes: [UInt8]
            if let file {
                do throws(CryptographyError) {
                    let secret = try SecretBytes(contentsOf: file, maximum: Self.maximumBytes)
                    bytes = secret.bytes.array
                } catch {
                    throw CommandFailure(code: .environment, message: "\(error)")
                }
            } else {
                let data = try FileHandle.standardInput.read(upToCount: Self.maximumBytes + 2)
                bytes = [UInt8](data ?? Data())
            }
            if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
            guard 1...Self.maximumBytes ~= bytes.count,
                let text = String(validating: bytes, as: UTF8.self)
            else {
                throw CommandFailure(
                    code: .usage, message: "a secret is text of 1 to \(Self.maximumBytes) bytes")
            }
            return text
        }

        /// As the vault takes it.
        private static let maximumBytes = 25_600
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show which secrets there are: never their values.")

        @OptionGroup var options: VaultClientOptions

        func run() async throws {
            var secrets: [Listed] = []
            var token: String?
            repeat {
                let page = try JSONDecoder().decode(
                    Page.self,
                    from: Data(
                        try await self.options.ask(
                            "/secrets" + (token.map { "?$skiptoken=\($0)" } ?? ""))))
                secrets += page.value
                token = page.nextLink?.components(separatedBy: "$skiptoken=").last
            } while token != nil
            if self.options.output == .json {
                try JSONOutput.print(secrets)
                return
            }
            for secret in secrets {
                print("\(secret.name)\t\(secret.attributes.enabled ? "enabled" : "disabled")")
            }
        }

        private struct Page: Decodable {
            let value: [Listed]
            let nextLink: String?
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Delete a secret with all its versions.",
            discussion: """
                It can be recovered for 90 days, unless --purge is given, which removes it for good.
                """)

        @OptionGroup var options: VaultClientOptions
        @Argument(help: "The secret's name.")
        var name: String
        @Flag(help: "Remove it for good; needs the right to.")
        var purge = false

        func validate() throws { try SecretsCommand.check(self.name) }

        func run() async throws {
            _ = try await self.options.ask("/secrets/\(self.name)", .delete)
            if self.purge {
                _ = try await self.options.ask("/deletedsecrets/\(self.name)", .delete)
            }
        }
    }

    private static func check(_ name: String) throws {
        guard VaultName.isValid(name) else {
            throw ValidationError("a secret's name is 1 to 127 letters, digits and dashes")
        }
    }

    /// What is shown of a secret.
    private struct Listed: Codable {
        let id: String
        let attributes: Attributes

        struct Attributes: Codable {
            let enabled: Bool
        }

        var name: String {
            let parts = self.id.components(separatedBy: "/")
            return parts.count > 4 ? parts[4] : self.id
        }
    }
}
