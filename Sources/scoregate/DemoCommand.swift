internal import ArgumentParser
internal import Cryptography
internal import Gateway
internal import ServiceConfiguration

/// `scoregate demo`: the whole system on loopback.
struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Run the whole system on loopback and score one request.",
        discussion: """
            Makes certificates, a root key and an endpoint key in a temporary folder, starts the \
            example model and a gateway on free ports, scores one flower over TLS 1.3, shows what \
            was negotiated and answered, and removes everything again.
            """)

    @Flag(help: "Keep the folder with the certificates and the configuration.")
    var keep = false

    func run() async throws {
        try ProcessHardening.applyOrFail()
        let logger = Log.make(.warning)
        do {
            try await Demonstration.run(isFolderKept: self.keep, logger: logger) { print($0) }
        } catch let error as StartError {
            throw CommandFailure(code: .environment, message: error.description)
        }
    }
}
