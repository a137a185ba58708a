package import SealedLog
package import ServiceConfiguration

/// Where the sealed log lies, and what holds for all of it.
package struct LogConfiguration: Sendable, Equatable {
    /// Folder of the log, made if it is not there; never inside the state.
    package var directory: String
    /// How long segments are kept.
    package var retentionDays: Int64 = 90
    /// Whether endpoints that log refuse requests rather than lose their entries.
    package var isRequired = false
    /// Disk space set aside for what must still be written when the disk is full.
    package var reserveBytes: Int64 = 67_108_864
    /// How many bytes may wait for the writer.
    package var queueBytes: Int64 = 67_108_864
    /// Fields that are never logged, besides those that never are; lower case.
    package var secretHeaders: [String] = []
    /// What commands that read the log prove themselves with to a customer's key vault; nil for the
    /// service's own identity, which need not have the right to read.
    package var reader: CertificateFiles?

    /// The defaults, in a folder.
    package init(directory: String) {
        self.directory = directory
    }
}

/// What a deployment's exchanges leave in the sealed log, as Azure Machine Learning's data collector
/// names it.
package struct DataCollectorConfiguration: Sendable, Equatable {
    /// Share of the exchanges that are logged, in millionths.
    package var samplingMillionths: Int64 = 1_000_000
    /// How soon an entry outlives the process and the power; the same for all of an endpoint.
    package var durability = Durability.bounded
    /// Most bytes of a body that are kept.
    package var bodyBytes: Int64 = 4_194_304
    /// Whether requests are logged.
    package var logsRequests = false
    /// Whether responses are logged.
    package var logsResponses = false

    /// The defaults: nothing is logged.
    package init() {}
}

/// How an endpoint's log is encrypted.
package struct EncryptionConfiguration: Sendable, Equatable {
    /// What becomes of requests once the wrapping key is revoked.
    package enum OnRevoke: String, Sendable, CaseIterable {
        /// They are answered 503.
        case refuse
        /// They are served, and nothing of them is logged.
        case serveUnlogged = "serve_unlogged"
    }

    /// What becomes of requests once the wrapping key is revoked.
    package var onRevoke = OnRevoke.refuse
    /// How long a vault that cannot be asked is put up with.
    package var graceMilliseconds: Int64 = 30_000
    /// The customer's wrapping key; nil for one of the embedded vault.
    package var customerKey: CustomerKeyConfiguration?

    /// How long a vault that cannot be asked is put up with.
    var grace: Duration { .milliseconds(self.graceMilliseconds) }

    /// The defaults.
    package init() {}
}
