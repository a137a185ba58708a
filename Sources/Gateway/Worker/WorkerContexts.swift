internal import Cryptography
internal import HTTPTransport
internal import NIOCore
internal import ServiceConfiguration
internal import TLS

/// One worker's TLS contexts and limits under one configuration.
///
/// Made off the loop, since reading and checking keys takes milliseconds; immutable.
struct WorkerContexts: Sendable {
    /// By the listener's place in the configuration.
    let servers: [TLSServerContext]
    let limits: HTTPLimits
    let timeouts: ServerTimeouts
    private let clients: [ClientKey: TLSClientContext]

    /// What tells one kind of peer from another.
    private struct ClientKey: Hashable, Sendable {
        var address: BackendAddress
        var identity: BackendIdentity
        var version: DeploymentConfiguration.Version
    }

    /// - Throws: What is wrong with which file.
    init(
        _ configuration: GatewayConfiguration, resources: TLSWorkerResources,
        ticketKeys: TLSTicketKeys
    ) throws(TLSError) {
        var servers: [TLSServerContext] = []
        for listener in configuration.listeners {
            servers.append(
                try TLSServerContext(
                    Self.server(listener, configuration.limits), resources: resources,
                    ticketKeys: ticketKeys))
        }
        var clients: [ClientKey: TLSClientContext] = [:]
        for deployment in configuration.endpoints.flatMap(\.deployments) {
            for address in deployment.backends where address.isEncrypted {
                let key = ClientKey(
                    address: address, identity: deployment.backendIdentity,
                    version: deployment.version)
                guard clients[key] == nil else { continue }
                clients[key] = try TLSClientContext(
                    Self.client(key, configuration), resources: resources)
            }
        }
        self.servers = servers
        self.clients = clients
        var limits = HTTPLimits()
        limits.headBytes = configuration.limits.headerBytes
        limits.bodyBytes = Int(
            configuration.endpoints.map(\.bodyBytes).max() ?? configuration.limits.bodyBytes)
        self.limits = limits
        self.timeouts = ServerTimeouts(
            head: .milliseconds(configuration.limits.headerTimeoutMilliseconds),
            idle: .milliseconds(configuration.limits.idleTimeoutMilliseconds))
    }

    /// The context for a backend; nil for one without TLS.
    func client(
        _ address: BackendAddress, _ deployment: DeploymentConfiguration
    ) -> TLSClientContext? {
        self.clients[
            ClientKey(
                address: address, identity: deployment.backendIdentity, version: deployment.version)
        ]
    }

    private static func server(
        _ listener: ListenerConfiguration, _ limits: LimitsConfiguration
    ) -> TLSServerConfiguration {
        var server = TLSServerConfiguration(
            certificates: listener.tls.certificates.map {
                TLSCertificateFiles(chain: $0.chain, key: $0.key)
            }, alpn: ["h2", "http/1.1"], listener: listener.address.description)
        server.minimumVersion =
            switch listener.tls.minimumVersion {
            case .tls12: .tls12
            case .tls13: .tls13
            }
        switch listener.tls.clientAuthentication {
        case .none: server.clientAuthentication = .none
        case .optional(let roots):
            server.clientAuthentication = .optional
            server.clientTrustRoots = roots
        case .required(let roots):
            server.clientAuthentication = .required
            server.clientTrustRoots = roots
        }
        server.clientRevocationLists = listener.tls.clientRevocationLists
        server.handshakeTimeoutMilliseconds = Int(limits.handshakeTimeoutMilliseconds)
        return server
    }

    /// How a question of ours reaches a backend, over HTTP/1.1; nil for one without TLS.
    static func probe(
        _ address: BackendAddress, _ deployment: DeploymentConfiguration,
        _ configuration: GatewayConfiguration
    ) -> TLSClientConfiguration? {
        guard address.isEncrypted else { return nil }
        return self.client(
            ClientKey(address: address, identity: deployment.backendIdentity, version: .http1),
            configuration)
    }

    private static func client(
        _ key: ClientKey, _ configuration: GatewayConfiguration
    ) -> TLSClientConfiguration {
        let peer: TLSExpectedPeer =
            switch (key.identity, key.address) {
            case (.spiffeID(let id), _): .identity(id.text)
            case (.host, .httpsName(let name, _)): .dnsName(name)
            case (.host, .https(let address, _)), (.host, .http(let address, _)):
                .dnsName(address.description)
            case (.host, .unix): preconditionFailure("a Unix socket has no TLS")
            }
        var client = TLSClientConfiguration(
            trustRoots: configuration.identity?.trustRoots, peer: peer)
        client.identity = configuration.identity.map {
            TLSCertificateFiles(chain: $0.certificate.chain, key: $0.certificate.key)
        }
        if case .httpsName(let name, _) = key.address { client.serverName = name }
        client.minimumVersion = .tls13
        client.alpn = key.version == .http2 ? ["h2"] : ["http/1.1"]
        return client
    }
}
