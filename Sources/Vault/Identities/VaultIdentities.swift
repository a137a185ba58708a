package import ControlServer
internal import Cryptography
internal import KeyVault
package import Logging
package import State
internal import Synchronization

/// The identities of a trust domain, as the vault's process has them: issues them, keeps its own,
/// turns away whom the deny list has, and tells subscribers of changes.
///
/// Every change of the state is noticed within 100 ms, whoever made it.
package final class VaultIdentities: Sendable {
    private let store: StateStore
    private let authority: IdentityAuthority
    private let service: IdentityService
    private let own: OwnIdentity?
    /// Whether anything is issued; the deny list there is in any case.
    private let isIssuing: Bool
    private let events: EventPublisher
    private let logger: Logger
    private let present: Mutex<Present>
    private let watcher = Mutex<StateWatcher?>(nil)
    private let connections = Mutex<ControlConnections?>(nil)
    /// The generation of a change that could not be taken over; held while one is, so that no older list
    /// comes after a newer.
    private let missed = Mutex<Int64?>(nil)

    private struct Present {
        var denied = DenyList([])
        var bundle: [[UInt8]] = []
    }

    /// Opens the authority, which is made at the first start, and sees to it that the vault has a
    /// valid certificate.
    ///
    /// - Parameters:
    ///   - configuration: What is issued and for how long.
    ///   - store: The vault's state.
    ///   - token: The vault's token, if it has one.
    ///   - events: Who is told of changes.
    ///   - logger: For the process's own log.
    /// - Throws: ``StateError`` or ``KeyVaultError``.
    package init(
        _ configuration: VaultConfiguration, store: StateStore, token: Token?,
        events: EventPublisher, logger: Logger
    ) throws {
        self.store = store
        self.authority = configuration.authority(store, token: token, actor: "vault")
        self.service = IdentityService(
            store: store, authority: self.authority,
            rejoinSeconds: configuration.identities.rejoinSeconds)
        self.own = configuration.ownIdentity(self.authority)
        self.events = events
        self.logger = logger
        let now = UnixTime.milliseconds
        self.isIssuing = configuration.identities.joinAddress != nil
        let roots =
            self.isIssuing
            ? try self.authority.advance(now: now).filter(\.isTrustedRoot) : []
        try self.authority.checkKeys()
        _ = try self.own?.renewIfDue(now: now)
        self.present = Mutex(
            Present(denied: try self.service.denyList(), bundle: roots.map(\.id).sorted(by: <)))
    }

    /// What is asked with a certificate, and without one; answered on threads of `onThread`.
    package func routes(onThread: @escaping IdentityRoutes.Runner) -> IdentityRoutes {
        IdentityRoutes(self.service, logger: self.logger, onThread: onThread) { [weak self] in
            self?.present.withLock { $0.denied } ?? DenyList([])
        }
    }

    /// Whether nobody has denied the peer; from any thread, never blocks.
    package func admits(_ peer: ControlPeer) -> Bool {
        !self.present.withLock {
            $0.denied.contains(identity: peer.identity.text, serial: peer.certificate.serial)
        }
    }

    /// Notes that `peer` has used its certificate, at the first time; `onThread` runs what then blocks.
    ///
    /// A use that cannot be noted is noted at the next one.
    func noteUse(
        by peer: ControlPeer, onThread: (@escaping @Sendable () -> Void) async -> Void
    ) async {
        guard !self.service.isUseNoted(of: peer.certificate) else { return }
        await onThread { [service, logger] in
            do throws(StateError) {
                try service.noteUse(of: peer.certificate, now: UnixTime.milliseconds)
            } catch {
                logger.error(
                    "the use of a certificate cannot be noted", metadata: ["error": "\(error)"])
            }
        }
    }

    /// Begins to notice changes of the state; of `connections` those of peers who are denied are closed.
    package func watch(_ connections: ControlConnections) throws(StateError) {
        self.connections.withLock { $0 = connections }
        let watcher = try StateWatcher(store: self.store, workers: 1) { [weak self] records in
            self?.adopt(generation: records.generation)
        }
        self.watcher.withLock { $0 = watcher }
        // What changed since ``init``.
        self.adopt(generation: watcher.initial.generation)
    }

    /// What keeps the state from being written; nil as long as it can be, and before ``watch(_:)``.
    var writeFailure: StateError? { self.watcher.withLock { $0 }?.writeFailure }

    /// Does what is due by the clock, until cancelled.
    package func maintain() async {
        while !Task.isCancelled {
            if let missed = self.missed.withLock({ $0 }) { self.adopt(generation: missed) }
            self.advance()
            try? await Task.sleep(for: Self.interval)
        }
    }

    /// Ends noticing.
    package func stop() {
        self.watcher.withLock { $0.take() }?.stop()
    }

    private func advance() {
        guard self.isIssuing else { return }
        let now = UnixTime.milliseconds
        do {
            self.adopt(try self.authority.advance(now: now))
            if try self.own?.renewIfDue(now: now) == true {
                self.logger.info("own identity renewed")
            }
            try self.service.forget(now: now)
            try self.authority.destroyRetiredKeys(now: now)
        } catch {
            self.logger.error("identities cannot be kept", metadata: ["error": "\(error)"])
        }
    }

    private func adopt(generation: Int64) {
        self.missed.withLock { missed in
            let generation = max(generation, missed ?? generation)
            do throws(StateError) {
                try self.takeOver(generation: generation)
                missed = nil
            } catch {
                // The command that made the change says that it is not in force.
                missed = generation
                self.logger.error("the state cannot be read", metadata: ["error": "\(error)"])
            }
        }
    }

    private func takeOver(generation: Int64) throws(StateError) {
        let list = try self.service.denyList()
        let isNew = self.present.withLock { present in
            defer { present.denied = list }
            return present.denied != list
        }
        if isNew {
            self.connections.withLock { $0 }?.close { peer in
                list.contains(identity: peer.identity.text, serial: peer.certificate.serial)
            }
            self.events.publish("deny-list", data: #"{"entries":\#(list.denied.count)}"#)
            self.logger.notice(
                "deny list changed", metadata: ["entries": "\(list.denied.count)"])
        }
        if self.isIssuing {
            self.adopt(try self.authority.advance(now: UnixTime.milliseconds))
        }
        self.watcher.withLock { $0 }?.apply(generation: generation, worker: 0)
    }

    private func adopt(_ authorities: [AuthorityRecord]) {
        let bundle = authorities.filter(\.isTrustedRoot).map(\.id).sorted(by: <)
        let isNew = self.present.withLock { present in
            defer { present.bundle = bundle }
            return present.bundle != bundle
        }
        guard isNew else { return }
        self.events.publish("trust-bundle", data: #"{"roots":\#(bundle.count)}"#)
        self.logger.notice("trust bundle changed", metadata: ["roots": "\(bundle.count)"])
    }

    /// 10 s: a sixtieth of the shortest time between two things that are due.
    private static let interval = Duration.seconds(10)
}

private func < (first: [UInt8], second: [UInt8]) -> Bool { first.lexicographicallyPrecedes(second) }
