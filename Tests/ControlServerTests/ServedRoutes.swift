import ControlServer
import Cryptography
import Foundation
import HTTPTransport
import Logging
import NIOCore
import TLS

/// A control server on a free port of the loopback interface, with a trust domain of its own.
final class ServedRoutes: Sendable {
    let port: Int
    let connections: ControlConnections
    private let folder: Folder
    private let task: Task<Void, any Error>

    /// Which of the ways to listen.
    enum Mode {
        case mutual
        case server
    }

    static func start(
        _ mode: Mode, _ routes: [ControlRoute], limits: ControlLimits = ControlLimits(),
        isAdmitted: @escaping @Sendable (ControlPeer) -> Bool = { _ in true },
        drain: (@Sendable () async -> Void)? = nil
    ) async throws -> ServedRoutes {
        let folder = try Folder()
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let connections = ControlConnections(logger: logger, isAdmitted: isAdmitted)
        let tls = try ControlTLS(
            TLSServerConfiguration(
                certificates: [folder.files("vault")],
                clientAuthentication: mode == .mutual ? .required : .none,
                clientTrustRoots: mode == .mutual ? folder.root : nil, purpose: .internal))
        let server = ControlServer(
            address: mode == .mutual
                ? .mutualTLS(host: "127.0.0.1", port: 0, tls)
                : .serverTLS(host: "127.0.0.1", port: 0, tls),
            routes: routes, limits: limits, connections: connections, logger: logger)
        let (ports, bound) = AsyncStream<Int>.makeStream()
        let task = Task {
            defer { bound.finish() }
            try await server.run(onListening: { bound.yield($0?.port ?? 0) }, drain: drain)
        }
        for await port in ports {
            return ServedRoutes(port, connections, folder, task)
        }
        try await task.value
        throw CancellationError()
    }

    private init(
        _ port: Int, _ connections: ControlConnections, _ folder: Folder,
        _ task: Task<Void, any Error>
    ) {
        self.port = port
        self.connections = connections
        self.folder = folder
        self.task = task
    }

    /// Ends it, and waits for that.
    func stop() async {
        self.task.cancel()
        _ = await self.task.result
    }

    /// Waits for its end.
    func ended() async throws { try await self.task.value }

    /// Asks as the peer `name`, or without a certificate.
    func ask(
        _ target: String, as name: String? = "edge", _ method: HTTPMethod = .get,
        body: [UInt8] = [], fields: [(String, String)] = [], timeout: TimeAmount = .seconds(30)
    ) async throws -> HTTPFetch.Answer {
        var fetch = HTTPFetch(
            target, at: .host("127.0.0.1", port: self.port),
            tls: TLSClientConfiguration(
                trustRoots: self.folder.root, identity: name.map(self.folder.files),
                peer: .identity("spiffe://test.local/vault/main"), minimumVersion: .tls13),
            fields: [("host", "localhost")] + fields)
        fetch.method = method
        fetch.body = body
        fetch.timeout = timeout
        return try await fetch.answer()
    }

    /// Certificates of the trust domain `test.local`, removed at the end.
    private final class Folder: Sendable {
        let path = NSTemporaryDirectory() + "scoregate-control-\(UUID().uuidString)"
        var root: String { "\(self.path)/root.pem" }

        init() throws {
            try FileManager.default.createDirectory(
                atPath: self.path, withIntermediateDirectories: false,
                attributes: [.posixPermissions: 0o700])
            let authority = try CertificateAuthority.create(trustDomain: "test.local")
            try authority.certificate.pem.write(
                toFile: self.root, atomically: false, encoding: .utf8)
            for (kind, name) in [("vault/main", "vault"), ("gateway/edge", "edge")] {
                let issued = try authority.issueIdentity(SPIFFEID("spiffe://test.local/\(kind)"))
                let files = self.files(name)
                try issued.certificate.pem.write(
                    toFile: files.chain, atomically: false, encoding: .utf8)
                _ = FileManager.default.createFile(
                    atPath: files.key, contents: Data(issued.privateKeyPEM.bytes.array),
                    attributes: [.posixPermissions: 0o600])
            }
        }

        deinit { try? FileManager.default.removeItem(atPath: self.path) }

        @Sendable func files(_ name: String) -> TLSCertificateFiles {
            TLSCertificateFiles(
                chain: "\(self.path)/\(name).pem", key: "\(self.path)/\(name).key")
        }
    }
}
