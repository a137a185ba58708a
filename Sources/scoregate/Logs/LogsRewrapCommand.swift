internal import ArgumentParser
internal import Gateway
internal import KeyVault
internal import SealedLog

extension LogsCommand {
    /// `scoregate logs rewrap`.
    struct Rewrap: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Put log keys under the newest version of their wrapping key.",
            discussion: """
                A running gateway does this by itself after a rotation. Nothing that was sealed is \
                touched. Can be stopped at any time and begun again. An endpoint whose wrapping key \
                cannot be used is named, and ends the command with 1; the others' log keys are wrapped \
                anew all the same.
                """)

        @OptionGroup var target: Target

        func run() async throws {
            let (archive, streams) = try self.target.open()
            var answers: [Answer] = []
            var isComplete = true
            for stream in streams {
                guard let endpoint = stream.endpoint else { continue }
                let progress = Progress("wrapping anew, \(endpoint)", unit: "log keys")
                let outcome: RewrapOutcome
                do {
                    defer { progress.end() }
                    outcome = try await archive.rewrap(stream, turned: progress.show)
                } catch KeyVaultError.revoked(let state) {
                    // The logs of the other endpoints are none the worse for it.
                    isComplete = false
                    StandardError.write(
                        "\(endpoint): its log keys stay as they are: \(KeyVaultError.revoked(state))"
                    )
                    continue
                } catch {
                    throw LogsCommand.failure(error, of: endpoint)
                }
                answers.append(Answer(endpoint, outcome))
            }
            if self.target.options.output == .json {
                try JSONOutput.print(answers)
            } else {
                for answer in answers { answer.show() }
            }
            if !isComplete || answers.contains(where: { !$0.unreadable.isEmpty }) {
                throw ExitCode(1)
            }
        }

        private struct Answer: Encodable {
            let endpoint: String
            let rewrapped: Int
            let unchanged: Int
            let unreadable: [String: String]

            init(_ endpoint: String, _ outcome: RewrapOutcome) {
                self.endpoint = endpoint
                self.rewrapped = outcome.rewrapped
                self.unchanged = outcome.unchanged
                self.unreadable = Dictionary(
                    uniqueKeysWithValues: outcome.unreadable.map { ($0.text, $1) })
            }

            func show() {
                print(
                    "\(self.endpoint): \(self.rewrapped) log keys wrapped anew, "
                        + "\(self.unchanged) were under the newest version")
                for (key, reason) in self.unreadable.sorted(by: { $0.key < $1.key }) {
                    print("  log key \(key) stays as it is: \(reason)")
                }
            }
        }
    }
}
