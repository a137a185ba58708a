internal import SealedLog
internal import ServiceConfiguration

// What the configuration says of the sealed log.
extension ConfigurationReader {
    /// Reads `log`.
    func log(
        _ place: ConfigurationCursor, stateDirectory: String?, rootKey: String?
    ) -> LogConfiguration? {
        let keys = [
            "directory", "retention_days", "required", "reserve_bytes", "queue_bytes",
            "secret_headers", "reader",
        ]
        guard let log = place.mapping(keys: keys) else { return nil }
        let directory = log.required("directory")
        let path = directory.flatMap(self.files.path)
        if let path, let stateDirectory, self.files.lies(path, inside: stateDirectory) {
            directory?.report("the log must not lie inside the state folder")
        }
        if let path, let rootKey, self.files.lies(rootKey, inside: path) {
            directory?.report("the root key must not lie inside the log it protects")
        }
        // What the folder is wrong about keeps the rest from being used, not from being read.
        var value = LogConfiguration(directory: path ?? "")
        if let place = log["required"], let isRequired = place.boolean() {
            value.isRequired = isRequired
        }
        if let place = log["secret_headers"], let elements = place.elements() {
            value.secretHeaders = elements.compactMap { $0.string()?.lowercased() }
        }
        // Only paths: the service need not be able to read them.
        if let reader = log["reader"]?.mapping(keys: ["chain", "key"]),
            let chain = reader.required("chain").flatMap(self.files.path),
            let key = reader.required("key").flatMap(self.files.path)
        {
            value.reader = CertificateFiles(chain: chain, key: key)
        }
        let days = log.integer("retention_days", in: 1...36_500, otherwise: value.retentionDays)
        let reserve = log.integer(
            "reserve_bytes", in: 0...1_099_511_627_776, otherwise: value.reserveBytes)
        let queue = log.integer(
            "queue_bytes", in: 1_048_576...17_179_869_184, otherwise: value.queueBytes)
        guard path != nil, let days, let reserve, let queue else { return nil }
        value.retentionDays = days
        value.reserveBytes = reserve
        value.queueBytes = queue
        return value
    }
}

extension EndpointReader {
    /// Reads `encryption`.
    func encryption(_ place: ConfigurationCursor, isHBI: Bool) -> EncryptionConfiguration? {
        let keys = [
            "cmk_vault_base_url", "cmk_key_name", "cmk_key_version", "on_revoke", "grace_ms",
        ]
        guard let encryption = place.mapping(keys: keys) else { return nil }
        var value = EncryptionConfiguration()
        let onRevoke = encryption.choice("on_revoke", otherwise: value.onRevoke)
        let grace = encryption.integer(
            "grace_ms", in: 0...3_600_000, otherwise: value.graceMilliseconds)
        let customerKey = self.customerKey(encryption)
        guard let onRevoke, let grace else { return nil }
        if isHBI, onRevoke == .serveUnlogged {
            encryption["on_revoke"]?.report("hbi: true serves nothing unlogged: refuse")
        }
        value.onRevoke = onRevoke
        value.graceMilliseconds = grace
        value.customerKey = customerKey
        return value
    }

    /// Reports what a log cannot do for one endpoint: it has one stream, which is as durable for one
    /// deployment as for the other.
    func checkLog(
        _ deployments: [DeploymentConfiguration], isHBI: Bool, at place: ConfigurationCursor
    ) {
        let kinds = Set(deployments.compactMap { $0.collector?.durability })
        if kinds.count > 1 {
            place.report("the deployments of an endpoint share a log: one durability for all")
        }
        guard isHBI else { return }
        if !kinds.isEmpty, kinds != [.strict] {
            place.report("hbi: true needs durability: strict")
        }
        let isAllLogged = deployments.allSatisfy { deployment in
            guard let collector = deployment.collector else { return false }
            return collector.samplingMillionths == 1_000_000
                && (collector.logsRequests || collector.logsResponses)
        }
        if !isAllLogged {
            place.report(
                "hbi: true serves nothing unlogged: every deployment needs a data_collector with "
                    + "sampling_rate 1 and a collection that is enabled")
        }
    }
}

extension DeploymentReader {
    /// Reads `data_collector`.
    func dataCollector(_ place: ConfigurationCursor) -> DataCollectorConfiguration? {
        let keys = ["sampling_rate", "durability", "body_bytes", "collections"]
        guard let collector = place.mapping(keys: keys, later: ["rolling_rate"]) else { return nil }
        if !self.hasLog {
            place.report("data_collector needs \"log\": the folder of the sealed log")
        }
        var value = DataCollectorConfiguration()
        let rate = collector["sampling_rate"].map { $0.millionths() } ?? value.samplingMillionths
        let durability = collector.choice(
            "durability", otherwise: self.isHBI ? Durability.strict : .bounded)
        let bodyBytes = collector.integer(
            "body_bytes", in: 0...33_554_432, otherwise: value.bodyBytes)
        let collections = collector.required("collections")?.mapping(keys: ["request", "response"])
        value.logsRequests = self.isEnabled(collections?["request"])
        value.logsResponses = self.isEnabled(collections?["response"])
        guard let rate, let durability, let bodyBytes, collections != nil else { return nil }
        value.samplingMillionths = rate
        value.durability = durability
        value.bodyBytes = bodyBytes
        return value
    }

    private func isEnabled(_ place: ConfigurationCursor?) -> Bool {
        guard let place, let collection = place.mapping(keys: ["enabled"]) else { return false }
        return collection.required("enabled")?.boolean() ?? false
    }
}
