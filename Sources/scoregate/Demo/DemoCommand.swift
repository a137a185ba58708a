internal import ArgumentParser
internal import Cryptography
internal import Foundation

/// `scoregate demo`: the whole system on loopback.
struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Run the whole system on loopback: vault, agent, model and gateway.",
        discussion: """
            Starts a vault, a model behind an agent, and a gateway as processes of their own, on free \
            ports and with identities the vault issues. Scores two flowers over TLS 1.3, changes the \
            endpoint's key, the wrapping key of its log and the gateway's certificate under load, \
            shows the log entry of the request, takes the customer's key away and gives it back. \
            Everything is removed again.
            """)

    @Flag(help: "Keep the folder with configurations, state, log and certificates.")
    var keep = false

    func run() async throws {
        try ProcessHardening.applyOrFail()
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("scoregate-demo-\(UUID().uuidString.prefix(8))").path
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
        defer {
            if self.keep {
                print("\nkept: \(folder)")
            } else {
                try? FileManager.default.removeItem(atPath: folder)
            }
        }
        try await Demonstration(folder: folder) { line in
            // Unbuffered, so that a pipe sees each step when it is taken.
            FileHandle.standardOutput.write(Data((line + "\n").utf8))
        }.run()
    }
}
