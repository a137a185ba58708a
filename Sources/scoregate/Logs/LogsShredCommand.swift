internal import ArgumentParser
internal import Gateway
internal import State

extension LogsCommand {
    /// `scoregate logs shred`.
    struct Shred: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Destroy an endpoint's log and the key it is sealed under, for ever.",
            discussion: """
                Running gateways let go of the log's keys first (a customer's key has to be disabled in its \
                vault before; "keys wrapping enable" undoes it while nothing is destroyed); then the wrapped \
                log keys and all versions of the wrapping key are destroyed, the root key is replaced, and the segments \
                are removed. The endpoint refuses requests until it has a new wrapping key \
                ("keys wrapping rotate"). Prints what was done and what no command can show; ends \
                with 1 if a step is only promised.
                """)

        @Argument(help: "The endpoint whose log is destroyed.")
        var endpoint: String

        @OptionGroup var options: ConfigurationOptions

        @Flag(help: "Do not ask.")
        var yes = false

        func run() async throws {
            let configuration = try self.options.read()
            let archive = try LogsCommand.failing {
                try LogArchive(configuration, actor: StateChange.actor)
            }
            guard try LogsCommand.failing({ try archive.knows(self.endpoint) }) else {
                StandardError.write("nothing was logged of endpoint \"\(self.endpoint)\"")
                throw ExitCode(1)
            }
            try self.confirm()
            let certificate: ShredCertificate
            do {
                certificate = try await archive.shred(self.endpoint) { store, generation in
                    try StateChange.wait(for: generation, in: store).isComplete
                }
            } catch {
                throw LogsCommand.failure(error)
            }
            if self.options.output == .json {
                try JSONOutput.print(certificate)
            } else {
                print("log of endpoint \(certificate.endpoint) shredded, \(certificate.time)")
                for step in certificate.done { print("  done      \(step)") }
                for step in certificate.promised { print("  promised  \(step)") }
                print("not shown by this:")
                for gap in certificate.cannotShow { print("  \(gap)") }
            }
            if !certificate.promised.isEmpty { throw ExitCode(1) }
        }

        private func confirm() throws {
            if self.yes { return }
            StandardError.write(
                """
                This destroys the log of endpoint "\(self.endpoint)" for ever; no backup of this \
                machine's files without their old root key brings it back.
                Type the endpoint's name to go on:
                """)
            guard readLine() == self.endpoint else {
                StandardError.write("nothing was destroyed")
                throw ExitCode(1)
            }
        }
    }
}
