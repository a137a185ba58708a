package import Cryptography
package import HTTPTransport
package import SealedLog
package import ServiceConfiguration

/// One endpoint: how it is found, who may call it, and the deployments behind it.
package struct EndpointConfiguration: Sendable, Equatable {
    /// Begins with a letter; 3 to 32 letters, digits and single dashes.
    package var name: String
    /// Names it answers to, lower case without trailing dot; empty accepts any (a sole endpoint).
    package var hosts: [String]
    /// Path prefix that is stripped, for instance `/iris`: begins with `/`, does not end with it.
    package var pathPrefix: String?
    /// How callers prove that they may call.
    package var authentication: Authentication
    /// With ``Authentication/mutualTLS``: the SPIFFE IDs that may call; empty lets in every
    /// certificate the listener verified.
    package var allowedIdentities: [String] = []
    /// Which statuses and bodies callers see.
    package var wireCompatibility: WireCompatibility
    /// Most bytes of a request body.
    package var bodyBytes: Int64
    /// Whether WebSocket clients may have a connection for themselves.
    package var allowsWebSocket = false
    /// Whether what passes has high business impact: as little as possible is said of it anywhere.
    package var isHBI = false
    /// What stands for the name where it must not be told; nil unless ``isHBI``.
    package var pseudonym: String?
    /// How its log is encrypted.
    package var encryption = EncryptionConfiguration()
    /// 1 to 20, in the order of the file.
    package var deployments: [DeploymentConfiguration]

    /// The name as metrics, access log and the process's own log have it.
    package var publicName: String { self.pseudonym ?? self.name }

    /// How durable its log is; nil if no deployment logs anything.
    package var durability: Durability? {
        self.deployments.lazy.compactMap { $0.collector?.durability }.first
    }

    /// How callers of an endpoint prove that they may call.
    package enum Authentication: String, Sendable, CaseIterable {
        /// An endpoint key in `Authorization: Bearer`.
        case key
        /// A client certificate that the listener verified.
        case mutualTLS = "mtls"
    }

    /// Which of the wire behaviours an endpoint shows.
    package enum WireCompatibility: String, Sendable, CaseIterable {
        /// Statuses of a managed online endpoint.
        case managed
        /// Statuses of a Kubernetes online endpoint.
        case kubernetes
        /// The model's own statuses and bodies, unchanged.
        case transparent
    }
}

/// One deployment of an endpoint.
package struct DeploymentConfiguration: Sendable, Equatable {
    /// Which version of HTTP the backends are spoken to in.
    package enum Version: String, Sendable, CaseIterable {
        /// A connection for each request in progress.
        case http1
        /// One connection a worker: over TLS where ALPN says `h2`, else from the first byte.
        case http2
    }

    /// As callers name it in `azureml-model-deployment`; same form as an endpoint's name.
    package var name: String
    /// What stands for the name where it must not be told; nil unless the endpoint is of high business
    /// impact.
    package var pseudonym: String?
    /// Share of the endpoint's traffic, 0 to 100; those of an endpoint sum to 0 or 100.
    package var trafficPercent: Int
    /// At least one.
    package var backends: [BackendAddress]
    /// What the certificates of `https` backends must show.
    package var backendIdentity: BackendIdentity
    /// `protocol` in the configuration.
    package var version: Version
    /// From the request's last routing decision to the end of the model's answer.
    package var requestTimeoutMilliseconds: Int64
    /// Whether a POST may be repeated once when a pooled connection turns out stale.
    package var retriesStaleConnections: Bool
    /// How a backend shows that it may get requests; nil takes it for ready.
    package var readinessProbe: ReadinessProbeConfiguration?
    /// Secret fields its backends want to see.
    package var credentials: [CredentialConfiguration] = []
    /// What is logged; nil logs nothing.
    package var collector: DataCollectorConfiguration?
    /// Of each worker, for each backend; not to be set in the file yet.
    package var poolLimits = PoolLimits()

    /// The name as metrics, access log and the process's own log have it.
    package var publicName: String { self.pseudonym ?? self.name }

    /// The address of one of ``backends`` as metrics and logs have it: host names tell what runs there.
    package func publicAddress(_ address: BackendAddress) -> String {
        guard self.pseudonym != nil else { return address.description }
        return "backend-\((self.backends.firstIndex(of: address) ?? -1) + 1)"
    }

    /// Whether the backends are agents, with whom more is spoken than the client's request.
    package var leadsToAgent: Bool {
        if case .spiffeID(let id) = self.backendIdentity { id.kind == .agent } else { false }
    }
}

/// How a backend is asked whether it is ready, as Azure Machine Learning names it; times in seconds.
package struct ReadinessProbeConfiguration: Sendable, Equatable {
    /// Asked with GET; any status of 2xx or 3xx is a success.
    package var path = "/"
    /// From one question to the next.
    package var period: Int64 = 10
    /// How long an answer may take.
    package var timeout: Int64 = 2
    /// Before the first question.
    package var initialDelay: Int64 = 0
    /// So many successes in a row make a backend ready.
    package var successThreshold: Int64 = 1
    /// So many failures in a row make it unready.
    package var failureThreshold: Int64 = 30

    /// The defaults.
    package init() {}
}

/// What the certificate of an `https` backend must show besides leading to the trust roots.
package enum BackendIdentity: Sendable, Hashable {
    /// The DNS name or IP address of the backend's URL.
    case host
    /// Exactly this SPIFFE ID.
    case spiffeID(SPIFFEID)
}

/// Where a backend listens.
package enum BackendAddress: Sendable, Hashable, CustomStringConvertible {
    /// Mutual TLS to a DNS name.
    case httpsName(String, port: Int)
    /// Mutual TLS to an IP address.
    case https(IPAddress, port: Int)
    /// Plaintext, loopback only.
    case http(IPAddress, port: Int)
    /// Plaintext over a Unix socket by absolute path.
    case unix(path: String)

    /// As it is written in the configuration.
    package var description: String {
        switch self {
        case .httpsName(let name, let port): "https://\(name):\(port)"
        case .https(let address, let port): "https://\(ListenAddress.ip(address, port: port))"
        case .http(let address, let port): "http://\(ListenAddress.ip(address, port: port))"
        case .unix(let path): "unix:\(path)"
        }
    }

    /// Whether the leg to the backend is encrypted.
    package var isEncrypted: Bool {
        switch self {
        case .httpsName, .https: true
        case .http, .unix: false
        }
    }
}
