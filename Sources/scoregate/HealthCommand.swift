internal import ArgumentParser
internal import Gateway

/// `scoregate health`: asks a running gateway whether it is ready.
struct HealthCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "health",
        abstract: "Ask a running gateway whether it is ready, for container probes.",
        discussion: """
            Asks /readyz at the admin address of the configuration, under the gateway's own \
            identity where that is under mutual TLS. Exits with 0 if it is ready, 1 if it is not, \
            3 if nobody answers.
            """)

    @OptionGroup var options: ConfigurationOptions

    func run() async throws {
        let configuration = try self.options.read()
        let readiness: Readiness
        do {
            readiness = try await Readiness.ask(configuration)
        } catch {
            throw CommandFailure(
                code: .environment, message: "no answer from the admin listener: \(error)")
        }
        print(readiness.text)
        guard readiness.isReady else { throw ExitCode(1) }
    }
}
