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
    private struct Stream {
        let log: EndpointLog
        /// Another one after the log was shredded.
        var streamID: LogIdentifier
        /// Which version of the wrapping key its log keys are wrapped under.
        var wrappingKey: String
        /// Whether that may be used, as far as is known.
        var isUsable = true
        /// Since when the vault could not be asked.
        var unknownSince: ContinuousClock.Instant?
        var graceMilliseconds: Int64
        /// When its log key was made.
        var keyMade: ContinuousClock.Instant
        /// Log keys that are still under an older version of the wrapping key.
        var staleKeys = 0
    }

    private let configuration: LogConfiguration
    private let store: StateStore
    private let vault: any WrappingKeyVault
    private let logger: Logger
    private let folder: LockedFolder
    private let thread: LogThread
    private let writerID: LogIdentifier
    private let streams = Mutex<[String: Stream]>([:])
    private let tasks = Mutex<[Task<Void, Never>]>([])
    /// Asks for a look at the wrapping keys.
    private let wishes: AsyncStream<Void>.Continuation
    private let wished: AsyncStream<Void>
    /// Those who wait for one.
    private let waiting = Mutex<[CheckedContinuation<Void, Never>]>([])
    /// Endpoints whose log keys are to be wrapped anew.
    private let stale: AsyncStream<String>
    private let staleNames: AsyncStream<String>.Continuation
    /// Where batches go.
    let queue: EntryQueue

    /// Opens the log.
    ///
    /// - Parameters:
    ///   - configuration: Where it lies and how much may wait.
    ///   - store: Keeps what tells a log that was rolled back.
    ///   - vault: Where the wrapping keys are.
    ///   - logger: The process's own log.
    ///   - settled: Gets the outcomes of entries somebody waits for, on the writer's thread.
    /// - Throws: ``StartError`` where nothing could be logged.
    init(
        _ configuration: LogConfiguration, store: StateStore, vault: any WrappingKeyVault,
        logger: Logger, settled: @escaping @Sendable ([LogWriter.Outcome]) -> Void
    ) throws {
        self.configuration = configuration
        self.store = store
        self.vault = vault
        self.logger = logger
        (self.wished, self.wishes) = AsyncStream.makeStream(
            of: Void.self, bufferingPolicy: .bufferingNewest(1))
        (self.stale, self.staleNames) = AsyncStream.makeStream(
            of: String.self, bufferingPolicy: .bufferingNewest(Self.staleNames))
        do throws(SealedLogError) {
            try Self.prepare(configuration.directory)
            self.folder = try LockedFolder(
                configuration.directory, reserveBytes: Int(configuration.reserveBytes),
                lock: "lock",
                holder: "scoregate, process \(ProcessInfo.processInfo.processIdentifier)")
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
            }
            self.writable = writable
            self.anchors = anchors
        } catch {
            throw StartError.environment("the log cannot be opened: \(error)")
        }
    }

    private let writable: WritableWatch
    private let anchors: AnchorKeeper

    /// Opens the streams of endpoints that log and have none yet.
    ///
    /// - Returns: The streams of all endpoints that log, by endpoint.
    /// - Throws: ``StartError`` where one cannot be had; nothing of the endpoint may be served then.
    func open(_ endpoints: [EndpointConfiguration]) async throws -> [String: EndpointLog] {
        var logs: [String: EndpointLog] = [:]
        for endpoint in endpoints {
            guard let durability = endpoint.durability else { continue }
            let known = self.streams.withLock { $0[endpoint.name] }
            if let known, known.log.durability == durability, known.log.isHBI == endpoint.isHBI {
                logs[endpoint.name] = known.log
                continue
            }
            logs[endpoint.name] = try await self.open(
                endpoint, durability, stream: known?.log.stream)
        }
        return logs
    }

    private func open(
        _ endpoint: EndpointConfiguration, _ durability: Durability, stream: Int?
    ) async throws -> EndpointLog {
        guard stream == nil else {
            throw StartError.configuration(
                "endpoint \(endpoint.name): durability and hbi of a log change at a restart only")
        }
        let streamID: LogIdentifier
        let key: WrappedLogKey
        let logKeys: [LogIdentifier: ChainHead]
        do {
            let fresh = try SystemRandom.bytes(count: LogIdentifier.byteCount)
            let record = try self.store.logStream(
                of: endpoint.name, newID: fresh,
                now: Int64(SystemClocks.now.unixMilliseconds))
            streamID = LogIdentifier(record.id.rawSpan, at: 0)
            logKeys = record.anchor?.logKeys ?? [:]
            key = try await WrappedLogKey.make(
                endpoint: endpoint.name, streamID: streamID, self.vault)
        } catch {
            throw StartError.environment(
                "the log of endpoint \(endpoint.name) has no key: \(error)")
        }
        let number = self.streams.withLock { $0.count }
        let log = EndpointLog(
            endpoint, stream: number, durability: durability,
            isRequired: self.configuration.isRequired)
        if let failure = await self.begin(log, key, logKeys, event: "started") {
            throw StartError.environment(
                "the log of endpoint \(endpoint.name) cannot be written: \(failure)")
        }
        self.writable.follow(log)
        self.streams.withLock {
            $0[endpoint.name] = Stream(
                log: log, streamID: streamID, wrappingKey: key.entry.wrappingKey,
                graceMilliseconds: endpoint.encryption.graceMilliseconds, keyMade: .now)
        }
        return log
    }

    /// Begins a stream on the writer's thread, in place of one that was shredded.
    private func begin(
        _ log: EndpointLog, _ key: WrappedLogKey, _ logKeys: [LogIdentifier: ChainHead],
        event: String
    ) async -> SealedLogError? {
        await self.thread.ask { [folder, writerID] writer, now -> SealedLogError? in
            guard let taken = key.take() else { return nil }
            var flags = SegmentHeader.Flags.bodies
            if log.isHBI { flags.formUnion([.hbi, .padded]) }
            do throws(SealedLogError) {
                writer.add(
                    try StreamWriter(
                        key.entry.streamID, in: folder.folder, .init(flags: flags), key.entry,
                        taken, logKeys: logKeys, writerID: writerID, now: now),
                    as: log.stream, log.durability)
                writer.note(event, on: log.stream, endpoint: log.endpoint, now)
                return nil
            } catch {
                return error
            }
        }
    }

    /// Begins to look at the wrapping keys once a second, and for old segments once an hour.
    func start() {
        let clock = Task { [weak self] in
            var seconds = 0
            while !Task.isCancelled {
                guard let self else { return }
                self.wishes.yield()
                if seconds % 3600 == 0 { self.expire() }
                seconds += 1
                try? await Task.sleep(for: .seconds(1))
            }
        }
        // One after another: an older answer must not overtake a newer one.
        let checks = Task { [weak self, wished] in
            for await _ in wished {
                guard let self else { return }
                let waiting = self.waiting.withLock { waiting in
                    defer { waiting = [] }
                    return waiting
                }
                for name in self.streams.withLock({ Array($0.keys) }) { await self.check(name) }
                for one in waiting { one.resume() }
            }
        }
        let rewraps = Task { [weak self, stale] in
            for await name in stale {
                guard let self else { return }
                await self.rewrap(name)
            }
        }
        self.tasks.withLock { $0 = [clock, checks, rewraps] }
        // Where an earlier process was stopped in the middle.
        for name in self.streams.withLock({ Array($0.keys) }) { self.staleNames.yield(name) }
    }

    /// Looks at the wrapping keys of all streams now, and returns once what they say is in force.
    func check() async {
        await withCheckedContinuation { continuation in
            self.waiting.withLock { $0.append(continuation) }
            self.wishes.yield()
        }
    }

    /// Writes what waits and ends all streams.
    func stop() async {
        for task in self.tasks.withLock({ $0 }) { task.cancel() }
        self.wishes.finish()
        self.staleNames.finish()
        for one in self.waiting.withLock({ $0 }) { one.resume() }
        let names = self.streams.withLock { $0.mapValues(\.log.stream) }
        await self.thread.ask { writer, now in
            for (name, number) in names { writer.note("stopped", on: number, endpoint: name, now) }
        }
        self.thread.stop()
        self.anchors.finish()
    }

    private func check(_ name: String) async {
        guard let stream = self.streams.withLock({ $0[name] }) else { return }
        do throws(KeyVaultError) {
            let state = try await self.vault.state(of: stream.wrappingKey, name)
            let current = try await self.vault.current(name)
            // A newer version may be in use although this one is not any more.
            guard state == .active || current.id != stream.wrappingKey else {
                throw .revoked(state)
            }
            self.streams.withLock { $0[name]?.unknownSince = nil }
            if !stream.isUsable {
                await self.renew(name, stream, event: "restored")
            } else if current.id != stream.wrappingKey {
                await self.renew(name, stream, event: "rotated")
            } else {
                stream.log.adopt(isKeyUsable: true)
                await self.renewIfOld(name, stream)
            }
        } catch {
            self.cannotUse(error, name, stream)
        }
    }

    private func cannotUse(_ error: KeyVaultError, _ name: String, _ stream: Stream) {
        guard error.isTransient else {
            guard stream.isUsable else { return }
            stream.log.adopt(isKeyUsable: false)
            self.streams.withLock { $0[name]?.isUsable = false }
            self.thread.tell { writer, now in writer.revoke(stream.log.stream, now: now) }
            self.logger.error(
                "wrapping key revoked: nothing of the endpoint is logged, its log keys are wiped",
                metadata: ["endpoint": "\(stream.log.publicName)", "error": "\(error)"])
            return
        }
        let now = ContinuousClock.now
        let since = stream.unknownSince ?? now
        self.streams.withLock { $0[name]?.unknownSince = since }
        if now - since > .milliseconds(stream.graceMilliseconds) {
            stream.log.adopt(isKeyUsable: false)
        }
        if stream.unknownSince == nil {
            self.logger.warning(
                "the wrapping key's state is unknown; the log goes on for the grace period",
                metadata: ["endpoint": "\(stream.log.publicName)", "error": "\(error)"])
        }
    }

    private func renewIfOld(_ name: String, _ stream: Stream) async {
        let wantsKey = await self.thread.ask { writer, now in
            writer[stream.log.stream]?.wantsKey(now: now) ?? false
        }
        if wantsKey { await self.renew(name, stream, event: nil) }
    }

    /// Gives the stream another log key; at once where there is an `event` for the log.
    private func renew(_ name: String, _ stream: Stream, event: String?) async {
        let key: WrappedLogKey
        let streamID: LogIdentifier
        do {
            let fresh = try SystemRandom.bytes(count: LogIdentifier.byteCount)
            let record = try self.store.logStream(
                of: name, newID: fresh, now: Int64(SystemClocks.now.unixMilliseconds))
            streamID = LogIdentifier(record.id.rawSpan, at: 0)
            key = try await WrappedLogKey.make(endpoint: name, streamID: streamID, self.vault)
        } catch {
            self.logger.error(
                "no new log key",
                metadata: ["endpoint": "\(stream.log.publicName)", "error": "\(error)"])
            return
        }
        let failure =
            streamID == stream.streamID
            ? await self.supply(key, to: stream.log, event)
            : await self.begin(stream.log, key, [:], event: "started")
        if let failure {
            self.logger.error(
                "a new log key could not be stored",
                metadata: ["endpoint": "\(stream.log.publicName)", "error": "\(failure)"])
            return
        }
        self.streams.withLock {
            $0[name]?.streamID = streamID
            $0[name]?.wrappingKey = key.entry.wrappingKey
            $0[name]?.isUsable = true
            $0[name]?.keyMade = .now
        }
        stream.log.adopt(isKeyUsable: true)
        guard let event else { return }
        self.staleNames.yield(name)
        self.logger.notice(
            "log key renewed",
            metadata: [
                "endpoint": "\(stream.log.publicName)", "event": "\(event)",
                "key": "\(key.entry.wrappingKey)",
            ])
    }

    private func supply(
        _ key: WrappedLogKey, to log: EndpointLog, _ event: String?
    ) async -> SealedLogError? {
        await self.thread.ask { writer, now -> SealedLogError? in
            guard let taken = key.take() else { return nil }
            do throws(SealedLogError) {
                try writer[log.stream]?.supply(taken, key.entry, isAtOnce: event != nil, now: now)
                if let event { writer.note(event, on: log.stream, endpoint: log.endpoint, now) }
                return nil
            } catch {
                return error
            }
        }
    }

    /// Wraps an endpoint's log keys anew, beside all that goes on.
    private func rewrap(_ name: String) async {
        guard let stream = self.streams.withLock({ $0[name] }) else { return }
        do {
            let lock = try RewrapLock(
                self.configuration.directory,
                holder: "scoregate, process \(ProcessInfo.processInfo.processIdentifier)")
            defer { withExtendedLifetime(lock) {} }
            let outcome = try await KeyRingRewrap(
                vault: self.vault, store: self.store,
                keyRing: KeyRing(log: self.configuration.directory, SystemFiles())
            ).run(stream.streamID, name) { done, all in
                self.streams.withLock { $0[name]?.staleKeys = all - done }
            }
            guard outcome.rewrapped > 0 || !outcome.unreadable.isEmpty else { return }
            self.logger.notice(
                "log keys wrapped anew",
                metadata: [
                    "endpoint": "\(stream.log.publicName)", "rewrapped": "\(outcome.rewrapped)",
                    "unreadable": "\(outcome.unreadable.count)",
                ])
        } catch {
            self.logger.warning(
                "log keys stay under an older version of their wrapping key",
                metadata: ["endpoint": "\(stream.log.publicName)", "error": "\(error)"])
        }
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

    /// What the metrics say of each stream: its log, how old its key is in seconds, and how many log
    /// keys are under an older version of the wrapping key.
    var metrics: [(log: EndpointLog, keyAge: Double, staleKeys: Int)] {
        let now = ContinuousClock.now
        return self.streams.withLock { streams in
            streams.values.map { stream in
                let age = (now - stream.keyMade).components
                return (
                    stream.log, Double(age.seconds) + Double(age.attoseconds) / 1e18,
                    stream.staleKeys
                )
            }
        }.sorted { $0.0.stream < $1.0.stream }
    }

    /// 1024: one for each endpoint that could be; one that is not taken in is told at the next start.
    private static let staleNames = 1024

    /// The folder, for its owner and a group of readers.
    private static func prepare(_ path: String) throws(SealedLogError) {
        try SystemFiles().makeFolder(path)
    }
}

/// Keeps the anchors of streams in the state, off the writer's thread; of several the last.
private final class AnchorKeeper: Sendable {
    private let store: StateStore
    private let logger: Logger
    private let queue = DispatchQueue(label: "log anchors")
    private let latest = Mutex<[LogIdentifier: StreamAnchor]>([:])

    init(_ store: StateStore, _ logger: Logger) {
        self.store = store
        self.logger = logger
    }

    func keep(_ anchor: StreamAnchor) {
        let isScheduled = self.latest.withLock { latest in
            latest.updateValue(anchor, forKey: anchor.streamID) != nil
        }
        if isScheduled { return }
        self.queue.async { self.write(anchor.streamID) }
    }

    /// Returns once everything is kept.
    func finish() { self.queue.sync {} }

    private func write(_ streamID: LogIdentifier) {
        guard let anchor = self.latest.withLock({ $0.removeValue(forKey: streamID) }) else {
            return
        }
        do throws(StateError) {
            try self.store.keep(anchor)
        } catch {
            self.logger.error(
                "where a stream of the log ends could not be kept: a roll-back would go unnoticed",
                metadata: ["error": "\(error)"])
        }
    }
}

/// Tells endpoints whether their stream can be written; looks on the writer's thread.
private final class WritableWatch: Sendable {
    private let logs = Mutex<[EndpointLog]>([])
    private let failing = Mutex<Set<Int>>([])
    private let logger: Logger

    init(_ logger: Logger) { self.logger = logger }
    func follow(_ log: EndpointLog) { self.logs.withLock { $0.append(log) } }

    func look(at writer: LogWriter) {
        for log in self.logs.withLock({ $0 }) {
            let failure = writer[log.stream]?.failure
            let isFailing = failure != nil && failure != .revoked
            let changed = self.failing.withLock { failing in
                isFailing
                    ? failing.insert(log.stream).inserted : failing.remove(log.stream) != nil
            }
            guard changed else { continue }
            log.adopt(isWritable: !isFailing)
            if let failure, isFailing {
                self.logger.error(
                    "the log cannot be written",
                    metadata: ["endpoint": "\(log.publicName)", "error": "\(failure)"])
            } else {
                self.logger.notice(
                    "the log can be written again", metadata: ["endpoint": "\(log.publicName)"])
            }
        }
    }
}

extension LogWriter {
    /// Writes an event into a stream.
    fileprivate func note(_ event: String, on number: Int, endpoint: String, _ now: LogTime) {
        guard let stream = self[number], let id = try? LogIdentifier.random() else { return }
        var batch = EntryBatch()
        batch.begin(.event, nanoseconds: stream.isHBI ? 0 : now.unixNanoseconds, requestID: id)
        batch.append(.endpoint, utf8: endpoint)
        batch.append(.event, utf8: #"{"event":"\#(event)"}"#)
        batch.end()
        _ = stream.append(batch, now: now)
        stream.write(now: now)
    }
}
