package import Cryptography
internal import HTTPTransport
internal import NIOCore
package import ServiceConfiguration
internal import TLS

/// What a running gateway's admin listener says of its readiness.
package struct Readiness: Sendable {
    /// Whether it should get traffic.
    package let isReady: Bool
    /// The answer as it came: JSON with `status` and `reasons`.
    package let text: String

    /// Asks the gateway of this configuration, 5 s at most.
    ///
    /// - Throws: Whatever kept it from answering.
    package static func ask(_ configuration: GatewayConfiguration) async throws -> Readiness {
        Readiness(try await self.question(configuration).answer())
    }

    /// How the gateway of this configuration is asked.
    ///
    /// - Throws: ``StartError`` if it has no admin listener, or no identity to ask under.
    static func question(_ configuration: GatewayConfiguration) throws -> HTTPFetch {
        guard let admin = configuration.admin else {
            throw StartError.configuration("the configuration has no admin address")
        }
        return try self.question(
            at: admin.address, identity: configuration.identity, peer: configuration.spiffeID)
    }

    /// Asks the service `peer` at the address of its admin listener, 5 s at most; by its own
    /// certificate where that is no Unix socket.
    ///
    /// - Throws: Whatever kept it from answering.
    package static func ask(
        at address: ListenAddress, identity: IdentityConfiguration?, peer: SPIFFEID
    ) async throws -> Readiness {
        let question = try self.question(at: address, identity: identity, peer: peer)
        return Readiness(try await question.answer())
    }

    private init(_ answer: HTTPFetch.Answer) {
        self.isReady = answer.status == 200
        self.text = String(decoding: answer.body, as: UTF8.self)
    }

    private static func question(
        at address: ListenAddress, identity: IdentityConfiguration?, peer: SPIFFEID
    ) throws -> HTTPFetch {
        var fetch: HTTPFetch
        switch address {
        case .unix(let path):
            fetch = HTTPFetch("/readyz", at: .unix(path: path))
        case .ip(let address, let port):
            guard let identity else {
                throw StartError.configuration("admin.address needs identity")
            }
            fetch = HTTPFetch(
                "/readyz", at: .host(address.description, port: port),
                tls: TLSClientConfiguration(
                    trustRoots: identity.trustRoots,
                    identity: TLSCertificateFiles(
                        chain: identity.certificate.chain, key: identity.certificate.key),
                    peer: .identity(peer.text), minimumVersion: .tls13))
        }
        fetch.fields = [("host", "admin")]
        fetch.timeout = .seconds(5)
        return fetch
    }
}
