internal import Foundation
internal import Synchronization

/// This program again, as another process of the demonstration.
final class DemoService: Sendable {
    /// How a command ended, and what it wrote.
    struct Outcome {
        let code: Int32
        let output: String
        let errors: String
    }

    private let name: String
    private let process: Mutex<Process>
    private let text = Mutex("")
    private let hasEnded = Mutex(false)

    /// Starts `scoregate` with `arguments` in `folder`; what it says is kept.
    init(_ arguments: [String], in folder: String) throws {
        self.name = arguments.first ?? ""
        let process = Self.process(arguments, folder)
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        self.process = Mutex(process)
        output.fileHandleForReading.readabilityHandler = { [weak self] handle in
            let data = handle.availableData
            if data.isEmpty { handle.readabilityHandler = nil }
            self?.text.withLock {
                $0 = String(
                    ($0 + String(decoding: data, as: UTF8.self)).suffix(Self.keptCharacters))
            }
        }
        process.terminationHandler = { [weak self] _ in self?.hasEnded.withLock { $0 = true } }
        try process.run()
    }

    /// Returns once it listens at `count` addresses.
    ///
    /// - Throws: What it said, if it ends before, or does not within 20 s.
    func waitUntilListening(_ count: Int) async throws {
        let end = ContinuousClock.now + .seconds(20)
        while self.text.withLock({ $0.components(separatedBy: "listening").count - 1 }) < count {
            guard !self.hasEnded.withLock({ $0 }), ContinuousClock.now < end else {
                throw CommandFailure(
                    code: .environment,
                    message: "the \(self.name) did not start: \(self.text.withLock { $0 })")
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// Ends it as an operator would, and kills it after 10 s.
    func end() async {
        self.process.withLock { if $0.isRunning { $0.terminate() } }
        let end = ContinuousClock.now + .seconds(10)
        while !self.hasEnded.withLock({ $0 }), ContinuousClock.now < end {
            try? await Task.sleep(for: .milliseconds(20))
        }
        self.process.withLock { if $0.isRunning { kill($0.processIdentifier, SIGKILL) } }
    }

    /// Runs a command to its end.
    static func run(_ arguments: [String], in folder: String) async throws -> Outcome {
        let process = self.process(arguments, folder)
        let output = Pipe()
        let errors = Pipe()
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        // Both are read at once: a command that fills one pipe would wait for its reader.
        async let said = Self.all(of: output)
        async let complained = Self.all(of: errors)
        let outcome = await (said, complained)
        process.waitUntilExit()
        return Outcome(
            code: process.terminationStatus, output: outcome.0, errors: outcome.1)
    }

    private static func all(of pipe: Pipe) async -> String {
        String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    }

    private static func process(_ arguments: [String], _ folder: String) -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        process.arguments = arguments
        process.currentDirectoryURL = URL(fileURLWithPath: folder)
        process.standardInput = FileHandle.nullDevice
        return process
    }

    /// 64 Ki: the end of what a service says is what matters when it fails.
    private static let keptCharacters = 65_536
}
