import Foundation
import NIOCore
import Synchronization
import TLS
import Testing

/// A server that prints its port, or its address, and ends with its standard input or by SIGTERM.
///
/// Ended by ``end()``, or killed with the object at the latest.
final class PeerProcess: Sendable {
    let port: Int
    /// What it has printed after its port.
    let output: Watched<String>
    private let process: Mutex<Process>
    private let input: Mutex<Pipe>

    private init(port: Int, output: Watched<String>, process: Process, input: Pipe) {
        self.port = port
        self.output = output
        self.process = Mutex(process)
        self.input = Mutex(input)
    }

    deinit { self.process.withLock { if $0.isRunning { kill($0.processIdentifier, SIGKILL) } } }

    /// Starts `program` and waits for its port.
    static func start(_ program: String, _ arguments: [String]) async throws -> PeerProcess {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.environment = Peers.environment
        let (input, output) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = output
        let text = Watched("")
        output.fileHandleForReading.readabilityHandler = { handle in
            let data = handle.availableData
            guard !data.isEmpty else {
                handle.readabilityHandler = nil
                return
            }
            text.update { $0 += String(decoding: data, as: UTF8.self) }
        }
        try Command.withoutBlockedSignals { try process.run() }
        await text.wait(.seconds(60)) { $0.contains("\n") }
        let line = text.value.split(separator: "\n").first
        guard let port = line?.split(separator: ":").last.flatMap({ Int($0) }) else {
            process.terminate()
            throw HarnessError.notListening(program)
        }
        return PeerProcess(port: port, output: text, process: process, input: input)
    }

    func end() async {
        self.input.withLock { try? $0.fileHandleForWriting.close() }
        self.process.withLock { if $0.isRunning { $0.terminate() } }
    }
}

/// The Python programs of `Tests/peers`, and gateways before them.
enum Peers {
    static var python: String { "\(testCache)/streams/bin/python" }

    /// No files beside the sources, no proxies, no colours.
    static var environment: [String: String] {
        ["PYTHONDONTWRITEBYTECODE": "1", "PATH": "/usr/bin:/bin"]
    }

    /// Whether they can be run; says so where they cannot.
    static var areInstalled: Bool {
        let programs = [self.python, "\(testCache)/clients/bin/python"]
        if programs.allSatisfy({ FileManager.default.isExecutableFile(atPath: $0) }) { return true }
        print("SKIPPED: Python peers are not installed (Tests/setup components)")
        return false
    }

    /// Starts `script` of `Tests/peers` behind a gateway, runs `body` and ends everything.
    ///
    /// `version` is how the gateway speaks to it; over mutual TLS the script gets chain, key and trust
    /// root. `lines` are further ones of the endpoint, indentation of four; with `durability` all is logged.
    static func run(
        _ script: String, version: String, isEncrypted: Bool = false, timeout: Int = 20_000,
        limits: String = "{}", lines: String = "", durability: String? = nil,
        _ body: (Stage, PeerProcess) async throws -> Void
    ) async throws {
        guard self.areInstalled else { return }
        let materials = try Materials()
        let files =
            isEncrypted ? [materials.backend.chain, materials.backend.key, materials.root] : []
        try await self.run(
            self.python, ["\(repository)/Tests/peers/\(script)"] + files, materials,
            version: version, isEncrypted: isEncrypted, timeout: timeout, limits: limits,
            lines: lines, durability: durability, body)
    }

    /// Starts the example model behind a gateway, runs `body` and ends everything.
    static func runModel(
        version: String, _ body: (Stage, PeerProcess) async throws -> Void
    ) async throws {
        try await self.run(
            GatewayProcess.executable.path, ["model", "--address", "127.0.0.1:0"], Materials(),
            version: version, isEncrypted: false, timeout: 20_000, limits: "{}", lines: "",
            durability: nil, body)
    }

    private static func run(
        _ program: String, _ arguments: [String], _ materials: Materials, version: String,
        isEncrypted: Bool, timeout: Int, limits: String, lines: String, durability: String?,
        _ body: (Stage, PeerProcess) async throws -> Void
    ) async throws {
        let backend = try await PeerProcess.start(program, arguments)
        let port = backend.port
        let identity = "        backend_identity: spiffe://test.local/agent/blue\n"
        let log = durability.map { SealedLogStage.setup($0) }
        let setup = StageSetup(
            limits: limits, lines: log?.lines ?? "", isBackendEncrypted: isEncrypted,
            endpoints: { _ in
                """
                  iris:
                \(lines)    traffic: {blue: 100}
                    deployments:
                      blue:
                        backends: ["\(isEncrypted ? "https" : "http")://127.0.0.1:\(port)"]
                        protocol: \(version)
                \(isEncrypted ? identity : "")\
                        request_settings: {request_timeout_ms: \(timeout)}
                \(log?.deploymentLines ?? "")
                """
            })
        let stage = try await Stage.start(setup, materials: materials)
        try materials.write("key", stage.key, mode: 0o600)
        do {
            try await body(stage, backend)
        } catch {
            await stage.stop()
            await backend.end()
            throw error
        }
        await stage.stop()
        await backend.end()
    }

    /// Runs cases of a client; each must say that it is right.
    static func expect(
        _ cases: [String], of script: String, environment: String = "streams", _ stage: Stage,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let outcome = try await Command.run(
            "/usr/bin/timeout",
            [
                "--signal=KILL", "120", "\(testCache)/\(environment)/bin/python",
                "\(repository)/Tests/peers/\(script)", "\(stage.port)", stage.materials.root,
                "\(stage.materials.path)/key",
            ] + cases, environment: self.environment)
        #expect(
            outcome.output == cases.map { "\($0) ok\n" }.joined(), "\(outcome.errors)",
            sourceLocation: sourceLocation)
    }
}

extension Stage {
    /// The access log's lines, once there are as many.
    func accessLog(_ count: Int) async throws -> [String] {
        try await self.accessLog { $0.count >= count }
    }

    /// The access log's lines, once `holds` does for them; they are written ten times a second.
    func accessLog(until holds: ([String]) -> Bool) async throws -> [String] {
        let path = "\(self.materials.path)/access.log"
        var lines: [String] = []
        _ = try await eventually {
            lines = try String(contentsOfFile: path, encoding: .utf8)
                .split(separator: "\n").map(String.init)
            return holds(lines)
        }
        return lines
    }
}
