internal import SealedLog
internal import Synchronization

/// One endpoint's stream of the sealed log, as the workers see it; shared by all of them.
final class EndpointLog: Sendable {
    /// What is done with a request of the endpoint.
    enum Service {
        /// It is served, and logged.
        case logged
        /// It is served, and not logged.
        case unlogged
        /// It is answered 503.
        case refused
    }

    let endpoint: String
    /// The same, for entries.
    let nameBytes: [UInt8]
    /// Its name as metrics and the process's own log have it.
    let publicName: String
    /// Which stream it is, as the writer counts them.
    let stream: Int
    let durability: Durability
    /// Whether times betray, and are left out.
    let isHBI: Bool
    private let servesUnlogged: Atomic<Bool>
    private let isKeyUsable = Atomic(true)
    /// Whether a request is refused rather than not logged.
    let isRequired: Bool
    private let isWritable = Atomic(true)
    private let lost = Atomic<UInt64>(0)

    init(
        _ configuration: EndpointConfiguration, stream: Int, durability: Durability,
        isRequired: Bool
    ) {
        self.endpoint = configuration.name
        self.nameBytes = Array(configuration.name.utf8)
        self.publicName = configuration.publicName
        self.stream = stream
        self.durability = durability
        self.isHBI = configuration.isHBI
        self.servesUnlogged = Atomic(configuration.encryption.onRevoke == .serveUnlogged)
        self.isRequired = isRequired
    }

    /// What is done with a request now; from any thread.
    var service: Service {
        guard self.isKeyUsable.load(ordering: .relaxed) else {
            return self.servesUnlogged.load(ordering: .relaxed) ? .unlogged : .refused
        }
        guard !self.canBeWritten else { return .logged }
        return self.isRequired || self.durability == .strict ? .refused : .logged
    }

    /// Whether what is served now is logged: not while the wrapping key may not be used, or the disk does
    /// not take what is written.
    var isLogging: Bool {
        self.isKeyUsable.load(ordering: .relaxed) && self.canBeWritten
    }

    /// Whether the disk takes what is written.
    var canBeWritten: Bool { self.isWritable.load(ordering: .relaxed) }

    /// How many entries the writer took and lost.
    var lostEntries: UInt64 { self.lost.load(ordering: .relaxed) }

    /// Says what is done while its wrapping key may not be used.
    func adopt(_ onRevoke: EncryptionConfiguration.OnRevoke) {
        self.servesUnlogged.store(onRevoke == .serveUnlogged, ordering: .relaxed)
    }

    /// Says whether its wrapping key may be used.
    func adopt(isKeyUsable: Bool) {
        self.isKeyUsable.store(isKeyUsable, ordering: .relaxed)
    }

    /// Says whether the disk takes what is written.
    func adopt(isWritable: Bool) {
        self.isWritable.store(isWritable, ordering: .relaxed)
    }

    /// Says how many entries the writer took and lost.
    func adopt(lostEntries: UInt64) {
        self.lost.store(lostEntries, ordering: .relaxed)
    }
}
