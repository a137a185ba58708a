internal import ArgumentParser
internal import Cryptography
internal import Gateway
internal import ServiceConfiguration

/// `scoregate doctor`: connects each leg of a service, and says how it was.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Connect each leg of a gateway, agent or vault once, and say how it was.",
        discussion: """
            Listeners, own certificates, every backend and what it is shown that the vault keeps, the wrapping \
            key of every endpoint that logs, the admin listener; of a vault its listeners and every key. For each leg: version of TLS, cipher suite, \
            group, who is there, who says so, days left, age of the session ticket where one is given, \
            state of the key. Changes nothing. Exits with 1 if a leg is not as it should be.
            """)

    @OptionGroup var options: ConfigurationOptions

    func run() async throws {
        let legs =
            if ConfigurationFile.kind(path: self.options.config) == .vault {
                await VaultDoctor(configuration: try self.options.readVault()).examine()
            } else {
                await Doctor(try self.options.read()).examine()
            }
        switch self.options.output {
        case .json: try JSONOutput.print(legs)
        case .text: for leg in legs { print(leg.text) }
        }
        if legs.contains(where: { $0.problem != nil }) { throw ExitCode(1) }
    }
}

extension LegReport {
    /// Two lines: which leg and whether it is sound; what is known of it.
    fileprivate var text: String {
        let facts = [
            self.keyState.map { "key \($0)" }, self.protection, self.cipher, self.group,
            self.identity, self.issuer.map { "issued by \($0)" },
            self.daysLeft.map { "\($0) days left" },
            self.ticketAgeMilliseconds.map { "ticket taken after \($0) ms" },
        ]
        let details = facts.compactMap(\.self).joined(separator: ", ")
        let verdict = self.problem ?? "ok"
        return "\(self.name) (\(self.address)): \(verdict)"
            + (details.isEmpty ? "" : "\n    \(details)")
    }
}
