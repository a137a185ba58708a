internal import ArgumentParser
internal import Foundation
internal import LoadTest
internal import NIOCore

/// `scoregate model`: the built-in example model.
struct ModelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "model",
        abstract: "Run the built-in example model, a classifier of irises.",
        discussion: """
            Answers as azureml-inference-server-http does: GET / says Healthy, POST /score takes \
            {"input_data": [[5.1, 3.5, 1.4, 0.2]]} and answers ["setosa"], /swagger.json describes \
            it. Without TLS, hence on loopback or a Unix socket only.

            With --latency each answer has left that long after its request began: it is begun as \
            much earlier as the quickest before it took to be written. With \
            --token-stream there are /v1/chat/completions and /v1/completions, whose answers come \
            token by token at fixed distances: something of known speed for load tests.
            """)

    @Option(help: "Where to listen: 127.0.0.1:5001, [::1]:5001 or unix:PATH; port 0 is a free one.")
    var address = "127.0.0.1:5001"

    @Option(help: "How long an answer, or its first token, takes, such as 5ms.")
    var latency = "0ms"

    @Flag(help: "Answer also as an OpenAI-compatible server, in streams of stamped events.")
    var tokenStream = false

    @Option(help: "Tokens of a streamed answer.")
    var tokens = 16

    @Option(help: "From one token to the next.")
    var tokenInterval = "10ms"

    @Flag(help: "Never sleep, so that requests do not wait for it to be awake; takes a processor.")
    var busyPoll = false

    func run() async throws {
        let address = try Self.parse(self.address)
        let behaviour = try self.behaviour()
        let model: ExampleModel
        do {
            model = try await ExampleModel.start(at: address, behaviour: behaviour)
        } catch {
            throw CommandFailure(
                code: .environment,
                message: "the model cannot listen at \(self.address): \(error)")
        }
        print("listening on \(model.address.pathname ?? Self.text(of: model.address))")
        fflush(nil)
        try await model.wait()
    }

    private func behaviour() throws -> ModelBehaviour {
        var behaviour = ModelBehaviour()
        guard let latency = Quantity.duration(self.latency),
            let interval = Quantity.duration(self.tokenInterval)
        else { throw ValidationError("--latency and --token-interval are times such as 5ms") }
        guard (1...100_000).contains(self.tokens) else {
            throw ValidationError("--tokens is a number of 1 to 100000")
        }
        behaviour.latency = latency
        behaviour.hasTokenStream = self.tokenStream
        behaviour.tokens = self.tokens
        behaviour.tokenInterval = interval
        behaviour.isBusyPolling = self.busyPoll
        return behaviour
    }

    private static func parse(_ text: String) throws -> SocketAddress {
        if text.hasPrefix("unix:") {
            return try SocketAddress(unixDomainSocketPath: String(text.dropFirst(5)))
        }
        guard let colon = text.lastIndex(of: ":"),
            let port = Int(text[text.index(after: colon)...]),
            (0...65535).contains(port)
        else { throw ValidationError("--address is HOST:PORT or unix:PATH, not \"\(text)\"") }
        let host = text[..<colon].trimmingPrefix("[")
        let name = host.hasSuffix("]") ? String(host.dropLast()) : String(host)
        guard let address = try? SocketAddress(ipAddress: name, port: port) else {
            throw ValidationError("\"\(name)\" is not an IP address")
        }
        guard name == "::1" || name.hasPrefix("127.") else {
            throw ValidationError(
                "the model speaks no TLS: it listens on loopback (127.0.0.1, ::1) or unix:PATH only"
            )
        }
        return address
    }

    private static func text(of address: SocketAddress) -> String {
        "\(address.ipAddress ?? "")" + ":\(address.port ?? 0)"
    }
}
