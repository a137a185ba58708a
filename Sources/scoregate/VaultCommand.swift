internal import ArgumentParser
internal import Vault

/// `scoregate vault`: keys and secrets for the services of a trust domain.
struct VaultCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vault",
        abstract: "Run a vault: keys and secrets behind mutual TLS.",
        discussion: """
            Speaks the REST API of Azure Key Vault for keys and secrets to whoever its policy names, \
            known by the certificate of the connection. GET /events tells what changes. Signals are \
            those of serve: SIGTERM drains, SIGHUP reloads policy and certificates.
            """)

    @OptionGroup var options: ServiceOptions

    func run() async throws {
        try await self.options.run { path, environment, logger in
            try await VaultProcess.run(
                configurationPath: path, environment: environment, logger: logger)
        }
    }
}
