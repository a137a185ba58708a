internal import ArgumentParser
internal import Glibc

@main
struct Scoregate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scoregate",
        abstract: "A gateway for machine-learning scoring endpoints.",
        discussion: """
            Begin with: scoregate demo

            Exit codes: 0 done, 1 the answer is no (invalid, refused), 2 wrong usage, 3 the \
            environment failed.
            """,
        version: "scoregate \(Self.version)",
        subcommands: [
            DemoCommand.self, ServeCommand.self, AgentCommand.self, VaultCommand.self,
            CheckCommand.self, DoctorCommand.self, HealthCommand.self, CertsCommand.self,
            IdentitiesCommand.self, KeysCommand.self, SecretsCommand.self, LogsCommand.self,
            ModelCommand.self,
            LoadCommand.self,
        ])

    /// The one place that says which version this is.
    static let version = "0.1.0"

    /// Runs the command and gives its exit code: 0 done, 1 the answer is no, 2 wrong usage, 3 the
    /// environment failed.
    static func main() async {
        do {
            var command = try parseAsRoot()
            do {
                if var command = command as? any AsyncParsableCommand {
                    try await command.run()
                } else {
                    try command.run()
                }
            } catch let error as ValidationError {
                // The library, which is done with the command, would show the usage of the whole program.
                let usage = self.usageString(for: type(of: command))
                let name = usage.split(separator: " ").prefix { $0.first?.isLetter == true }
                throw CommandFailure(
                    code: .usage,
                    message: "\(error.message)\nUsage: \(usage)\n  See '"
                        + name.joined(separator: " ") + " --help' for more information.")
            }
        } catch let failure as CommandFailure {
            complain("scoregate: \(failure.message)\n")
            Glibc.exit(failure.code.rawValue)
        } catch {
            let code = exitCode(for: error)
            guard code == .validationFailure else { self.exit(withError: error) }
            complain(fullMessage(for: error) + "\n")
            Glibc.exit(CommandFailure.Code.usage.rawValue)
        }
    }

    private static func complain(_ message: String) {
        _ = unsafe Array(message.utf8).withUnsafeBytes {
            unsafe write(STDERR_FILENO, $0.baseAddress, $0.count)
        }
    }
}
