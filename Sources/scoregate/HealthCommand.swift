internal import ArgumentParser
internal import Cryptography
internal import Gateway
internal import ServiceConfiguration
internal import Vault

/// `scoregate health`: asks a running service whether it is ready.
struct HealthCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "health",
        abstract:
            "Ask a running gateway, agent or vault whether it is ready, for container probes.",
        discussion: """
            Asks /readyz at the admin address of the configuration, under its own \
            identity where that is under mutual TLS. Exits with 0 if it is ready, 1 if it is not, \
            3 if nobody answers.
            """)

    @OptionGroup var options: ConfigurationOptions

    func run() async throws {
        let readiness: Readiness
        do {
            readiness = try await self.ask()
        } catch let error as ExitCode {
            throw error
        } catch {
            throw CommandFailure(
                code: .environment, message: "no answer from the admin listener: \(error)")
        }
        print(readiness.text)
        guard readiness.isReady else { throw ExitCode(1) }
    }

    private func ask() async throws -> Readiness {
        guard ConfigurationFile.kind(path: self.options.config) == .vault else {
            return try await Readiness.ask(self.options.read())
        }
        let configuration = try self.options.readVault()
        return try await Readiness.ask(
            at: configuration.healthAddress, identity: configuration.identity,
            peer: configuration.spiffeID)
    }
}
