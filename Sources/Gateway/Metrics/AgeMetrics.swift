internal import Cryptography
internal import ServiceConfiguration
internal import State

/// How long certificates still last.
enum CertificateMetrics {
    /// Reads the files again, since what counts is what a restart would find; blocks on them.
    static func write(_ configuration: GatewayConfiguration, to text: inout PrometheusText) {
        var files: [(String, String)] = configuration.listeners.flatMap { listener in
            listener.tls.certificates.map { ("listener", $0.chain) }
        }
        if let identity = configuration.identity {
            files.append(("identity", identity.certificate.chain))
        }
        var samples: [(PrometheusText.Labels, Double)] = []
        var seen: Set<String> = []
        for (use, file) in files {
            // Listeners may share a certificate: a series stands in the text once.
            guard seen.insert("\(use) \(file)").inserted,
                let bytes = try? WholeFile.read(file, maximum: 1 << 20),
                let leaf = try? Certificate.chain(pem: bytes).first
            else { continue }
            samples.append(([("use", use), ("file", file)], Double(leaf.notAfter)))
        }
        text.gauge(
            "gateway_certificate_not_after_seconds",
            "When a certificate runs out, seconds of Unix time.", samples)
    }
}

/// How old endpoint keys are, and how long they last.
enum KeyMetrics {
    static func write(
        _ records: EndpointKeyRecords, _ configuration: GatewayConfiguration,
        to text: inout PrometheusText
    ) {
        let names = Dictionary(
            uniqueKeysWithValues: configuration.endpoints.map { ($0.name, $0.publicName) })
        let now = UnixTime.milliseconds
        // The state has keys of endpoints that are not configured any more, too.
        let keys = records.keys.filter { !$0.isFormer }.compactMap { key in
            names[key.endpoint].map { name in
                (labels: [("endpoint", name), ("slot", key.slot.rawValue)], key: key)
            }
        }
        text.gauge(
            "gateway_endpoint_key_created_seconds",
            "When an endpoint key that is valid was made, seconds of Unix time.",
            keys.filter { $0.key.isValid(at: now) }.map {
                ($0.labels, Double($0.key.createdMilliseconds) / 1000)
            })
        text.gauge(
            "gateway_endpoint_key_expires_seconds",
            "When an endpoint key runs out, seconds of Unix time; none where it does not.",
            keys.compactMap { labels, key in
                key.expiresMilliseconds.map { (labels, Double($0) / 1000) }
            })
    }
}
