internal import Cryptography
internal import KeyVault
internal import ServiceConfiguration

/// Turns the YAML tree of a vault's configuration into values.
///
/// One method a section; each answers nil after reporting what is wrong in it.
struct VaultConfigurationReader {
    let files: ConfigurationFiles

    /// Reads the whole file.
    func vault(_ root: ConfigurationCursor) -> VaultConfiguration? {
        let keys = [
            "trust_domain", "service", "state", "root_key", "base_url", "listeners", "admin",
            "identity", "identities", "drain_timeout_ms", "limits", "pkcs11", "policy",
        ]
        guard let root = root.mapping(keys: keys) else { return nil }
        let trustDomain = self.files.trustDomain(root["trust_domain"])
        let service = root.required("service").flatMap { self.files.service($0, among: [.vault]) }
        let state = root.required("state").flatMap(self.files.path)
        let rootKey = root.required("root_key").flatMap {
            self.files.rootKey($0, stateDirectory: state)
        }
        let listeners = root.required("listeners").flatMap(self.listeners)
        let baseURL = root["base_url"].map(self.baseURL)
        if root["base_url"] == nil, let first = listeners?.first, !first.isOneAddress {
            root["listeners"]?.report(
                "\(first) is not what clients connect to: say that by \"base_url\"")
        }
        let admin = root["admin"].map(self.admin)
        var identities = self.identities(root["identities"])
        var identity = root["identity"].flatMap(self.files.identity)
        if let place = root["identities"], root["identity"] != nil {
            place.report("a vault that issues identities makes its own: leave out \"identity\"")
        }
        if root["identity"] == nil {
            if root["identities"] == nil {
                _ = root.required("identity")
            } else if let state {
                // Made at the start, before anything reads it.
                let folder = IdentityFolder(path: "\(state)/identity")
                identities?.ownFolder = folder.path
                identity = IdentityConfiguration(
                    certificate: CertificateFiles(chain: folder.chain, key: folder.key),
                    trustRoots: folder.trustBundle)
            }
        }
        let drain = root.integer("drain_timeout_ms", in: 0...3_600_000, otherwise: 10_000)
        let limits = self.limits(root["limits"])
        let token = root["pkcs11"].map(self.token)
        let policy = root.required("policy").flatMap { place in
            trustDomain.flatMap { VaultPolicyReader(trustDomain: $0).policy(place) }
        }
        guard let trustDomain, let service, let state, let rootKey, let listeners, let identity,
            let identities,
            let drain, let limits, let policy,
            let spiffeID = try? SPIFFEID(
                trustDomain: trustDomain, kind: service.kind, name: service.name)
        else { return nil }
        return VaultConfiguration(
            file: self.files.file, spiffeID: spiffeID, stateDirectory: state, rootKeyFile: rootKey,
            baseURL: baseURL.flatMap { $0 }, listeners: listeners,
            adminSocket: admin.flatMap { $0 },
            identity: identity, identities: identities, drainTimeoutMilliseconds: drain,
            connections: limits.connections, idleTimeoutMilliseconds: limits.idle,
            token: token.flatMap { $0 }, policy: policy)
    }

    private func listeners(_ place: ConfigurationCursor) -> [ListenAddress]? {
        guard let elements = place.elements() else { return nil }
        if elements.isEmpty { place.report("at least one listener is needed") }
        var addresses: Set<ListenAddress> = []
        let listeners = elements.compactMap { element -> ListenAddress? in
            guard let place = element.mapping(keys: ["address"])?.required("address"),
                let address = self.files.listenAddress(place)
            else { return nil }
            guard case .ip(_, let port) = address else {
                place.report(
                    "a vault knows who asks by mutual TLS: it needs an IP address and port")
                return nil
            }
            if port != 0, !addresses.insert(address).inserted {
                place.report("another listener has the address \(address)")
            }
            return address
        }
        return listeners.count == elements.count ? listeners : nil
    }

    func baseURL(_ place: ConfigurationCursor) -> String? {
        guard let text = place.string() else { return nil }
        let scheme = "https://"
        if text.hasPrefix(scheme),
            let (host, port) = HostAndPort.split(
                String(text.dropFirst(scheme.count)), defaultPort: 443),
            let name = HostName.normalized(host), port > 0
        {
            return port == 443 ? "\(scheme)\(name)" : "\(scheme)\(name):\(port)"
        }
        place.report("\"\(text)\" is not the URL of a vault: https://HOST:PORT; without a path")
        return nil
    }

    private func admin(_ place: ConfigurationCursor) -> String? {
        guard let address = place.mapping(keys: ["address"])?.required("address"),
            let value = self.files.listenAddress(address)
        else { return nil }
        guard case .unix(let path) = value else {
            address.report("the listeners answer /healthz and /readyz: admin is for unix:PATH")
            return nil
        }
        return path
    }

    private func token(_ place: ConfigurationCursor) -> TokenConfiguration? {
        let keys = ["module", "token_label", "serial", "pin", "module_parameters"]
        guard let token = place.mapping(keys: keys) else { return nil }
        let module = token.required("module").flatMap(self.files.path)
        let label = token.required("token_label").flatMap { Self.text($0, "label", maximum: 32) }
        let serial = token["serial"].map { Self.text($0, "serial number", maximum: 16) }
        let pin = token.required("pin").flatMap { place -> String? in
            guard let file = place.mapping(keys: ["file"])?.required("file"),
                let path = self.files.path(file)
            else { return nil }
            do throws(CryptographyError) {
                _ = try SecretBytes(contentsOf: path, maximum: 256)
                return path
            } catch {
                file.report("\(error)")
                return nil
            }
        }
        guard let module, let label, serial != .some(nil), let pin else { return nil }
        return TokenConfiguration(
            module: module, tokenLabel: label, serial: serial ?? nil, pinFile: pin,
            moduleParameters: token["module_parameters"]?.string())
    }

    /// What a token is known by: so many bytes at most, as PKCS#11 has room for.
    private static func text(
        _ place: ConfigurationCursor, _ what: String, maximum: Int
    ) -> String? {
        guard let text = place.string() else { return nil }
        guard 1...maximum ~= text.utf8.count else {
            place.report("a token's \(what) has 1 to \(maximum) bytes")
            return nil
        }
        return text
    }

    private func limits(_ place: ConfigurationCursor?) -> (connections: Int, idle: Int64)? {
        guard let place else { return (1024, 60_000) }
        guard let limits = place.mapping(keys: ["connections", "idle_timeout_ms"]),
            let connections = limits.integer("connections", in: 1...100_000, otherwise: 1024),
            let idle = limits.integer("idle_timeout_ms", in: 1000...86_400_000, otherwise: 60_000)
        else { return nil }
        return (Int(connections), idle)
    }
}

extension ListenAddress {
    /// Whether it is an address that clients can connect to as it stands.
    var isOneAddress: Bool {
        guard case .ip(let address, let port) = self, port != 0 else { return false }
        return address != IPAddress(ipv4: 0) && address != IPAddress(bits: 0)
    }
}
