import Foundation
import NIOCore
import Synchronization
import TLS
import Testing

/// A gateway as an operator has it: certificates and keys made by the command line, two workers,
/// an admin socket and an access log, all in one folder.
final class Installation: Sendable {
    /// What differs from test to test.
    struct Setup: Sendable {
        var workers = 2
        var drainMilliseconds = 10_000
        /// Further top-level lines.
        var lines = ""
        /// Further lines of the listener's `tls`, each with its indentation of six.
        var tlsLines = ""
        /// Further listeners, indentation of two.
        var listeners = ""
        /// Further lines of the endpoint, each with its indentation of four.
        var endpointLines = ""
        var admin = "unix:admin.sock"
    }

    let folder: String
    let backend: RecordingBackend
    /// The configuration at the beginning.
    let text: String
    private let running = Mutex<GatewayProcess?>(nil)

    private init(_ setup: Setup) async throws {
        // Short: the path of a Unix socket has at most 107 bytes.
        self.folder = "/tmp/scoregate-ops-\(UUID().uuidString.prefix(13))"
        try FileManager.default.createDirectory(
            atPath: self.folder, withIntermediateDirectories: false,
            attributes: [.posixPermissions: 0o700])
        self.backend = try await RecordingBackend.start(.loopback)
        self.text = Self.configuration(setup, backend: self.backend.url)
        try self.write("gateway.yaml", self.text)
        try self.write("root.key", String(repeating: "c", count: 32), mode: 0o600)
        try await self.must(["certs", "init"])
        try await self.issueServer()
        try await self.issueIdentity("gateway/edge", name: "gateway")
        try await self.issueIdentity("operator/caller", name: "caller")
    }

    deinit { try? FileManager.default.removeItem(atPath: self.folder) }

    /// Sets it up, starts the gateway, runs `body` and ends everything.
    static func run(
        _ setup: Setup = Setup(), starts: Bool = true,
        _ body: (Installation) async throws -> Void
    ) async throws {
        let installation = try await Installation(setup)
        do {
            if starts { try await installation.start() }
            try await body(installation)
        } catch {
            await installation.stop()
            throw error
        }
        await installation.stop()
    }

    var configuration: String { self.path("gateway.yaml") }
    var trustRoot: String { self.path("certs/ca.pem") }

    func path(_ name: String) -> String { "\(self.folder)/\(name)" }

    var gateway: GatewayProcess {
        get throws { try #require(self.running.withLock { $0 }) }
    }

    func start() async throws {
        let gateway = try await GatewayProcess.start(configuration: self.configuration)
        self.running.withLock { $0 = gateway }
    }

    private func stop() async {
        await self.running.withLock { $0.take() }?.end()
        await self.backend.stop()
    }

    /// Writes a file in one step, as a careful tool does.
    func write(_ name: String, _ text: String, mode: Int = 0o644) throws {
        let new = self.path("\(name).new")
        _ = FileManager.default.createFile(
            atPath: new, contents: Data(text.utf8), attributes: [.posixPermissions: mode])
        try #require(self.move("\(name).new", to: name))
    }

    /// Renames a file over another, if there is one; whether that could be done.
    func move(_ name: String, to other: String) -> Bool {
        unsafe rename(self.path(name), self.path(other)) == 0
    }

    func read(_ name: String) -> String {
        (try? String(contentsOfFile: self.path(name), encoding: .utf8)) ?? ""
    }

    /// Issues the listener's certificate anew; `arguments` go to the command.
    func issueServer(_ arguments: [String] = [], name: String = "server") async throws {
        try await self.must(
            [
                "certs", "issue", "server", "--name", name, "--dns", "localhost", "--ip",
                "127.0.0.1", "--ip", "::1", "--replace",
            ] + arguments)
    }

    func issueIdentity(_ place: String, name: String) async throws {
        try await self.must([
            "certs", "issue", "identity", "spiffe://scoregate.local/\(place)", "--name", name,
            "--replace",
        ])
    }

    private func must(_ arguments: [String]) async throws {
        let outcome = try await GatewayProcess.run(
            arguments + ["--directory", self.path("certs")])
        guard outcome.code == 0 else { throw HarnessError.commandFailed(outcome.errors) }
    }

    /// A command of the program with this configuration.
    func command(_ arguments: String...) async throws -> GatewayProcess.Outcome {
        try await GatewayProcess.run(arguments + ["--config", self.configuration])
    }

    /// Makes the key of a slot.
    func key(_ slot: String = "primary") async throws -> String {
        let outcome = try await self.command("keys", "regenerate", "iris", "--slot", slot)
        guard outcome.code == 0 else { throw HarnessError.commandFailed(outcome.errors) }
        return outcome.output.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// The whole configuration; paths are relative to its folder.
    private static func configuration(_ setup: Setup, backend: String) -> String {
        """
        trust_domain: scoregate.local
        service: {kind: gateway, name: edge}
        state: state
        root_key: {file: root.key}
        workers: \(setup.workers)
        access_log: {path: access.log, format: json}
        drain_timeout_ms: \(setup.drainMilliseconds)
        \(setup.lines)
        listeners:
          - address: 127.0.0.1:0
            tls:
              certificates: [{chain: certs/server.pem, key: certs/server.key}]
        \(setup.tlsLines)\(setup.listeners)
        admin: {address: "\(setup.admin)"}
        identity: {chain: certs/gateway.pem, key: certs/gateway.key, trust_roots: certs/ca.pem}
        endpoints:
          iris:
        \(setup.endpointLines)\
            traffic: {blue: 100}
            deployments:
              blue:
                backends: ["\(backend)"]
                request_settings: {request_timeout_ms: 20000}

        """
    }
}

// MARK: - Asking the gateway

extension Installation {
    func connect() async throws -> RawClient {
        try await RawClient.connect(
            port: self.gateway.port, root: self.trustRoot, serverName: "localhost")
    }

    /// A whole request of the endpoint.
    func request(
        _ key: String, _ target: String = "/score", lines: String = "", body: String = "{}"
    ) -> String {
        """
        POST \(target) HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(key)\r\n\(lines)\
        Content-Length: \(body.utf8.count)\r\n\r\n\(body)
        """
    }

    /// A request whose answer has begun; it ends with `hiho` when its last byte, `}`, is sent.
    func beginGated(_ key: String) async throws -> RawClient {
        self.backend.script(
            "/gated",
            [
                .send(
                    Array("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n".utf8)),
                .receiveRequest, .send(Array("2\r\nho\r\n0\r\n\r\n".utf8)),
            ])
        let client = try await self.connect()
        await client.send(String(self.request(key, "/gated").dropLast()))
        let hasBegun = await client.received.wait {
            String(decoding: $0.bytes, as: UTF8.self).contains("hi")
        }
        #expect(hasBegun)
        return client
    }

    /// The status of one request on a connection of its own.
    func status(_ key: String, _ target: String = "/score") async throws -> Int {
        let client = try await self.connect()
        await client.send(self.request(key, target))
        return try await client.answer().status
    }

    /// What the admin socket answers: the body, then the status.
    func admin(_ path: String) async throws -> (body: String, status: Int) {
        // The admin socket opens after the listeners, whose log line is what was waited for.
        var answer = (body: "", status: 0)
        let deadline = ContinuousClock.now + .seconds(60)
        while answer.status == 0, ContinuousClock.now < deadline {
            let outcome = try await Command.run(
                "/usr/bin/curl",
                [
                    "--silent", "--unix-socket", self.path("admin.sock"), "--write-out",
                    "\n%{http_code}", "http://admin\(path)",
                ])
            let lines = outcome.output.components(separatedBy: "\n")
            answer = (lines.dropLast().joined(separator: "\n"), Int(lines.last ?? "") ?? 0)
        }
        return answer
    }

    /// The SHA-256 of the certificate that a new connection is shown.
    func shownCertificate() async throws -> String {
        try await self.shell(
            """
            openssl s_client -connect 127.0.0.1:\(self.gateway.port) -servername localhost \
            </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256
            """
        ).output
    }

    /// The SHA-256 of the certificate on disk.
    func storedCertificate() async throws -> String {
        try await self.shell("openssl x509 -noout -fingerprint -sha256 -in certs/server.pem").output
    }

    /// Runs shell commands in the folder; none lasts longer than `seconds`.
    func shell(_ text: String, seconds: Int = 30) async throws -> GatewayProcess.Outcome {
        try await Command.run(
            "/usr/bin/timeout",
            ["--signal=KILL", "\(seconds)", "/bin/bash", "-c", "cd \(self.folder); \(text)"])
    }

    /// Waits until the gateway's own log contains `text` more often than `before`.
    func logged(_ text: String, before: Int = 0) async throws -> Bool {
        try await self.gateway.errors.wait(.seconds(60)) { log in
            log.components(separatedBy: text).count - 1 > before
        }
    }
}

/// Asks again and again until `holds` does; false if it does not in time.
func eventually(
    _ timeout: Duration = .seconds(60), every interval: TimeAmount = .milliseconds(10),
    _ holds: () async throws -> Bool
) async throws -> Bool {
    let end = ContinuousClock.now + timeout
    while ContinuousClock.now < end {
        if try await holds() { return true }
        await Watched(()).wait(interval) { false }
    }
    return false
}

/// Whether a tool is there; says so where it is not.
func isInstalled(_ tool: String) -> Bool {
    let folders = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
    if folders.contains(where: { FileManager.default.isExecutableFile(atPath: "\($0)/\(tool)") }) {
        return true
    }
    print("SKIPPED: \(tool) is not installed (Tests/setup components installs it)")
    return false
}

/// The folder of what `Tests/setup` installs beside Debian's packages.
var testCache: String {
    let environment = ProcessInfo.processInfo.environment
    return environment["SCOREGATE_TEST_CACHE"]
        ?? "\(environment["HOME"] ?? "/root")/.cache/scoregate-tests"
}

/// The repository that is under test.
let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
