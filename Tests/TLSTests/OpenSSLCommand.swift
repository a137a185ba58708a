import Foundation

@testable import TLS

/// An `openssl` command that runs beside the test, ended with this object.
final class OpenSSLCommand {
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    /// All it has written so far, to both of its outputs.
    private(set) var text = ""

    init(_ arguments: [String]) throws {
        self.process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
        self.process.arguments = arguments
        self.process.standardInput = self.input
        self.process.standardOutput = self.output
        self.process.standardError = self.output
        try self.process.run()
    }

    deinit {
        // Started on a thread that may block signals, it may hear no other.
        if self.process.isRunning { _ = kill(self.process.processIdentifier, SIGKILL) }
    }

    func send(_ line: String) {
        // It may be gone; what it wrote tells.
        try? self.input.fileHandleForWriting.write(contentsOf: Data("\(line)\n".utf8))
    }

    /// Reads until `holds` is true of what it wrote; false if it ends before.
    func read(until holds: (String) -> Bool) -> Bool {
        while !holds(self.text) {
            let data = self.output.fileHandleForReading.availableData
            if data.isEmpty { return false }
            self.text += String(decoding: data, as: UTF8.self)
        }
        return true
    }

    /// `openssl s_server` on a free port, which sends each line back reversed.
    static func server(
        _ files: TLSCertificateFiles, _ options: [String] = []
    ) throws -> (command: OpenSSLCommand, port: Int) {
        let command = try OpenSSLCommand(
            [
                "s_server", "-accept", "127.0.0.1:0", "-cert", files.chain, "-key", files.key,
                "-rev",
            ] + options)
        _ = command.read { $0.contains(/ACCEPT 127\.0\.0\.1:\d+\n/) }
        let port = command.text.firstMatch(of: /ACCEPT 127\.0\.0\.1:(\d+)/).flatMap { Int($0.1) }
        return (command, port ?? 0)
    }
}
