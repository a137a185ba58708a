internal import ControlServer
internal import Cryptography
internal import Foundation
internal import Logging
internal import NIOCore
internal import ServiceConfiguration
internal import TLS

/// The admin listener: `/healthz`, `/readyz` and `/metrics`.
struct AdminServer {
    private let admin: AdminConfiguration?
    /// Nil where it is a Unix socket.
    private let tls: ControlTLS?
    /// Nil where it is none.
    private let socket: SocketFile?

    /// - Throws: ``StartError`` if it needs an identity that is not there or cannot be read, or another
    ///   process has its Unix socket.
    init(_ configuration: GatewayConfiguration) throws {
        self.admin = configuration.admin
        self.socket = try Self.socket(configuration.admin)
        guard case .ip? = configuration.admin?.address else {
            self.tls = nil
            return
        }
        do throws(TLSError) {
            self.tls = try ControlTLS(Self.tls(configuration))
        } catch {
            throw StartError.environment("the admin listener cannot be set up: \(error)")
        }
    }

    /// Takes over the identity's files, as they are now.
    func reload(_ configuration: GatewayConfiguration) throws {
        try self.tls?.adopt(Self.tls(configuration))
    }

    /// Serves until cancelled; at once waits for that if the configuration has no admin listener.
    func run(_ gateway: Gateway, logger: Logger) async throws {
        guard let admin else {
            while !Task.isCancelled { try? await Task.sleep(for: .seconds(3600)) }
            return
        }
        let connections = ControlConnections(logger: logger) { peer in
            gateway.admits(identity: peer.identity.text, serial: peer.certificate.serial)
        }
        let server = ControlServer(
            address: self.address(admin), routes: Self.routes(gateway), connections: connections,
            logger: logger)
        do {
            try await server.run { address in
                let bound = address.map { "\($0)" } ?? "\(admin.address)"
                logger.info("admin listening", metadata: ["address": "\(bound)"])
            }
        } catch {
            throw StartError.environment("the admin listener \(admin.address) failed: \(error)")
        }
    }

    /// Removes its Unix socket, which nobody answers any more.
    func removeSocket() { self.socket?.remove() }

    private func address(_ admin: AdminConfiguration) -> ControlServer.Address {
        switch (admin.address, self.socket, self.tls) {
        case (.unix, let socket?, _):
            return .unix(socket)
        case (.ip(let address, let port), _, let tls?):
            return .mutualTLS(host: address.description, port: port, tls)
        case (.unix, nil, _), (.ip, _, nil):
            preconditionFailure("an address gets its socket or its TLS in init")
        }
    }

    /// The Unix socket the configuration names, at which nobody listens yet.
    private static func socket(_ admin: AdminConfiguration?) throws -> SocketFile? {
        guard let admin, case .unix(let path) = admin.address else { return nil }
        let socket = SocketFile(path: path)
        do {
            try socket.probe()
        } catch let error as IOError where error.errnoCode == EADDRINUSE {
            throw StartError.environment(
                "\(admin.address) is in use: another process listens there (ss -lp shows which)")
        }
        return socket
    }

    private static func tls(_ configuration: GatewayConfiguration) -> TLSServerConfiguration {
        guard let identity = configuration.identity else {
            preconditionFailure("a configuration with an admin address has an identity")
        }
        return TLSServerConfiguration(
            certificates: [
                TLSCertificateFiles(
                    chain: identity.certificate.chain, key: identity.certificate.key)
            ],
            clientAuthentication: .required, clientTrustRoots: identity.trustRoots,
            purpose: .internal, listener: "admin")
    }

    private static func routes(_ gateway: Gateway) -> [ControlRoute] {
        [
            ControlRoute(.get, "/healthz") { _ in
                ControlAnswer(
                    status: 200, contentType: "application/json", text: #"{"status":"ok"}"#)
            },
            ControlRoute(.get, "/readyz") { _ in
                let (reasons, warnings) = (gateway.unreadyReasons, gateway.warnings)
                let answer = Readiness(
                    status: reasons.isEmpty ? "ready" : "not ready", reasons: reasons,
                    warnings: warnings.isEmpty ? nil : warnings)
                let encoder = JSONEncoder()
                encoder.outputFormatting = .sortedKeys
                return ControlAnswer(
                    status: reasons.isEmpty ? 200 : 503, contentType: "application/json",
                    text: String(decoding: try encoder.encode(answer), as: UTF8.self))
            },
            ControlRoute(.get, "/metrics") { _ in
                ControlAnswer(
                    status: 200, contentType: "text/plain; version=0.0.4; charset=utf-8",
                    text: try await gateway.metrics())
            },
        ]
    }

    private struct Readiness: Encodable {
        let status: String
        let reasons: [String]
        /// Of single endpoints: the others are served.
        let warnings: [String]?
    }
}
