internal import Cryptography
internal import ServiceConfiguration

/// A listener, and the certificates it shows.
struct ReadListener {
    let configuration: ListenerConfiguration
    let certificates: [CheckedCertificate]
    /// The service's identity, where the listener shows that.
    let identity: ReadIdentity?

    /// Whether the listener shows a certificate for `host`.
    func covers(_ host: String) -> Bool {
        guard let identity else { return self.certificates.contains { $0.covers(host) } }
        // What the vault will issue is not known before; once it is, this is read again.
        return identity.leaf?.covers(host: host) ?? true
    }
}

/// Who is believed to say where a client comes from.
struct ReadProxies {
    var ranges: [AddressRange] = []
    /// Whether peers on Unix sockets are.
    var hasUnix = false
}

extension ConfigurationReader {
    /// Reads the list of listeners; `proxies` is nil if they were wrong.
    func listeners(
        _ place: ConfigurationCursor?, isAgent: Bool, identity: ReadIdentity?,
        proxies: ReadProxies?
    ) -> [ReadListener]? {
        guard let place, let elements = place.elements() else { return nil }
        if elements.isEmpty { place.report("at least one listener is needed") }
        var addresses: Set<ListenAddress> = []
        let listeners = elements.compactMap { element in
            self.listener(
                element, isAgent: isAgent, identity: identity, proxies: proxies,
                addresses: &addresses)
        }
        return listeners.count == elements.count ? listeners : nil
    }

    private func listener(
        _ place: ConfigurationCursor, isAgent: Bool, identity: ReadIdentity?,
        proxies: ReadProxies?, addresses: inout Set<ListenAddress>
    ) -> ReadListener? {
        guard let listener = place.mapping(keys: ["address", "proxy_protocol", "tls"]) else {
            return nil
        }
        let address = listener.required("address").flatMap { place -> ListenAddress? in
            guard let address = self.files.listenAddress(place) else { return nil }
            if case .ip(_, port: 0) = address { return address }
            if !addresses.insert(address).inserted {
                place.report("another listener has the address \(address)")
            }
            return address
        }
        let proxyProtocol = listener.choice(
            "proxy_protocol", otherwise: ListenerConfiguration.ProxyProtocol.none)
        if proxyProtocol != ListenerConfiguration.ProxyProtocol.none, let address, let proxies {
            let place = listener["proxy_protocol"]
            switch address {
            case .unix where !proxies.hasUnix:
                place?.report(
                    "proxy_protocol on a Unix socket needs \"unix\" in \"trusted_proxies\": "
                        + "nobody else connects")
            case .ip where proxies.ranges.isEmpty:
                place?.report(
                    "proxy_protocol needs an address range in \"trusted_proxies\": nobody else is "
                        + "believed")
            default: break
            }
        }
        let tls = listener.required("tls").flatMap {
            self.tls($0, isAgent: isAgent, identity: identity)
        }
        guard let address, let proxyProtocol, let tls else { return nil }
        return ReadListener(
            configuration: ListenerConfiguration(
                address: address, proxyProtocol: proxyProtocol, tls: tls.configuration),
            certificates: tls.certificates, identity: tls.identity)
    }

    private func tls(
        _ place: ConfigurationCursor, isAgent: Bool, identity: ReadIdentity?
    ) -> (
        configuration: ListenerTLSConfiguration, certificates: [CheckedCertificate],
        identity: ReadIdentity?
    )? {
        let keys = [
            "certificates", "minimum_version", "client_authentication", "client_trust_roots",
            "client_revocation_lists",
        ]
        guard let tls = place.mapping(keys: keys) else { return nil }
        var certificates: [CheckedCertificate]?
        var shown: ReadIdentity?
        if let place = tls["certificates"], place.isWord(Self.identityWord) {
            // What is wrong with the identity itself was reported there.
            if identity == nil {
                place.report("there is no \"identity\" whose certificate to show")
            }
            shown = identity
            certificates = []
        } else if let list = tls.required("certificates"), let elements = list.elements() {
            if elements.isEmpty { list.report("at least one certificate is needed") }
            let read = elements.compactMap { element -> CheckedCertificate? in
                guard let pair = element.mapping(keys: ["chain", "key"]) else { return nil }
                return self.files.certificate(
                    chain: pair.required("chain"), key: pair.required("key"))
            }
            certificates = read.count == elements.count ? read : nil
        }
        let version = tls.choice(
            "minimum_version",
            otherwise: isAgent
                ? ListenerTLSConfiguration.MinimumVersion.tls13 : .tls12)
        if isAgent, version == .tls12 {
            tls["minimum_version"]?.report("an agent speaks TLS 1.3 only")
        }
        let authentication = self.clientAuthentication(tls, isAgent: isAgent, identity: identity)
        let lists = self.revocationLists(tls, isUsed: authentication != ClientAuthentication.none)
        guard let certificates, let version, let authentication else { return nil }
        let configuration = ListenerTLSConfiguration(
            certificates: shown.map { [$0.configuration.certificate] }
                ?? certificates.map(\.files), minimumVersion: version,
            clientAuthentication: authentication, clientRevocationLists: lists)
        return (configuration, certificates, shown)
    }

    private typealias ClientAuthentication = ListenerTLSConfiguration.ClientAuthentication

    private func revocationLists(_ tls: ConfigurationMapping, isUsed: Bool) -> String? {
        guard let place = tls["client_revocation_lists"] else { return nil }
        if !isUsed {
            place.report(
                "client_revocation_lists needs client_authentication: optional or required")
        }
        return self.files.revocationLists(place)
    }

    private enum ClientAuthenticationName: String, CaseIterable {
        case none
        case optional
        case required
    }

    private func clientAuthentication(
        _ tls: ConfigurationMapping, isAgent: Bool, identity: ReadIdentity?
    ) -> ClientAuthentication? {
        guard
            let name = tls.choice(
                "client_authentication",
                otherwise: isAgent ? ClientAuthenticationName.required : .none)
        else { return nil }
        if isAgent, name != .required {
            tls["client_authentication"]?.report(
                "an agent asks every client for a certificate: required")
        }
        guard name != .none else {
            tls["client_trust_roots"]?.report(
                "client_trust_roots needs client_authentication: optional or required")
            return ClientAuthentication.none
        }
        let roots: String?
        if let place = tls["client_trust_roots"], place.isWord(Self.identityWord) {
            if identity == nil { place.report("there is no \"identity\" whose roots to trust") }
            roots = identity?.configuration.trustRoots
        } else {
            roots = tls.required("client_trust_roots").flatMap(self.files.trustRoots)
        }
        guard let roots else { return nil }
        return name == .optional ? .optional(trustRoots: roots) : .required(trustRoots: roots)
    }

    /// Stands for the service's own identity in the place of files.
    private static let identityWord = "identity"
}
