internal import ArgumentParser
internal import Cryptography

/// `scoregate agent`: the mutual TLS beside a model.
struct AgentCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "agent",
        abstract: "Run an agent: mutual TLS before a model on this host.",
        discussion: """
            Accepts only the gateways its configuration names (allowed_identities), over TLS 1.3 \
            with a client certificate, and passes their requests to one model on loopback or a \
            Unix socket, unchanged both ways. Until the model answers its readiness_probe, \
            requests are answered with 503 and the admin listener's /readyz says so. Signals are \
            those of serve: SIGTERM drains, SIGHUP reloads.
            """)

    @OptionGroup var options: ServiceOptions

    func run() async throws {
        try await self.options.run(.agent)
    }
}
