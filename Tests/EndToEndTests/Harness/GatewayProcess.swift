import Foundation
import NIOCore
import Synchronization

/// A `scoregate serve` of its own, on ports the kernel chose.
///
/// Ended by ``end()``, or killed with the object at the latest.
final class GatewayProcess: Sendable {
    /// What a command wrote, and how it ended.
    struct Outcome {
        var code: Int32
        var output: String
        var errors: String
    }

    /// The program under test, which the build puts beside the tests.
    static var executable: URL {
        URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
            .deletingLastPathComponent().appendingPathComponent("scoregate")
    }

    let configuration: String
    let errors = Watched("")
    let exit = Watched<Int32?>(nil)
    private let process: Mutex<Process>
    let processID: Int32

    private init(
        _ service: String, configuration: String, environment: [String: String],
        process: Process, errors: Pipe
    ) throws {
        self.configuration = configuration
        process.executableURL = Self.executable
        process.arguments = [service, "--config", configuration]
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.currentDirectoryURL = URL(fileURLWithPath: configuration)
            .deletingLastPathComponent()
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = errors
        let text = self.errors
        errors.fileHandleForReading.readabilityHandler = { handle in
            let data = handle.availableData
            guard !data.isEmpty else {
                handle.readabilityHandler = nil
                return
            }
            text.update { $0 += String(decoding: data, as: UTF8.self) }
        }
        let exit = self.exit
        process.terminationHandler = { process in
            let code =
                process.terminationReason == .uncaughtSignal
                ? -process.terminationStatus : process.terminationStatus
            exit.update { $0 = code }
        }
        try Command.withoutBlockedSignals { try process.run() }
        self.processID = process.processIdentifier
        self.process = Mutex(process)
    }

    deinit { self.signal(SIGKILL) }

    /// Starts a gateway; it may refuse its configuration, as ``exit`` then says.
    static func launch(
        _ service: String = "serve", configuration: String, environment: [String: String] = [:]
    ) throws -> GatewayProcess {
        try GatewayProcess(
            service, configuration: configuration, environment: environment, process: Process(),
            errors: Pipe())
    }

    /// Starts a gateway, or another `service`, and waits until it listens.
    static func start(
        _ service: String = "serve", configuration: String, environment: [String: String] = [:]
    ) async throws -> GatewayProcess {
        let gateway = try self.launch(
            service, configuration: configuration, environment: environment)
        let expected =
            try String(contentsOfFile: configuration, encoding: .utf8)
            .components(separatedBy: "- address:").count - 1
        let exit = gateway.exit
        let isUp = await gateway.errors.wait(.seconds(60)) { text in
            exit.value != nil || Self.addresses(in: text).count >= expected
        }
        guard isUp, exit.value == nil else {
            gateway.signal(SIGKILL)
            throw HarnessError.notListening(gateway.errors.value)
        }
        return gateway
    }

    /// Where the gateway listens, in the order of its configuration.
    var addresses: [String] { Self.addresses(in: self.errors.value) }

    /// The first listener's port.
    var port: Int {
        get throws {
            guard let last = self.addresses.first?.split(separator: ":").last,
                let port = Int(last.prefix { $0.isNumber })
            else { throw HarnessError.notListening(self.errors.value) }
            return port
        }
    }

    /// Whole lines only: the last one may be half there.
    private static func addresses(in text: String) -> [String] {
        text.split(separator: "\n", omittingEmptySubsequences: false).dropLast().compactMap {
            line in
            guard line.contains("listening"), let range = line.range(of: "address=") else {
                return nil
            }
            return String(line[range.upperBound...].prefix { $0 != " " })
                .trimmingCharacters(in: CharacterSet(charactersIn: "\""))
        }
    }

    /// Sends a signal unless the process has ended.
    func signal(_ number: Int32) {
        self.process.withLock { process in
            if process.isRunning { kill(self.processID, number) }
        }
    }

    /// Ends the gateway as an operator would; kills it if that takes too long.
    ///
    /// - Returns: Its exit code, negative for a signal.
    @discardableResult
    func end() async -> Int32 {
        self.signal(SIGTERM)
        if await !self.exit.wait(.seconds(60), until: { $0 != nil }) {
            self.signal(SIGKILL)
            await self.exit.wait { $0 != nil }
        }
        return self.exit.value ?? -1
    }

    /// Resident memory in KiB.
    var residentKilobytes: Int {
        let status = try? String(contentsOfFile: "/proc/\(self.processID)/status", encoding: .utf8)
        let line = status?.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
        return line.flatMap { Int($0.filter(\.isNumber)) } ?? 0
    }

    /// Makes an endpoint's key, in force when this returns.
    func regenerateKey(endpoint: String = "iris", slot: String = "primary") async throws -> String {
        let outcome = try await Self.run([
            "keys", "regenerate", endpoint, "--slot", slot, "--config", self.configuration,
        ])
        guard outcome.code == 0 else { throw HarnessError.commandFailed(outcome.errors) }
        return outcome.output.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Runs a command of the program to its end; `environment` has further variables.
    static func run(
        _ arguments: [String], environment: [String: String] = [:]
    ) async throws -> Outcome {
        try await Command.run(
            self.executable.path, arguments,
            environment: ProcessInfo.processInfo.environment.merging(environment) { $1 })
    }
}

/// Any program run to its end, off the threads of the tests.
enum Command {
    static func run(
        _ program: String, _ arguments: [String], environment: [String: String]? = nil
    ) async throws -> GatewayProcess.Outcome {
        try await withCheckedThrowingContinuation { continuation in
            // A thread of its own: the reads block.
            Thread.detachNewThread {
                continuation.resume(
                    with: Result { try self.runHere(program, arguments, environment) })
            }
        }
    }

    private static func runHere(
        _ program: String, _ arguments: [String], _ environment: [String: String]?
    ) throws -> GatewayProcess.Outcome {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        if let environment { process.environment = environment }
        let (output, errors) = (Pipe(), Pipe())
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = errors
        try self.withoutBlockedSignals { try process.run() }
        let errorText = Mutex(Data())
        let hasErrorText = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            let data = errors.fileHandleForReading.readDataToEndOfFile()
            errorText.withLock { $0 = data }
            hasErrorText.signal()
        }
        let text = output.fileHandleForReading.readDataToEndOfFile()
        hasErrorText.wait()
        process.waitUntilExit()
        return GatewayProcess.Outcome(
            code: process.terminationStatus, output: String(decoding: text, as: UTF8.self),
            errors: String(decoding: errorText.withLock { $0 }, as: UTF8.self))
    }

    private static let starts = Mutex(())

    /// Runs `body`, which starts a process, with no signal blocked: threads of libdispatch block
    /// nearly all, and a process started there would inherit that and hear no SIGTERM.
    ///
    /// One at a time: `Process.run()` on many threads at once has been seen to read outside its
    /// memory.
    static func withoutBlockedSignals(_ body: () throws -> Void) rethrows {
        try self.starts.withLock { _ in try self.unblocked(body) }
    }

    private static func unblocked(_ body: () throws -> Void) rethrows {
        var (none, before) = (sigset_t(), sigset_t())
        unsafe sigemptyset(&none)
        unsafe pthread_sigmask(SIG_SETMASK, &none, &before)
        defer { unsafe pthread_sigmask(SIG_SETMASK, &before, nil) }
        try body()
    }
}

/// What keeps a test from being set up.
enum HarnessError: Error {
    case notListening(String)
    case commandFailed(String)
    /// With what came instead.
    case noAnswer(RawClient.Received)
}
