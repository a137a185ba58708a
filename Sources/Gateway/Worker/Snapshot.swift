internal import NIOCore

/// What a configuration means for requests: immutable, shared by all workers, replaced as a whole.
final class Snapshot: Sendable {
    let configuration: GatewayConfiguration
    let endpoints: [Endpoint]
    let deployments: [Deployment]
    let router: Router
    /// How long an answer may stand still between two of its pieces.
    let streamIdleTimeout: TimeAmount

    /// The endpoints' names in the order of their numbers.
    var endpointNames: [String] { self.endpoints.map(\.configuration.name) }

    /// Whether `deployment` is of this snapshot and not of a former one.
    func has(_ deployment: Deployment) -> Bool {
        deployment.index < self.deployments.count
            && self.deployments[deployment.index] === deployment
    }

    /// Whether `endpoint` is of this snapshot and not of a former one.
    func has(_ endpoint: Endpoint) -> Bool {
        endpoint.index < self.endpoints.count && self.endpoints[endpoint.index] === endpoint
    }

    init(_ configuration: GatewayConfiguration) {
        self.configuration = configuration
        var endpoints: [Endpoint] = []
        var deployments: [Deployment] = []
        for endpoint in configuration.endpoints {
            let made = Endpoint(
                index: endpoints.count, configuration: endpoint,
                firstDeployment: deployments.count)
            endpoints.append(made)
            deployments += made.deployments
        }
        self.endpoints = endpoints
        self.deployments = deployments
        self.router = Router(endpoints: endpoints)
        self.streamIdleTimeout = .milliseconds(configuration.limits.idleTimeoutMilliseconds)
    }
}
