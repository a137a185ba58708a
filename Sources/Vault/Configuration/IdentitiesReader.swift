internal import Cryptography
internal import ServiceConfiguration

extension VaultConfigurationReader {
    /// Reads `identities`; a vault without it issues none but can deny peers.
    func identities(_ place: ConfigurationCursor?) -> IdentitiesConfiguration? {
        var value = IdentitiesConfiguration()
        guard let place else { return value }
        let keys = [
            "join_address", "join_url", "dns_names", "certificate_minutes", "rejoin_window_days",
        ]
        guard let identities = place.mapping(keys: keys) else { return nil }
        let minutes = identities.integer(
            "certificate_minutes", in: Self.certificateMinutes, otherwise: 60)
        let days = identities.integer("rejoin_window_days", in: 0...30, otherwise: 7)
        let names = identities["dns_names"].map { self.dnsNames($0) } ?? []
        var url = identities["join_url"].flatMap(self.baseURL)
        if let place = identities.required("join_address") {
            guard let address = self.files.listenAddress(place) else { return nil }
            guard case .ip = address else {
                place.report("services join over TLS: it needs an IP address and port")
                return nil
            }
            if identities["join_url"] == nil {
                if !address.isOneAddress {
                    place.report(
                        "\(address) is no address that services can use: say by \"join_url\" what "
                            + "they use")
                }
                url = "https://\(address)"
            }
            value.joinAddress = address
        }
        guard let minutes, let days, let names else { return nil }
        value.joinURL = url
        value.dnsNames = names
        value.leafSeconds = minutes * 60
        value.rejoinSeconds = days * 86_400
        return value
    }

    private func dnsNames(_ place: ConfigurationCursor) -> [String]? {
        guard let elements = place.elements() else { return nil }
        let names = elements.compactMap { element -> String? in
            guard let text = element.string() else { return nil }
            if let name = HostName.normalized(text) { return name }
            element.report("\"\(text)\" is not a host name: no port, no wildcard, no path")
            return nil
        }
        return names.count == elements.count ? names : nil
    }

    private static let certificateMinutes =
        CertificateAuthority.identitySeconds.lowerBound / 60...CertificateAuthority.identitySeconds
        .upperBound / 60
}
