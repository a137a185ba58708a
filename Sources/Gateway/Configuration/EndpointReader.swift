internal import Cryptography
internal import ServiceConfiguration

/// Reads the endpoints of a configuration, and what they need of its other sections.
struct EndpointReader {
    let files: ConfigurationFiles
    /// Whether this is an agent, which has one model and passes everything on.
    let isAgent: Bool
    /// nil if it was wrong, as are the other optional ones: what depends on it is not checked.
    let trustDomain: String?
    let bodyBytes: Int64?
    let hasIdentity: Bool
    let hasRootKey: Bool
    let hasLog: Bool
    let keyVaults: KeyVaults?
    let listeners: [ReadListener]?

    /// Reads all endpoints.
    func endpoints(_ place: ConfigurationCursor) -> [EndpointConfiguration]? {
        guard let entries = place.entries() else { return nil }
        if entries.isEmpty { place.report("at least one endpoint is needed") }
        if self.isAgent, entries.count > 1 { place.report("an agent has one endpoint: its model") }
        var routes: [String: String] = [:]
        let endpoints = entries.compactMap { key, name, value -> EndpointConfiguration? in
            EndpointName.check(name, at: key, of: "an endpoint")
            return self.endpoint(
                name: name, at: value, isSole: entries.count == 1, routes: &routes)
        }
        return endpoints.count == entries.count ? self.withPseudonyms(endpoints) : nil
    }

    /// Numbers the endpoints of high business impact, in the order of the file.
    private func withPseudonyms(_ endpoints: [EndpointConfiguration]) -> [EndpointConfiguration] {
        var count = 0
        return endpoints.map { endpoint in
            guard endpoint.isHBI else { return endpoint }
            count += 1
            var endpoint = endpoint
            endpoint.pseudonym = "hbi-\(count)"
            for index in endpoint.deployments.indices {
                endpoint.deployments[index].pseudonym = "deployment-\(index + 1)"
            }
            return endpoint
        }
    }

    private func endpoint(
        name: String, at place: ConfigurationCursor, isSole: Bool, routes: inout [String: String]
    ) -> EndpointConfiguration? {
        let keys = [
            "hosts", "path_prefix", "auth_mode", "allowed_identities", "wire_compatibility",
            "traffic", "hbi", "encryption", "limits", "websocket", "deployments",
        ]
        let later = ["mirror_traffic", "extended_mirroring"]
        guard let endpoint = place.mapping(keys: keys, later: later) else { return nil }
        let isHBI = endpoint["hbi"].map { $0.boolean() } ?? false
        let encryption = endpoint["encryption"].map {
            self.encryption($0, isHBI: isHBI == true)
        }
        let prefix = endpoint["path_prefix"].flatMap(self.pathPrefix)
        let hosts = self.hosts(endpoint, prefix: prefix, name: name, isSole: isSole, &routes)
        let authentication = endpoint.choice(
            "auth_mode",
            otherwise: self.isAgent ? EndpointConfiguration.Authentication.mutualTLS : .key)
        self.checkAuthentication(authentication, at: endpoint["auth_mode"] ?? place)
        let identities = self.allowedIdentities(endpoint, authentication)
        let wireCompatibility = endpoint.choice(
            "wire_compatibility",
            otherwise: self.isAgent
                ? EndpointConfiguration.WireCompatibility.transparent : .managed)
        if self.isAgent { self.checkAgent(endpoint, authentication, wireCompatibility) }
        let bodyBytes = endpoint["limits"].map { place in
            place.mapping(keys: ["body_bytes"])?.required("body_bytes")?
                .integer(in: LimitsConfiguration.bodyByteRange)
        }
        let deployments = endpoint.required("deployments").flatMap {
            DeploymentReader(
                files: self.files, isAgent: self.isAgent, trustDomain: self.trustDomain,
                hasIdentity: self.hasIdentity, hasLog: self.hasLog, isHBI: isHBI == true,
                keyVaults: self.keyVaults
            ).deployments($0, traffic: endpoint["traffic"])
        }
        let webSocket = endpoint["websocket"].map { $0.boolean() } ?? false
        if webSocket == true, let place = endpoint["websocket"],
            deployments?.contains(where: { $0.version == .http2 }) == true
        {
            place.report("websocket needs protocol: http1 in every deployment: HTTP/2 has no 101")
        }
        if webSocket == true, isHBI == true {
            endpoint["websocket"]?.report(
                "hbi: true serves nothing unlogged, and what WebSocket clients send is not logged")
        }
        if let deployments {
            let cause = isHBI == true ? endpoint["hbi"] ?? place : place
            self.checkLog(deployments, isHBI: isHBI == true, at: cause)
        }
        guard let hosts, let authentication, let isHBI,
            let encryption = encryption ?? EncryptionConfiguration(), let wireCompatibility,
            let deployments,
            let bodyBytes = bodyBytes ?? self.bodyBytes, let webSocket, let identities
        else { return nil }
        return EndpointConfiguration(
            name: name, hosts: hosts, pathPrefix: prefix, authentication: authentication,
            allowedIdentities: identities, wireCompatibility: wireCompatibility,
            bodyBytes: bodyBytes, allowsWebSocket: webSocket,
            isHBI: isHBI, encryption: encryption, deployments: deployments)
    }

    private func hosts(
        _ endpoint: ConfigurationMapping, prefix: String?, name: String, isSole: Bool,
        _ routes: inout [String: String]
    ) -> [String]? {
        guard let place = endpoint["hosts"] else {
            if !isSole {
                endpoint.place.report("missing key \"hosts\": only a sole endpoint may do without")
            }
            return []
        }
        guard let elements = place.elements() else { return nil }
        if elements.isEmpty { place.report("the list is empty: leave the key out or name a host") }
        let hosts = elements.compactMap { element -> String? in
            guard let host = self.host(element) else { return nil }
            let route = host + (prefix ?? "/")
            if let other = routes.updateValue(name, forKey: route) {
                let also = prefix.map { " with path_prefix \"\($0)\"" } ?? ""
                element.report("host \"\(host)\"\(also) already leads to endpoint \"\(other)\"")
            }
            return host
        }
        return hosts.count == elements.count ? hosts : nil
    }

    private func host(_ place: ConfigurationCursor) -> String? {
        guard let text = place.string() else { return nil }
        guard let host = HostName.normalized(text) else {
            place.report("\"\(text)\" is not a host name: no port, no wildcard, no path")
            return nil
        }
        // Unread listeners have been reported; whether they cover the host is not known.
        if let listeners,
            !listeners.contains(where: { $0.covers(host) })
        {
            place.report("no certificate of a listener covers the host \"\(host)\"")
        }
        return host
    }

    private func pathPrefix(_ place: ConfigurationCursor) -> String? {
        guard let text = place.string() else { return nil }
        let segments = text.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        let isValid =
            text.hasPrefix("/")
            && segments.allSatisfy { segment in
                !segment.isEmpty && segment != "." && segment != ".."
                    && segment.utf8.allSatisfy(HostName.isUnreserved)
            }
        guard isValid else {
            place.report(
                "\"\(text)\" is not a path prefix: as /iris, of letters, digits, - . _ ~,"
                    + " without / at its end")
            return nil
        }
        return text
    }

    private func allowedIdentities(
        _ endpoint: ConfigurationMapping,
        _ authentication: EndpointConfiguration.Authentication?
    ) -> [String]? {
        guard let place = endpoint["allowed_identities"] else {
            if self.isAgent {
                endpoint.place.report(
                    "missing key \"allowed_identities\": the SPIFFE IDs of the gateways that may"
                        + " call this agent")
            }
            return []
        }
        if authentication == .key {
            place.report("allowed_identities needs auth_mode: mtls")
        }
        guard let elements = place.elements() else { return nil }
        if elements.isEmpty { place.report("the list is empty: name who may call") }
        return elements.compactMap { element in
            guard let text = element.string() else { return nil }
            do throws(CryptographyError) {
                return try SPIFFEID(text).text
            } catch {
                element.report("\(error)")
                return nil
            }
        }
    }

    /// An agent shows a client what the model says, and lets in whom it names.
    private func checkAgent(
        _ endpoint: ConfigurationMapping,
        _ authentication: EndpointConfiguration.Authentication?,
        _ wireCompatibility: EndpointConfiguration.WireCompatibility?
    ) {
        if authentication == .key {
            endpoint["auth_mode"]?.report("an agent has no endpoint keys: auth_mode mtls")
        }
        if let wireCompatibility, wireCompatibility != .transparent {
            endpoint["wire_compatibility"]?.report("an agent changes no answer: transparent")
        }
        for key in ["hosts", "path_prefix"] {
            endpoint[key]?.report("an agent takes every host and path: leave \(key) to the gateway")
        }
    }

    private func checkAuthentication(
        _ authentication: EndpointConfiguration.Authentication?, at place: ConfigurationCursor
    ) {
        switch authentication {
        case .key where !self.hasRootKey:
            place.report("endpoint keys need \"root_key\": it seals what they are checked with")
        case .mutualTLS:
            let asks = self.listeners?.contains { listener in
                listener.configuration.tls.clientAuthentication != .none
            }
            if asks == false {
                place.report(
                    "auth_mode mtls needs a listener with client_authentication: required"
                        + " or optional")
            }
        default: break
        }
    }
}

/// The form of the names of endpoints and deployments.
enum EndpointName {
    /// Reports `name` unless it begins with a letter and has 3 to 32 letters, digits, single dashes.
    static func check(_ name: String, at place: ConfigurationCursor, of what: String) {
        let isValid =
            (3...32).contains(name.utf8.count)
            && name.utf8.allSatisfy { HostName.isLetterOrDigit($0) || $0 == UInt8(ascii: "-") }
            && !(name.utf8.first.map { $0 < UInt8(ascii: "A") } ?? true)
            && !name.contains("--") && !name.hasSuffix("-")
        if !isValid {
            place.report(
                "\"\(name)\" is not a name for \(what):"
                    + " a letter, then letters, digits and single dashes, 3 to 32 in all")
        }
    }
}
