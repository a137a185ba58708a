internal import Cryptography
internal import Dispatch
internal import Foundation
internal import KeyVault
internal import Logging
internal import SealedLog
internal import ServiceConfiguration
internal import State
internal import Synchronization

/// Keeps the sealed log of a gateway: its folder, the writer's thread, a stream and a log key for each
/// endpoint that logs, and an eye on the wrapping keys.
///
/// Everything here happens off the workers' loops. Ownership: the gateway's; ``stop()`` ends it.
final class LogKeeper: Sendable {
    /// What is known of one endpoint's stream.
    struct Stream {
        let log: EndpointLog
        /// What its log keys are wrapped under.
        var key: EndpointWrappingKey
        /// Another one after the log was shredded.
        var streamID: LogIdentifier
        /// Which version of the wrapping key its log keys are wrapped under; nil before the first.
        var wrappingKey: String?
        /// What is known of that version.
        var condition: WrappingKeyCondition
        /// When a newer version was last asked for.
        var newestAsked: ContinuousClock.Instant
        /// When its log key was made.
        var keyMade: ContinuousClock.Instant
        /// Log keys that are still under an older version of the wrapping key.
        var staleKeys = 0
        /// Whether the writer said that it wants another log key.
        var wantsKey = false
        /// Asks for a look at the wrapping key: one endpoint's vault or disk keeps no other's waiting.
        let looks = Wishes()
    }

    let configuration: LogConfiguration
    let store: StateStore
    let keys: WrappingKeys
    let logger: Logger
    let thread: LogThread
    let streams = Mutex<[String: Stream]>([:])
    private let folder: LockedFolder
    /// The streams and their anchors are the state's: two that log would undo each other's.
    private let stateLock: LogLock
    private let writerID: LogIdentifier
    private let tasks = Mutex<[Task<Void, Never>]>([])
    /// Endpoints whose log keys are to be wrapped anew.
    private let stale: AsyncStream<String>
    let staleNames: AsyncStream<String>.Continuation
    /// By the vault's address: follows what it tells of changes.
    private let followers = Mutex<[VaultAddress: Task<Void, Never>]>([:])
    /// Vaults whose changes are being heard.
    let heard = Mutex<[VaultAddress: Bool]>([:])
    /// Where batches go.
    let queue: EntryQueue

    /// Opens the log.
    ///
    /// - Parameters:
    ///   - configuration: Where it lies and how much may wait.
    ///   - store: Keeps what tells a log that was rolled back.
    ///   - stateDirectory: Its folder, which one process that logs may use at a time.
    ///   - keys: Where the wrapping keys are.
    ///   - logger: The process's own log.
    ///   - settled: Gets the outcomes of entries somebody waits for, on the writer's thread.
    /// - Throws: ``StartError`` where nothing could be logged.
    init(
        _ configuration: LogConfiguration, store: StateStore, stateDirectory: String,
        keys: WrappingKeys, logger: Logger,
        settled: @escaping @Sendable ([LogWriter.Outcome]) -> Void
    ) throws {
        self.configuration = configuration
        self.store = store
        self.keys = keys
        self.logger = logger
        (self.stale, self.staleNames) = AsyncStream.makeStream(
            of: String.self, bufferingPolicy: .bufferingNewest(Self.staleNames))
        let holder = "scoregate, process \(ProcessInfo.processInfo.processIdentifier)"
        self.stateLock = try Self.lockState(stateDirectory, holder: holder)
        do throws(SealedLogError) {
            try Self.prepare(configuration.directory)
            self.folder = try LockedFolder(
                configuration.directory, reserveBytes: Int(configuration.reserveBytes),
                lock: "lock", holder: holder)
            let doorbell = try Doorbell()
            self.queue = EntryQueue(
                capacityBytes: Int(configuration.queueBytes), doorbell: doorbell)
            self.writerID = try .random()
            let queue = self.queue
            let anchors = AnchorKeeper(store, logger)
            let days = UInt64(configuration.retentionDays)
            let writable = WritableWatch(logger)
            self.thread = try LogThread(queue, doorbell) {
                LogWriter(
                    queue, retentionMilliseconds: days * 86_400_000, report: settled,
                    keep: { anchors.keep($0) })
            } turned: { writer in
                writable.look(at: writer)
            } ended: { losses in
                writable.tell(losses)
            }
            self.writable = writable
            self.anchors = anchors
        } catch {
            throw StartError.environment("the log cannot be opened: \(error)")
        }
    }

    private let writable: WritableWatch
    private let anchors: AnchorKeeper

    /// Opens the streams of endpoints that log and have none yet, and takes over what is new of the others'
    /// encryption.
    ///
    /// - Returns: The streams of all endpoints that log, by endpoint.
    /// - Throws: ``StartError`` where one cannot be had; nothing of the endpoint may be served then.
    func open(_ endpoints: [EndpointConfiguration]) async throws -> [String: EndpointLog] {
        do throws(KeyVaultError) {
            try self.keys.reload(endpoints)
        } catch {
            throw StartError.environment("a customer's key vault cannot be reached: \(error)")
        }
        var logs: [String: EndpointLog] = [:]
        for endpoint in endpoints {
            guard let durability = endpoint.durability else { continue }
            let key = try self.key(of: endpoint)
            if let log = self.streams.withLock({ $0[endpoint.name]?.log }) {
                guard log.durability == durability, log.isHBI == endpoint.isHBI else {
                    throw StartError.configuration(
                        "endpoint \(endpoint.name): durability and hbi of a log change at a restart "
                            + "only")
                }
                log.adopt(endpoint.encryption.onRevoke)
                self.adopt(key, endpoint)
                logs[endpoint.name] = log
            } else {
                logs[endpoint.name] = try await self.open(endpoint, durability, key)
            }
        }
        self.follow()
        return logs
    }

    private func key(of endpoint: EndpointConfiguration) throws -> EndpointWrappingKey {
        do throws(KeyVaultError) {
            return try self.keys.key(of: endpoint)
        } catch {
            throw StartError.environment(
                "the key vault of endpoint \(endpoint.name) cannot be reached: \(error)")
        }
    }

    /// What the configuration says now; another key is taken into use by the next look at it.
    private func adopt(_ key: EndpointWrappingKey, _ endpoint: EndpointConfiguration) {
        self.streams.withLock { streams in
            streams[endpoint.name]?.key = key
            streams[endpoint.name]?.condition.grace = endpoint.encryption.grace
            streams[endpoint.name]?.newestAsked = .now - Self.newestInterval
        }
    }

    private func open(
        _ endpoint: EndpointConfiguration, _ durability: Durability, _ wrapping: EndpointWrappingKey
    ) async throws -> EndpointLog {
        let number = self.streams.withLock { $0.count }
        let log = EndpointLog(
            endpoint, stream: number, durability: durability,
            isRequired: self.configuration.isRequired)
        var stream: Stream
        do {
            let fresh = try SystemRandom.bytes(count: LogIdentifier.byteCount)
            let record = try self.store.logStream(
                of: endpoint.name, newID: fresh, now: Int64(SystemClocks.now.unixMilliseconds))
            stream = Stream(
                log: log, key: wrapping, streamID: LogIdentifier(record.id.rawSpan, at: 0),
                condition: WrappingKeyCondition(grace: endpoint.encryption.grace),
                newestAsked: .now, keyMade: .now)
            try self.refuseSuspended(endpoint.name)
            let key = try await WrappedLogKey.make(
                under: wrapping, streamID: stream.streamID, knownTo: self.store)
            if let failure = await self.begin(log, key, record.anchor) {
                throw failure
            }
            stream.wrappingKey = key.entry.wrappingKey
        } catch let error as KeyVaultError where wrapping.isRemote || error.isRevocation {
            // One endpoint's key must not keep the others' endpoints from being served.
            stream = try self.streamWithoutKey(endpoint, log, wrapping, error)
        } catch let error as SealedLogError {
            throw StartError.environment(
                "the log of endpoint \(endpoint.name) cannot be written: \(error)")
        } catch {
            throw StartError.environment(
                "the log of endpoint \(endpoint.name) has no key: \(error)")
        }
        self.writable.follow(log)
        self.streams.withLock { [stream] in $0[endpoint.name] = stream }
        self.watch(endpoint.name, stream.looks)
        return log
    }

    /// A stream that waits for its wrapping key; its endpoint is served as after a revocation.
    private func streamWithoutKey(
        _ endpoint: EndpointConfiguration, _ log: EndpointLog, _ key: EndpointWrappingKey,
        _ error: KeyVaultError
    ) throws -> Stream {
        log.adopt(isKeyUsable: false)
        var metadata: Logger.Metadata = [
            "endpoint": "\(log.publicName)", "error": "\(error)",
        ]
        if !key.isRemote, case .revoked(let state) = error {
            let verb = state == .deleted ? "rotate" : "enable"
            metadata["remedy"] = "scoregate keys wrapping \(verb) \(log.publicName)"
        }
        self.logger.error(
            "the wrapping key cannot be used: nothing of the endpoint is logged until it can",
            metadata: metadata)
        let record = try self.store.logStream(
            of: endpoint.name, newID: SystemRandom.bytes(count: LogIdentifier.byteCount),
            now: Int64(SystemClocks.now.unixMilliseconds))
        return Stream(
            log: log, key: key, streamID: LogIdentifier(record.id.rawSpan, at: 0),
            condition: WrappingKeyCondition(error, grace: endpoint.encryption.grace, at: .now),
            newestAsked: .now, keyMade: .now)
    }

    /// Begins a stream on the writer's thread, in place of one that was shredded.
    func begin(
        _ log: EndpointLog, _ key: WrappedLogKey, _ anchor: StreamAnchor?
    ) async -> SealedLogError? {
        await self.thread.ask { [folder, writerID, logger] writer, now -> SealedLogError? in
            guard let taken = key.take() else { return nil }
            var flags = SegmentHeader.Flags.bodies
            if log.isHBI { flags.formUnion([.hbi, .padded]) }
            do throws(SealedLogError) {
                let stream = try StreamWriter(
                    key.entry.streamID, in: folder.folder, .init(flags: flags), key.entry, taken,
                    anchor: anchor, writerID: writerID, now: now)
                if let lost = stream.lostEnd {
                    let found = stream.found.map { "\($0.name.number)" } ?? "none"
                    logger.error(
                        """
                        the log was rolled back, or its end was changed, while nothing wrote it: logs \
                        verify tells what is missing
                        """,
                        metadata: [
                            "endpoint": "\(log.publicName)", "segment": "\(lost.number)",
                            "found": "\(found)",
                        ])
                }
                writer.add(stream, as: log.stream, log.durability)
                writer.note("started", on: log.stream, endpoint: log.endpoint, now)
                return nil
            } catch {
                return error
            }
        }
    }

    /// Begins to look at the wrapping keys, once a second in the embedded vault and every other second in a
    /// customer's, and for old segments once an hour.
    func start() {
        let clock = Task { [weak self] in
            var seconds = 0
            while !Task.isCancelled {
                guard let self else { return }
                for looks in self.looks() { looks.wish() }
                if seconds % 2 == 0 { self.wishRemote() }
                if seconds % 3600 == 0 { self.expire() }
                seconds += 1
                try? await Task.sleep(for: .seconds(1))
            }
        }
        let rewraps = Task { [weak self, stale] in
            for await name in stale {
                guard let self else { return }
                await self.rewrap(name)
            }
        }
        self.tasks.withLock { $0 += [clock, rewraps] }
        // Where an earlier process was stopped in the middle.
        for name in self.streams.withLock({ Array($0.keys) }) { self.staleNames.yield(name) }
    }

    /// Looks at the wrapping keys of all streams in the embedded vault now, and at those of streams that
    /// are being shredded, and returns once what they say is in force.
    ///
    /// - Returns: Whether it is: not where the state cannot be read.
    func check() async -> Bool {
        guard let suspended = try? self.store.suspendedLogStreams() else { return false }
        await withDiscardingTaskGroup { group in
            for looks in self.looks(besides: suspended) { group.addTask { await looks.wait() } }
        }
        return self.streams.withLock { streams in
            streams.allSatisfy { !suspended.contains($0) || $1.condition.state == .revoked }
        }
    }

    /// Those of the streams in the embedded vault, and of the ones that are named.
    private func looks(besides names: Set<String> = []) -> [Wishes] {
        self.streams.withLock { streams in
            streams.filter { !$1.key.isRemote || names.contains($0) }.values.map(\.looks)
        }
    }

    /// Looks at an endpoint's key whenever that is wished for, one look after the other.
    private func watch(_ name: String, _ wishes: Wishes) {
        let task = Task { [weak self] in
            await wishes.serve { await self?.check(name) }
        }
        self.tasks.withLock { $0.append(task) }
    }

    /// Asks for a look at the customers' keys, of one vault or of all.
    func wishRemote(of address: VaultAddress? = nil, isNewestWanted: Bool = false) {
        self.streams.withLock { streams in
            for (name, stream) in streams {
                guard let vault = stream.key.vault as? AzureKeyVault,
                    address == nil || vault.address == address
                else { continue }
                if isNewestWanted { streams[name]?.newestAsked = .now - Self.newestInterval }
                stream.looks.wish()
            }
        }
    }

    /// Listens to the vaults that tell of changes, and to no others any more.
    private func follow() {
        let services = Dictionary(
            self.keys.services.map { ($0.address, $0) }, uniquingKeysWith: { first, _ in first })
        self.followers.withLock { followers in
            for (address, task) in followers where services[address] == nil {
                task.cancel()
                followers[address] = nil
            }
            for (address, vault) in services where followers[address] == nil {
                followers[address] = Task { [weak self] in
                    await vault.follow { news in self?.hear(news, of: address) }
                }
            }
        }
    }

    /// Writes what waits and ends all streams.
    func stop() async {
        for task in self.tasks.withLock({ $0 }) { task.cancel() }
        for task in self.followers.withLock({ $0.values.map(\.self) }) { task.cancel() }
        for stream in self.streams.withLock({ $0.values.map(\.self) }) { stream.looks.end() }
        self.staleNames.finish()
        let names = self.streams.withLock { $0.mapValues(\.log.stream) }
        await self.thread.ask { writer, now in
            for (name, number) in names { writer.note("stopped", on: number, endpoint: name, now) }
        }
        self.thread.stop()
        self.anchors.finish()
    }

    private func expire() {
        self.thread.tell { [logger = self.logger] writer, now in
            do throws(SealedLogError) {
                let count = try writer.expire(now: now)
                if count > 0 { logger.info("segments expired", metadata: ["count": "\(count)"]) }
            } catch {
                logger.warning("old segments stay", metadata: ["error": "\(error)"])
            }
        }
    }

    /// 1024: one for each endpoint that could be; one that is not taken in is told at the next start.
    private static let staleNames = 1024

    /// 30 s: half of the time in which a newer version is taken into use.
    static let newestInterval = Duration.seconds(30)

    private static func lockState(_ path: String, holder: String) throws(StartError) -> LogLock {
        do throws(SealedLogError) {
            return try LogLock(path + "/log.lock", holder: holder)
        } catch .locked(let holder) {
            throw .environment(
                "\(holder), logs with the state \(path): a gateway that logs needs one of its own")
        } catch {
            throw .environment("the state \(path) cannot be locked: \(error)")
        }
    }

    /// The folder, for its owner and a group of readers.
    private static func prepare(_ path: String) throws(SealedLogError) {
        try SystemFiles().makeFolder(path)
    }
}
