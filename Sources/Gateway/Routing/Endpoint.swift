internal import HTTPTransport
internal import NIOCore
internal import ServiceConfiguration

/// One endpoint as requests meet it.
///
/// Immutable; all workers share it.
final class Endpoint: Sendable {
    /// Its place in the snapshot.
    let index: Int
    let configuration: EndpointConfiguration
    /// Its stream of the sealed log; nil if nothing of it is logged.
    let log: EndpointLog?
    let deployments: [Deployment]
    /// Whether one deployment has all of the traffic, as most endpoints do.
    private let sole: Deployment?

    init(
        index: Int, configuration: EndpointConfiguration, firstDeployment: Int,
        log: EndpointLog? = nil, secrets: VaultSecrets.Values = [:], former: Snapshot? = nil
    ) throws(StartError) {
        self.index = index
        self.configuration = configuration
        self.log = log
        var deployments: [Deployment] = []
        for deployment in configuration.deployments {
            deployments.append(
                try Deployment(
                    index: firstDeployment + deployments.count, endpointIndex: index,
                    configuration: deployment, secrets: secrets, former: former))
        }
        self.deployments = deployments
        self.sole = deployments.first { $0.configuration.trafficPercent == 100 }
    }

    /// The deployment the caller names, else one by the shares of the traffic.
    ///
    /// - Throws: `.noDeployment` if the one named does not exist, or none has a share.
    func deployment(
        for head: MessageHead, random: inout FastRandom
    ) throws(GatewayError) -> Deployment {
        if let field = head.index(of: .azuremlModelDeployment) {
            let range = head.fields[field].valueRange
            guard let named = self.deployments.first(where: { $0.isNamed(range, in: head) }) else {
                throw GatewayError(kind: .noDeployment, source: .downstream, cause: "pinned")
            }
            return named
        }
        if let sole { return sole }
        var share = Int(random.next() % 100)
        for deployment in self.deployments {
            share -= deployment.configuration.trafficPercent
            if share < 0 { return deployment }
        }
        throw GatewayError(kind: .noDeployment, source: .downstream, cause: "no traffic")
    }
}

/// One deployment as requests meet it.
final class Deployment: Sendable {
    /// Its place among all deployments of the snapshot.
    let index: Int
    let endpointIndex: Int
    let configuration: DeploymentConfiguration
    let requestTimeout: TimeAmount
    /// By the backend's place; none where they are not asked.
    let readiness: [BackendReadiness]
    /// What answers of this deployment get.
    let answerFields: FieldBlock
    /// The name, for the log.
    let nameBytes: [UInt8]
    /// Secret fields its backends want to see.
    let credentials: [BackendCredential]

    init(
        index: Int, endpointIndex: Int, configuration: DeploymentConfiguration,
        secrets: VaultSecrets.Values = [:], former: Snapshot? = nil
    ) throws(StartError) {
        var credentials: [BackendCredential] = []
        for credential in configuration.credentials {
            credentials.append(try BackendCredential(credential, secrets))
        }
        self.credentials = credentials
        self.index = index
        self.endpointIndex = endpointIndex
        self.configuration = configuration
        self.requestTimeout = .milliseconds(configuration.requestTimeoutMilliseconds)
        self.nameBytes = Array(configuration.name.utf8)
        self.readiness =
            configuration.readinessProbe.map { probe in
                configuration.backends.map { address in
                    former?.readiness(of: address, probe) ?? BackendReadiness(address, probe)
                }
            } ?? []
        self.answerFields = FieldBlock([
            "azureml-model-deployment": configuration.name,
            "strict-transport-security": Exchange.strictTransportSecurity,
        ])
    }

    func isNamed(_ range: Range<Int>, in head: MessageHead) -> Bool {
        head.withBytes(range) { span in
            let name = self.nameBytes
            guard span.count == name.count else { return false }
            for index in name.indices where name[index] != span[index] { return false }
            return true
        }
    }
}
