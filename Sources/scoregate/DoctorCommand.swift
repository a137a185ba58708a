internal import ArgumentParser
internal import Gateway

/// `scoregate doctor`: connects each leg of a service, and says how it was.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Connect each leg of a gateway or agent once, and say how it was.",
        discussion: """
            Own certificates, every backend, the wrapping key of every endpoint that logs, the admin \
            listener: what protects it, who is there, who says so, and for how many days. Changes nothing. \
            Exits with 1 if a leg is not as it should be.
            """)

    @OptionGroup var options: ConfigurationOptions

    func run() async throws {
        let legs = await Doctor(try self.options.read()).examine()
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
        ]
        let details = facts.compactMap(\.self).joined(separator: ", ")
        let verdict = self.problem ?? "ok"
        return "\(self.name) (\(self.address)): \(verdict)"
            + (details.isEmpty ? "" : "\n    \(details)")
    }
}
