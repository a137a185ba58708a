internal import Cryptography
internal import ServiceConfiguration

/// Turns the YAML tree of a gateway's configuration into values.
///
/// One method a section; each answers nil after reporting what is wrong in it, so that one
/// reading finds every problem of a file. A value that may be absent is nil as well when it is
/// wrong: the report alone decides that the configuration is refused.
struct ConfigurationReader {
    let files: ConfigurationFiles

    /// Reads the whole file.
    func gateway(_ root: ConfigurationCursor) -> GatewayConfiguration? {
        let keys = [
            "trust_domain", "service", "state", "root_key", "workers", "access_log",
            "drain_timeout_ms", "trusted_proxies", "limits", "listeners", "admin", "identity",
            "endpoints", "log", "vault", "azure",
        ]
        guard let root = root.mapping(keys: keys) else { return nil }
        let trustDomain = self.files.trustDomain(root["trust_domain"])
        let service =
            root["service"].map { self.files.service($0, among: [.gateway, .agent]) }
            ?? (.gateway, "gateway")
        let isAgent = service?.kind == .agent
        // An agent keeps nothing.
        let state = root["state"] ?? (isAgent ? nil : root.required("state"))
        let stateDirectory = state.map(self.files.path) ?? self.files.absolute("state")
        let proxies = self.trustedProxies(root["trusted_proxies"])
        let limits = self.limits(root["limits"], isAgent: isAgent)
        let identity = root["identity"].flatMap(self.identity)
        let listeners = self.listeners(
            root.required("listeners"), isAgent: isAgent, identity: identity,
            proxies: proxies)
        let hasIdentity = root["identity"] != nil
        let keyVaults = self.keyVaults(
            root, trustDomain: trustDomain, identity: identity?.configuration)
        let endpoints = root.required("endpoints").flatMap {
            EndpointReader(
                files: self.files, isAgent: isAgent, trustDomain: trustDomain,
                bodyBytes: limits?.bodyBytes, hasIdentity: hasIdentity,
                hasRootKey: root["root_key"] != nil, hasLog: root["log"] != nil,
                keyVaults: keyVaults, listeners: listeners
            ).endpoints($0)
        }
        let rootKey = root["root_key"].flatMap {
            self.files.rootKey($0, stateDirectory: stateDirectory)
        }
        let log = root["log"].flatMap {
            self.log($0, stateDirectory: stateDirectory, rootKey: rootKey)
        }
        if let place = root["log"] {
            if root["root_key"] == nil {
                place.report("a log needs \"root_key\": it seals the keys of the log")
            }
            if isAgent { place.report("an agent logs nothing: that is the gateway's to do") }
        }
        let workers = root["workers"]?.integer(in: 1...256)
        let accessLog = root["access_log"].flatMap(self.accessLog)
        let drain = root.integer("drain_timeout_ms", in: 0...3_600_000, otherwise: 30_000)
        let admin = root["admin"].flatMap { self.admin($0, hasIdentity: hasIdentity) }
        guard let trustDomain, let service, let stateDirectory, let drain, let proxies, let limits,
            let listeners, let endpoints,
            let spiffeID = try? SPIFFEID(
                trustDomain: trustDomain, kind: service.kind, name: service.name)
        else { return nil }
        if let identity {
            let hasAdminAddress = if case .ip? = admin?.address { true } else { false }
            let leadsToAgent = endpoints.contains { $0.deployments.contains(where: \.leadsToAgent) }
            self.check(
                identity, of: spiffeID, isNamed: root["service"] != nil || hasAdminAddress,
                needsIdentity: leadsToAgent || keyVaults?.service != nil)
        }
        return GatewayConfiguration(
            file: self.files.file, spiffeID: spiffeID,
            stateDirectory: stateDirectory, rootKeyFile: rootKey, workers: workers.map(Int.init),
            accessLog: accessLog, drainTimeoutMilliseconds: drain,
            trustedProxies: proxies.ranges, trustsUnixSockets: proxies.hasUnix, limits: limits,
            listeners: listeners.map(\.configuration), admin: admin,
            identity: identity?.configuration, identityVault: identity?.vault,
            vault: keyVaults?.service, log: log,
            endpoints: endpoints)
    }

    private func accessLog(_ place: ConfigurationCursor) -> AccessLogConfiguration? {
        guard let log = place.mapping(keys: ["path", "format"]) else { return nil }
        if let format = log["format"], let text = format.string(), text != "json" {
            format.report("\"\(text)\" is not one of json")
        }
        guard let path = log.required("path") else { return nil }
        return path.string().map {
            $0 == "stdout" ? .standardOutput : .file(self.files.absolute($0))
        }
    }

    private func trustedProxies(_ place: ConfigurationCursor?) -> ReadProxies? {
        guard let place else { return ReadProxies() }
        guard let elements = place.elements() else { return nil }
        var proxies = ReadProxies()
        for element in elements {
            guard let text = element.string() else { continue }
            if text == "unix" {
                proxies.hasUnix = true
            } else if let range = AddressRange(text) {
                proxies.ranges.append(range)
            } else {
                element.report(
                    "\"\(text)\" is neither an address range such as 10.0.0.0/8 nor unix")
            }
        }
        return proxies
    }

    private func limits(
        _ place: ConfigurationCursor?, isAgent: Bool
    ) -> LimitsConfiguration? {
        var defaults = LimitsConfiguration()
        // How long a body may be is the gateway's to say.
        if isAgent { defaults.bodyBytes = LimitsConfiguration.bodyByteRange.upperBound }
        guard let place else { return defaults }
        let keys = [
            "connections", "header_bytes", "body_bytes", "handshake_timeout_ms",
            "header_timeout_ms", "idle_timeout_ms",
        ]
        guard let limits = place.mapping(keys: keys) else { return nil }
        // Each is read before any is asked for, so that all that is wrong is reported.
        let connections = limits.integer(
            "connections", in: 1...1_000_000, otherwise: Int64(defaults.connections))
        let headerBytes = limits.integer(
            "header_bytes", in: 1024...1_048_576, otherwise: Int64(defaults.headerBytes))
        let bodyBytes = limits.integer(
            "body_bytes", in: LimitsConfiguration.bodyByteRange, otherwise: defaults.bodyBytes)
        let handshake = limits.integer(
            "handshake_timeout_ms", in: 100...600_000,
            otherwise: defaults.handshakeTimeoutMilliseconds)
        let header = limits.integer(
            "header_timeout_ms", in: 100...600_000,
            otherwise: defaults.headerTimeoutMilliseconds)
        let idle = limits.integer(
            "idle_timeout_ms", in: 100...86_400_000,
            otherwise: defaults.idleTimeoutMilliseconds)
        guard let connections, let headerBytes, let bodyBytes, let handshake, let header, let idle
        else { return nil }
        var value = defaults
        value.connections = Int(connections)
        value.headerBytes = Int(headerBytes)
        value.bodyBytes = bodyBytes
        value.handshakeTimeoutMilliseconds = handshake
        value.headerTimeoutMilliseconds = header
        value.idleTimeoutMilliseconds = idle
        return value
    }

    private func admin(_ place: ConfigurationCursor, hasIdentity: Bool) -> AdminConfiguration? {
        guard let address = place.mapping(keys: ["address"])?.required("address"),
            let value = self.files.listenAddress(address)
        else { return nil }
        if case .ip = value, !hasIdentity {
            address.report("an admin address needs \"identity\" for mutual TLS; or use unix:PATH")
        }
        return AdminConfiguration(address: value)
    }
}

extension LimitsConfiguration {
    /// What a body limit may be, in bytes: up to 1 TiB.
    static let bodyByteRange: ClosedRange<Int64> = 0...1_099_511_627_776
}
