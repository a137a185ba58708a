internal import Cryptography
internal import Foundation
internal import KeyVault
internal import Logging
internal import SealedLog
internal import State
internal import Synchronization

// The eye on the wrapping keys, and what follows from what it sees.
extension LogKeeper {
    /// Asks the vault about an endpoint's wrapping key, and does what follows.
    func check(_ name: String) async {
        guard let stream = self.streams.withLock({ $0[name] }) else { return }
        do throws(KeyVaultError) {
            let newest = try await self.look(name, stream)
            let consequence = self.streams.withLock { $0[name]?.condition.mayBeUsed() }
            switch consequence {
            case .restore:
                await self.renew(name, stream, event: "restored")
            case .resume where stream.wrappingKey == nil:
                await self.renew(name, stream, event: "restored")
            case .resume:
                stream.log.adopt(isKeyUsable: true)
                self.logger.notice(
                    "the wrapping key's state is known again",
                    metadata: ["endpoint": "\(stream.log.publicName)"])
            default:
                if let newest, newest != stream.wrappingKey {
                    await self.renew(name, stream, event: "rotated")
                } else {
                    stream.log.adopt(isKeyUsable: true)
                    await self.renewIfOld(name, stream)
                }
            }
        } catch {
            await self.cannotUse(error, name, stream)
        }
    }

    /// Asks the vault.
    ///
    /// - Returns: The newest version, where it was asked for: always of the embedded vault, of a customer's
    ///   every half minute, and where the present version may not be used.
    /// - Throws: What makes the key unusable, or its state unknown.
    private func look(_ name: String, _ stream: Stream) async throws(KeyVaultError) -> String? {
        try self.refuseSuspended(name)
        let now = ContinuousClock.now
        guard let wrappingKey = stream.wrappingKey else { return try await stream.key.current().id }
        var state: WrappingKeyState
        do throws(KeyVaultError) {
            state = try await stream.key.state(of: wrappingKey)
        } catch .foreignKey {
            // The configuration names another key now.
            state = .deleted
        }
        guard
            !stream.key.isRemote || state != .active
                || now - stream.newestAsked >= Self.newestInterval
        else { return nil }
        let newest: String
        do throws(KeyVaultError) {
            newest = try await stream.key.current().id
        } catch {
            // The version in use was answered for.
            guard error.isTransient, state == .active, stream.key.isRemote else { throw error }
            return nil
        }
        // A newer version may be in use although this one is not any more.
        guard state == .active || newest != wrappingKey else { throw .revoked(state) }
        self.streams.withLock { $0[name]?.newestAsked = now }
        return newest
    }

    /// Ends a look at the key of a stream that is being shredded: whatever its vault says of it meanwhile,
    /// it is not used.
    func refuseSuspended(_ name: String) throws(KeyVaultError) {
        do throws(StateError) {
            guard try self.store.suspendedLogStreams().contains(name) else { return }
        } catch {
            throw .unavailable(reason: error.description)
        }
        throw .revoked(.disabled)
    }

    private func cannotUse(_ error: KeyVaultError, _ name: String, _ stream: Stream) async {
        let consequence = self.streams.withLock {
            $0[name]?.condition.cannotBeUsed(error, at: .now)
        }
        let metadata: Logger.Metadata = [
            "endpoint": "\(stream.log.publicName)", "error": "\(error)",
        ]
        switch consequence {
        case .revoke:
            stream.log.adopt(isKeyUsable: false)
            // Who waits for this look is told of it once the keys are gone.
            await withCheckedContinuation { continuation in
                self.thread.tell { writer, now in
                    writer.revoke(stream.log, now) { continuation.resume() }
                }
            }
            self.logger.error(
                "wrapping key revoked: nothing of the endpoint is logged, its log keys are wiped",
                metadata: metadata)
        case .suspend:
            stream.log.adopt(isKeyUsable: false)
            self.logger.error(
                """
                the wrapping key's state has been unknown for the grace period: nothing of the endpoint \
                is logged until it is known
                """, metadata: metadata)
        case .warn:
            self.logger.warning(
                "the wrapping key's state is unknown; the log goes on for the grace period",
                metadata: metadata)
        default: break
        }
    }

    /// Gives the stream another log key where the writer wanted one when it was asked last.
    ///
    /// Its answer is not waited for: behind a slow disk the next look at the wrapping key would be late.
    private func renewIfOld(_ name: String, _ stream: Stream) async {
        if stream.wantsKey { await self.renew(name, stream, event: nil) }
        self.thread.tell { [weak self] writer, now in
            let wantsKey = writer[stream.log.stream]?.wantsKey(now: now) ?? false
            self?.streams.withLock { $0[name]?.wantsKey = wantsKey }
        }
    }

    /// Gives the stream another log key; at once where there is an `event` for the log.
    private func renew(_ name: String, _ stream: Stream, event: String?) async {
        let key: WrappedLogKey
        let streamID: LogIdentifier
        let anchor: StreamAnchor?
        do {
            let fresh = try SystemRandom.bytes(count: LogIdentifier.byteCount)
            let record = try self.store.logStream(
                of: name, newID: fresh, now: Int64(SystemClocks.now.unixMilliseconds))
            streamID = LogIdentifier(record.id.rawSpan, at: 0)
            anchor = record.anchor
            key = try await WrappedLogKey.make(
                under: stream.key, streamID: streamID, knownTo: self.store)
        } catch {
            self.logger.error(
                "no new log key",
                metadata: ["endpoint": "\(stream.log.publicName)", "error": "\(error)"])
            return
        }
        let isBegun = stream.wrappingKey != nil && streamID == stream.streamID
        let failure =
            isBegun
            ? await self.supply(key, to: stream.log, event)
            : await self.begin(stream.log, key, anchor)
        if let failure {
            self.logger.error(
                "a new log key could not be stored",
                metadata: ["endpoint": "\(stream.log.publicName)", "error": "\(failure)"])
            return
        }
        self.streams.withLock {
            $0[name]?.streamID = streamID
            $0[name]?.wrappingKey = key.entry.wrappingKey
            $0[name]?.condition.restored()
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
    func rewrap(_ name: String) async {
        guard let stream = self.streams.withLock({ $0[name] }), stream.wrappingKey != nil else {
            return
        }
        do {
            let lock = try RewrapLock(
                self.configuration.directory,
                holder: "scoregate, process \(ProcessInfo.processInfo.processIdentifier)")
            defer { withExtendedLifetime(lock) {} }
            let outcome = try await KeyRingRewrap(
                key: stream.key, store: self.store,
                keyRing: KeyRing(log: self.configuration.directory, SystemFiles())
            ).run(stream.streamID) { done, all in
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

    /// What a vault told, or that it tells nothing.
    func hear(_ news: VaultNews, of address: VaultAddress) {
        switch news {
        case .listening, .changed:
            self.heard.withLock { $0[address] = true }
            // What happened before it was listened to was not heard.
            self.wishRemote(of: address, isNewestWanted: true)
        case .lost(let error):
            guard self.heard.withLock({ $0.updateValue(false, forKey: address) }) != false else {
                return
            }
            self.logger.warning(
                "the key vault's changes are not heard; its keys are asked about instead",
                metadata: ["vault": "\(address)", "error": "\(error)"])
            self.wishRemote(of: address)
        }
    }
}

// What metrics and the admin listener tell of the streams.
extension LogKeeper {
    /// One stream.
    struct Figures {
        let log: EndpointLog
        /// How old its log key is, in seconds.
        let keyAge: Double
        /// Log keys that are under an older version of the wrapping key.
        let staleKeys: Int
        /// What is known of its wrapping key.
        let state: WrappingKeyCondition.State
    }

    /// What the metrics say of each stream.
    var metrics: [Figures] {
        let now = ContinuousClock.now
        return self.streams.withLock { streams in
            streams.values.map { stream in
                let age = (now - stream.keyMade).components
                return Figures(
                    log: stream.log, keyAge: Double(age.seconds) + Double(age.attoseconds) / 1e18,
                    staleKeys: stream.staleKeys, state: stream.condition.state)
            }
        }.sorted { $0.log.stream < $1.log.stream }
    }
}
