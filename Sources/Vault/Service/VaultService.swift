package import ControlServer
internal import Cryptography
package import Logging
internal import NIOPosix
internal import ServiceConfiguration
package import State
internal import Synchronization

/// The vault: keys and secrets, who may use them, and the routes by which they are asked for.
///
/// What blocks or computes happens on threads of its own; ``stop()`` ends them.
package final class VaultService: Sendable {
    /// Tells who is subscribed what changed.
    package let events: EventPublisher
    /// Who is connected.
    package let connections: ControlConnections
    /// What is kept.
    package let state: StateStore

    /// The identities of the trust domain.
    package let identities: VaultIdentities

    let store: VaultStore
    private let policy: SharedPolicy
    private let threads: NIOThreadPool
    private let pending = Atomic(0)
    private let logger: Logger

    /// Opens the state and everything that the keys need.
    ///
    /// - Throws: ``StartError`` with what is missing.
    package init(_ configuration: VaultConfiguration, logger: Logger) throws {
        do throws(StateError) {
            self.state = try StateStore(
                folder: configuration.stateDirectory, rootKeyPath: configuration.rootKeyFile)
        } catch {
            throw StartError.environment("the vault cannot be opened: \(error)")
        }
        self.events = EventPublisher(now: UnixTime.milliseconds)
        let token = try configuration.openToken(self.state)
        let identities: VaultIdentities
        do {
            identities = try VaultIdentities(
                configuration, store: self.state, token: token, events: self.events,
                logger: logger)
        } catch {
            throw StartError.environment("identities cannot be issued: \(error)")
        }
        self.identities = identities
        let trustDomain = configuration.spiffeID.trustDomain
        self.connections = ControlConnections(logger: logger) { peer in
            peer.identity.trustDomain == trustDomain && identities.admits(peer)
        }
        let policy = SharedPolicy(configuration.policy)
        self.policy = policy
        self.store = VaultStore(
            state: self.state,
            sealing: VaultSealing(rootKeyPath: configuration.rootKeyFile, token: token),
            events: VaultEvents(publisher: self.events) { kind, name, identity in
                policy.allows(.get, kind, name, to: identity)
            }, baseURL: configuration.publicURL)
        self.threads = NIOThreadPool(numberOfThreads: Self.threads)
        self.threads.start()
        self.logger = logger
        if let token {
            logger.notice(
                "token in use",
                metadata: [
                    "rsa_keys": token.holdsRSA
                        ? "in the token, or sealed under a key of it"
                        : "sealed under a key of the token",
                    "new_trust_roots": token.signs
                        ? "keys in the token" : "keys sealed under the root key",
                ])
        }
    }

    /// Takes over a new policy; everything else is fixed at the start.
    package func adopt(_ policy: VaultPolicy) { self.policy.adopt(policy) }

    /// Lets a token's PIN that was refused be tried again: a token locks itself after a few tries.
    package func retryPIN() { self.store.sealing.token?.reload() }

    /// Ends the threads, once what they do is done, and the token's module.
    package func stop() async {
        try? await self.threads.shutdownGracefully()
        self.store.sealing.token?.finalize()
    }

    /// Sends heartbeats to subscribers and purges what was deleted long ago, until cancelled.
    package func maintain() async {
        var beats = 0
        while !Task.isCancelled {
            self.events.beat()
            if beats.isMultiple(of: Self.beatsBetweenPurges) { await self.purgeOverdue() }
            beats += 1
            self.connections.closeExpired()
            try? await Task.sleep(for: .seconds(1))
        }
    }

    /// Why it cannot serve now; empty if it can.
    package func unreadyReasons() async -> [String] {
        if let failure = self.identities.writeFailure {
            return ["no change and no use can be noted, so both are refused: \(failure)"]
        }
        do {
            return try await self.onThread { [state, store] in
                do throws(StateError) {
                    _ = try state.vaultItemsToPurge(now: 0)
                    _ = try RootKey.read(path: store.sealing.rootKeyPath)
                } catch {
                    return ["\(error)"]
                }
                do throws(TokenError) {
                    try store.sealing.token?.check()
                    return []
                } catch {
                    return ["\(error)"]
                }
            }
        } catch {
            return ["too busy"]
        }
    }

    /// The same route; the use of the peer's certificate is noted before it answers.
    package func notingUse(_ route: ControlRoute) -> ControlRoute {
        ControlRoute(route.method, route.path, bodyBytes: route.bodyBytes) { request in
            if let peer = request.peer {
                await self.identities.noteUse(by: peer) { body in
                    // Too busy: noted at the next use.
                    try? await self.onThread(body)
                }
            }
            return try await route.answer(request)
        }
    }

    /// Answers a request, if the peer has the right to it.
    ///
    /// A right on no name at all is looked for where the path has no name. Whoever has no right is told
    /// the same whether or not there is something.
    func answer(
        _ control: ControlRequest, _ kind: VaultVersion.Kind, _ right: VaultRight,
        _ body: @escaping @Sendable (VaultRequest) throws(VaultError) -> ControlAnswer
    ) async -> ControlAnswer {
        guard let peer = control.peer else {
            preconditionFailure("the vault's routes are served under mutual TLS only")
        }
        let request = VaultRequest(control, peer, kind, right, now: UnixTime.milliseconds)
        do {
            return try await self.onThread { [state, policy, logger] in
                do throws(VaultError) {
                    try Self.check(request, policy)
                    return try body(request)
                } catch {
                    if case .unavailable(let reason) = error {
                        logger.error(
                            "a request failed",
                            metadata: ["operation": "\(right.rawValue)", "error": "\(reason)"])
                    }
                    do throws(StateError) {
                        try state.auditVault(request.use(), now: request.now, result: error.result)
                    } catch {
                        logger.error("the audit failed", metadata: ["error": "\(error)"])
                        return VaultError.unavailable("the audit failed").answer
                    }
                    return error.answer
                }
            }
        } catch {
            return VaultError.throttled.answer
        }
    }

    /// Whether the peer has a right to some name, or to this one.
    func allows(_ right: VaultRight, _ kind: VaultVersion.Kind, _ name: String, _ peer: SPIFFEID)
        -> Bool
    {
        self.policy.allows(right, kind, name, to: peer)
    }

    private static func check(
        _ request: VaultRequest, _ policy: SharedPolicy
    ) throws(VaultError) {
        guard request.control.repeatedName == nil else {
            throw .badParameter("A parameter stands in the query more than once.")
        }
        guard let version = request.control.query["api-version"],
            Self.apiVersions.contains(version)
        else {
            throw .badParameter(
                "api-version is one of \(Self.apiVersions.joined(separator: ", ")).")
        }
        guard request.control.parameters["name"] != nil else {
            guard policy.allowsSome(request.right, request.kind, to: request.identity) else {
                throw .forbidden
            }
            return
        }
        guard VaultName.isValid(request.name) else {
            throw .badParameter("A name has 1 to 127 letters, digits and dashes.")
        }
        guard policy.allows(request.right, request.kind, request.name, to: request.identity) else {
            throw .forbidden
        }
    }

    /// The routes for identities.
    var identityRoutes: IdentityRoutes {
        self.identities.routes { body in
            do {
                return try await self.onThread(body)
            } catch {
                return VaultError.throttled.answer
            }
        }
    }

    /// Runs `body` on a thread; throws if too many wait already.
    private func onThread<Value: Sendable>(
        _ body: @escaping @Sendable () -> Value
    ) async throws -> Value {
        guard self.pending.add(1, ordering: .relaxed).newValue <= Self.mostPending else {
            self.pending.subtract(1, ordering: .relaxed)
            throw VaultError.throttled
        }
        defer { self.pending.subtract(1, ordering: .relaxed) }
        return try await self.threads.runIfActive(body)
    }

    private func purgeOverdue() async {
        let now = UnixTime.milliseconds
        let logger = self.logger
        _ = try? await self.onThread { [state, store] in
            do {
                for version in try state.vaultItemsToPurge(now: now) {
                    let use = VaultUse(
                        actor: "vault", serial: "none", action: VaultRight.purge.rawValue,
                        subject: "\(version.kind.collection)/\(version.name)")
                    do throws(VaultError) {
                        try store.purge(version.kind, version.name, now: now, use)
                    } catch {
                        // The others are due as well.
                        logger.error("purging failed", metadata: ["error": "\(error)"])
                    }
                }
            } catch {
                logger.error("purging failed", metadata: ["error": "\(error)"])
            }
        }
    }

    /// Two more than the processors of a small host: one waits for the disk while others compute.
    private static let threads = 4
    /// 512 requests waiting: some seconds of work; more are told to come again.
    private static let mostPending = 512
    /// An hour.
    private static let beatsBetweenPurges = 3600
    /// Of Azure Key Vault: what keys and secrets are is the same in all of them.
    private static let apiVersions = ["7.4", "7.5", "7.6", "2025-07-01", "2026-04-01"]
}
