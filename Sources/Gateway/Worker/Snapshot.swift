internal import NIOCore
internal import ServiceConfiguration

/// What a configuration means for requests: immutable, shared by all workers, replaced as a whole.
final class Snapshot: Sendable {
    let configuration: GatewayConfiguration
    let endpoints: [Endpoint]
    let deployments: [Deployment]
    let router: Router
    /// Whether requests come from a gateway, which has done its part with them.
    let isAgent: Bool
    /// How long an answer may stand still between two of its pieces.
    let streamIdleTimeout: TimeAmount

    /// The endpoints' names in the order of their numbers.
    var endpointNames: [String] { self.endpoints.map(\.configuration.name) }

    /// Whether an agent's model has not said that it is ready.
    ///
    /// A gateway has many models, and answers for each by itself.
    var isWaitingForModel: Bool {
        self.isAgent
            && self.deployments.contains { deployment in
                !deployment.readiness.isEmpty
                    && deployment.readiness.allSatisfy { !$0.isReady }
            }
    }

    /// What is known of a backend that is asked in this way.
    func readiness(
        of address: BackendAddress, _ probe: ReadinessProbeConfiguration
    ) -> BackendReadiness? {
        for deployment in self.deployments {
            for readiness in deployment.readiness
            where readiness.address == address && readiness.probe == probe {
                return readiness
            }
        }
        return nil
    }

    /// Whether `deployment` is of this snapshot and not of a former one.
    func has(_ deployment: Deployment) -> Bool {
        deployment.index < self.deployments.count
            && self.deployments[deployment.index] === deployment
    }

    /// Whether `endpoint` is of this snapshot and not of a former one.
    func has(_ endpoint: Endpoint) -> Bool {
        endpoint.index < self.endpoints.count && self.endpoints[endpoint.index] === endpoint
    }

    /// - Parameters:
    ///   - configuration: What it is made of.
    ///   - logs: The streams of the sealed log, by endpoint.
    ///   - secrets: The vault's that backends are shown: all that `configuration` names.
    ///   - former: Whose backends' readiness is taken over where they are asked as before.
    /// - Throws: If a backend's credential cannot be read.
    init(
        _ configuration: GatewayConfiguration, logs: [String: EndpointLog] = [:],
        secrets: VaultSecrets.Values = [:], after former: Snapshot? = nil
    ) throws(StartError) {
        self.configuration = configuration
        self.isAgent = configuration.isAgent
        var endpoints: [Endpoint] = []
        var deployments: [Deployment] = []
        for endpoint in configuration.endpoints {
            let made = try Endpoint(
                index: endpoints.count, configuration: endpoint,
                firstDeployment: deployments.count, log: logs[endpoint.name],
                secrets: secrets, former: former)
            endpoints.append(made)
            deployments += made.deployments
        }
        self.endpoints = endpoints
        self.deployments = deployments
        self.router = Router(endpoints: endpoints, isAgent: configuration.isAgent)
        self.streamIdleTimeout = .milliseconds(configuration.limits.idleTimeoutMilliseconds)
    }
}
