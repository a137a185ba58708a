internal import ArgumentParser
internal import Cryptography
internal import Foundation
internal import Gateway
internal import ServiceConfiguration
internal import State
internal import Vault

/// `scoregate check`: says whether a configuration is right.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check a configuration file and the files it names.",
        discussion: """
            Prints "ok", or every problem as FILE:LINE:COLUMN: what is wrong, and exits with 1.
            Nothing is started or changed. Certificates are checked for today: a certificate that
            expires tomorrow is right today. Of the places that are written to or listened at, what can
            be seen without writing is checked as well, as this user; exits with 3 if only there
            something is wrong.
            """)

    @OptionGroup var options: ConfigurationOptions

    func run() throws {
        let environment = ProcessInfo.processInfo.environment
        var problems: [ConfigurationProblem] = []
        var places: [String] = []
        do throws(InvalidConfiguration) {
            if ConfigurationFile.kind(path: options.config) == .vault {
                let vault = try VaultConfiguration.read(
                    path: options.config, environment: environment)
                places = StateStore.problem(of: vault.stateDirectory).map { [$0.description] } ?? []
            } else {
                places = try GatewayConfiguration.read(
                    path: options.config, environment: environment
                ).placeProblems
            }
        } catch {
            problems = error.problems
        }
        let doubtful = SecretEnvironment.doubtful(in: environment)
        switch options.output {
        case .json:
            try JSONOutput.print(
                Answer(
                    valid: problems.isEmpty && places.isEmpty,
                    problems: problems.map {
                        Answer.Problem(
                            file: $0.file, line: $0.line, column: $0.column, message: $0.message)
                    }
                        + places.map {
                            Answer.Problem(
                                file: options.config, line: nil, column: nil, message: $0)
                        }, warnings: doubtful.map(Self.warning)))
        case .text:
            for name in doubtful { StandardError.write("warning: \(Self.warning(name))") }
            let lines = problems.map(\.description) + places
            print(lines.isEmpty ? "ok" : lines.joined(separator: "\n"))
        }
        if !problems.isEmpty { throw ExitCode(1) }
        if !places.isEmpty { throw ExitCode(3) }
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
