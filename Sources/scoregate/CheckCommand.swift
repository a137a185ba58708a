internal import ArgumentParser
internal import Cryptography
internal import Foundation
internal import Gateway
internal import ServiceConfiguration
internal import Vault

/// `scoregate check`: says whether a configuration is right.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check a configuration file and the files it names.",
        discussion: """
            Prints "ok", or every problem as FILE:LINE:COLUMN: what is wrong, and exits with 1.
            Nothing is started or changed. Certificates are checked for today: a certificate that
            expires tomorrow is right today.
            """)

    @OptionGroup var options: ConfigurationOptions

    func run() throws {
        let environment = ProcessInfo.processInfo.environment
        var problems: [ConfigurationProblem] = []
        do throws(InvalidConfiguration) {
            if ConfigurationFile.kind(path: options.config) == .vault {
                _ = try VaultConfiguration.read(path: options.config, environment: environment)
            } else {
                _ = try GatewayConfiguration.read(path: options.config, environment: environment)
            }
        } catch {
            problems = error.problems
        }
        let doubtful = SecretEnvironment.doubtful(in: environment)
        switch options.output {
        case .json:
            try JSONOutput.print(
                Answer(
                    valid: problems.isEmpty,
                    problems: problems.map {
                        Answer.Problem(
                            file: $0.file, line: $0.line, column: $0.column, message: $0.message)
                    }, warnings: doubtful.map(Self.warning)))
        case .text:
            for name in doubtful { StandardError.write("warning: \(Self.warning(name))") }
            print(problems.isEmpty ? "ok" : problems.map(\.description).joined(separator: "\n"))
        }
        if !problems.isEmpty { throw ExitCode(1) }
    }

    private static func warning(_ name: String) -> String {
        "environment variable \(name) looks like a secret; keep secrets in files of mode 0600"
    }

    private struct Answer: Encodable {
        let valid: Bool
        let problems: [Problem]
        let warnings: [String]

        struct Problem: Encodable {
            let file: String
            let line: Int?
            let column: Int?
            let message: String
        }
    }
}
