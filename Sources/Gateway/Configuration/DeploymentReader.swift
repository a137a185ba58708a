internal import Cryptography
internal import ServiceConfiguration

/// Reads the deployments of one endpoint.
struct DeploymentReader {
    let files: ConfigurationFiles
    /// Whether this is an agent, whose model is on this host.
    let isAgent: Bool
    /// nil if it was wrong.
    let trustDomain: String?
    let hasIdentity: Bool
    let hasLog: Bool
    /// Whether the endpoint's traffic has high business impact.
    let isHBI: Bool
    /// nil if they were wrong.
    let keyVaults: KeyVaults?

    /// Reads all deployments and their shares of the traffic.
    func deployments(
        _ place: ConfigurationCursor, traffic: ConfigurationCursor?
    ) -> [DeploymentConfiguration]? {
        guard let entries = place.entries() else { return nil }
        if entries.isEmpty { place.report("at least one deployment is needed") }
        if self.isAgent, entries.count > 1 { place.report("an agent has one deployment") }
        if entries.count > 20 {
            place.report("\(entries.count) deployments are too many: at most 20 an endpoint")
        }
        var shares = self.traffic(traffic, names: entries.map(\.name))
        if traffic == nil {
            if entries.count == 1 {
                shares = [entries[0].name: 100]
            } else if entries.count > 1 {
                place.report("several deployments need \"traffic\": their shares in percent")
            }
        }
        let deployments = entries.compactMap { key, name, value -> DeploymentConfiguration? in
            EndpointName.check(name, at: key, of: "a deployment")
            return self.deployment(name: name, share: shares?[name] ?? 0, at: value)
        }
        return deployments.count == entries.count ? deployments : nil
    }

    private func traffic(_ place: ConfigurationCursor?, names: [String]) -> [String: Int]? {
        guard let place, let entries = place.entries() else { return nil }
        var shares: [String: Int] = [:]
        var isWhole = true
        for (key, name, value) in entries {
            if !names.contains(name) {
                let hint = NearestName.of(name, among: names).map { "; did you mean \"\($0)\"?" }
                key.report("traffic names an unknown deployment \"\(name)\"\(hint ?? "")")
                isWhole = false
            } else if let share = value.integer(in: 0...100) {
                shares[name] = Int(share)
            } else {
                isWhole = false
            }
        }
        let sum = shares.values.reduce(0, +)
        if isWhole, sum != 0, sum != 100 {
            place.report("traffic sums to \(sum); it must be 0 or 100")
        }
        return shares
    }

    private func deployment(
        name: String, share: Int, at place: ConfigurationCursor
    ) -> DeploymentConfiguration? {
        let keys = [
            "backends", "backend_identity", "protocol", "request_settings", "retry_stale",
            "readiness_probe", "data_collector", "credentials",
        ]
        guard let deployment = place.mapping(keys: keys) else { return nil }
        let wire = deployment.choice("protocol", otherwise: DeploymentConfiguration.Version.http1)
        let backends = self.backends(deployment.required("backends"))
        let identity = self.backendIdentity(deployment["backend_identity"], backends: backends)
        var timeout: Int64? = 5000
        if let place = deployment["request_settings"] {
            let settings = place.mapping(
                keys: ["request_timeout_ms"],
                later: ["max_concurrent_requests_per_instance", "max_queue_wait_ms"])
            timeout = settings?.integer("request_timeout_ms", in: 1...180_000, otherwise: 5000)
        }
        let retries = deployment["retry_stale"].map { $0.boolean() }
        let probe = deployment["readiness_probe"].flatMap(self.readinessProbe)
        let collector = deployment["data_collector"].flatMap(self.dataCollector)
        let credentials = deployment["credentials"].map(self.credentials) ?? []
        if probe != nil, wire == .http2, let backends, !backends.allSatisfy(\.isEncrypted) {
            deployment["readiness_probe"]?.report(
                "readiness_probe asks over HTTP/1.1, which a backend of protocol: http2 without"
                    + " TLS does not speak")
        }
        if self.isAgent, let backends, backends.contains(where: \.isEncrypted) {
            deployment["backends"]?.report(
                "an agent's model is on its own host: http://127.0.0.1:PORT or unix:PATH")
        }
        guard let backends, let identity, let wire, let timeout, let retries = retries ?? false,
            let credentials
        else {
            return nil
        }
        return DeploymentConfiguration(
            name: name, trafficPercent: share, backends: backends, backendIdentity: identity,
            version: wire, requestTimeoutMilliseconds: timeout, retriesStaleConnections: retries,
            readinessProbe: probe, credentials: credentials, collector: collector)
    }

    private func readinessProbe(
        _ place: ConfigurationCursor
    ) -> ReadinessProbeConfiguration? {
        let keys = [
            "path", "initial_delay", "period", "timeout", "success_threshold", "failure_threshold",
        ]
        guard let probe = place.mapping(keys: keys) else { return nil }
        var value = ReadinessProbeConfiguration()
        if let path = probe["path"] {
            let text = path.string()
            let isTarget =
                text.map { text in
                    text.hasPrefix("/") && text.utf8.allSatisfy { 0x21...0x7e ~= $0 && $0 != 0x23 }
                } ?? true
            if let text, !isTarget {
                path.report("\"\(text)\" is not a path: it begins with / and has no space or #")
            }
            value.path = text ?? value.path
        }
        let delay = probe.integer("initial_delay", in: 0...3600, otherwise: value.initialDelay)
        let period = probe.integer("period", in: 1...3600, otherwise: value.period)
        let timeout = probe.integer("timeout", in: 1...600, otherwise: value.timeout)
        let successes = probe.integer(
            "success_threshold", in: 1...100, otherwise: value.successThreshold)
        let failures = probe.integer(
            "failure_threshold", in: 1...1000, otherwise: value.failureThreshold)
        guard let delay, let period, let timeout, let successes, let failures else { return nil }
        value.initialDelay = delay
        value.period = period
        value.timeout = timeout
        value.successThreshold = successes
        value.failureThreshold = failures
        return value
    }

    private func backendIdentity(
        _ place: ConfigurationCursor?, backends: [BackendAddress]?
    ) -> BackendIdentity? {
        guard let place else { return .host }
        guard let text = place.string(), let trustDomain else { return nil }
        let spiffeID: SPIFFEID
        do throws(CryptographyError) {
            spiffeID = try SPIFFEID(text)
        } catch {
            place.report("\(error)")
            return nil
        }
        if spiffeID.trustDomain != trustDomain {
            place.report("\(text) is not of this gateway's trust domain, \(trustDomain)")
        }
        if let backends, !backends.allSatisfy(\.isEncrypted) {
            place.report("backend_identity needs https backends: nothing else shows an identity")
        }
        return .spiffeID(spiffeID)
    }

    private func backends(_ place: ConfigurationCursor?) -> [BackendAddress]? {
        guard let place, let elements = place.elements() else { return nil }
        if elements.isEmpty { place.report("at least one backend is needed") }
        var known: Set<BackendAddress> = []
        let backends = elements.compactMap { element -> BackendAddress? in
            guard let backend = self.backend(element) else { return nil }
            if !known.insert(backend).inserted { element.report("\(backend) is listed twice") }
            return backend
        }
        return backends.count == elements.count ? backends : nil
    }

    private func backend(_ place: ConfigurationCursor) -> BackendAddress? {
        guard let text = place.string() else { return nil }
        if text.hasPrefix("unix:") {
            return self.files.socket(place, text).map { .unix(path: $0) }
        }
        let isEncrypted = text.hasPrefix("https://")
        guard isEncrypted || text.hasPrefix("http://"),
            let (host, port) = HostAndPort.split(
                String(text.dropFirst(isEncrypted ? 8 : 7)), defaultPort: isEncrypted ? 443 : 80),
            let name = HostName.normalized(host), port > 0
        else {
            place.report(
                "\"\(text)\" is not a backend: https://HOST:PORT, unix:PATH,"
                    + " or http://127.0.0.1:PORT; without a path")
            return nil
        }
        let address = IPAddress(name.hasPrefix("[") ? String(name.dropFirst().dropLast()) : name)
        guard !isEncrypted else {
            if !self.hasIdentity {
                place.report(
                    "an https backend needs \"identity\": the gateway's certificate and the"
                        + " roots that the backend's must lead to")
            }
            return address.map { .https($0, port: port) } ?? .httpsName(name, port: port)
        }
        if let address, address.isLoopback { return .http(address, port: port) }
        if name == "localhost" { return .http(IPAddress(ipv4: 0x7f00_0001), port: port) }
        place.report(
            "the leg from the gateway to \(text) would be plaintext beyond this host:"
                + " use https:// or a loopback address")
        return nil
    }
}
