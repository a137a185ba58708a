internal import Logging
internal import ServiceConfiguration
internal import State

/// An endpoint key that has expired, or will before long: nobody is refused for it yet, or somebody is.
struct ExpiringEndpointKey {
    let endpoint: EndpointConfiguration
    let record: EndpointKeyRecord
    /// Whether it lets nobody in any more.
    let hasExpired: Bool
    /// When that is or was.
    let expiry: String

    /// 7 days: time to give callers another one.
    static let noticeMilliseconds: Int64 = 7 * 86_400_000
}

extension EndpointKeyRecords {
    /// The keys of configured endpoints that have expired or are about to; those that were replaced are to.
    func expiring(
        _ configuration: GatewayConfiguration, now: Int64 = UnixTime.milliseconds
    ) -> [ExpiringEndpointKey] {
        self.keys.compactMap { record in
            guard let expires = record.expiresMilliseconds, !record.isFormer,
                expires <= now + ExpiringEndpointKey.noticeMilliseconds,
                let endpoint = configuration.endpoints.first(where: {
                    $0.name == record.endpoint && $0.authentication == .key
                })
            else { return nil }
            return ExpiringEndpointKey(
                endpoint: endpoint, record: record, hasExpired: expires <= now,
                expiry: UTCDate.text(of: expires / 1000))
        }
    }
}

extension Gateway {
    /// Tells the process's log of endpoint keys that have expired or are about to; blocks on the state.
    func warnOfExpiringKeys() {
        guard let keys = try? self.store?.endpointKeys() else { return }
        for key in keys.expiring(self.configuration) {
            self.logger.warning(
                key.hasExpired ? "an endpoint key has expired" : "an endpoint key expires soon",
                metadata: [
                    "endpoint": "\(key.endpoint.publicName)",
                    "slot": "\(key.record.slot.rawValue)", "kid": "\(key.record.kid)",
                    "expires": "\(key.expiry)",
                ])
        }
    }
}
