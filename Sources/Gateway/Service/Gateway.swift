internal import Cryptography
internal import Dispatch
internal import HTTPTransport
internal import KeyVault
package import Logging
package import NIOCore
internal import NIOPosix
internal import SealedLog
internal import ServiceConfiguration
internal import State
internal import Synchronization
internal import TLS

/// The gateway: workers, listeners, keys and what keeps them up to date.
///
/// ``start(_:logger:)`` returns once every listener accepts; then ``reload(_:)`` as often as wanted, then
/// ``drain()`` and ``stop()``. Everything that takes time happens off the workers' loops.
package final class Gateway: Sendable {
    private let group: MultiThreadedEventLoopGroup
    private let workers: [WorkerHandle]
    private let ticketKeys: TLSTicketKeys
    let store: StateStore?
    private let watcher: Mutex<StateWatcher?>
    let keeper: LogKeeper?
    private let accessLog: AccessLog?
    /// What backends are shown that the vault keeps.
    let secrets: VaultSecrets
    let logger: Logger
    private let current: Mutex<Current>
    private let denied = Mutex(DenyList([]))
    private let probes = Mutex<Task<Void, Never>?>(nil)
    /// What the listeners really have, where the configuration says port 0.
    package let addresses: [SocketAddress]
    private let listeners: [any Channel]

    /// What a reload replaces.
    private struct Current {
        var snapshot: Snapshot
        var isDraining = false
        var reloads = 0
        var failedReloads = 0
    }

    private init(
        _ parts: Parts, watcher: StateWatcher?, listeners: [any Channel],
        addresses: [SocketAddress], logger: Logger
    ) {
        self.group = parts.group
        self.workers = parts.workers
        self.ticketKeys = parts.ticketKeys
        self.store = parts.store
        self.watcher = Mutex(watcher)
        self.keeper = parts.keeper
        self.accessLog = parts.accessLog
        self.secrets = parts.secrets
        self.logger = logger
        self.current = Mutex(Current(snapshot: parts.snapshot))
        self.listeners = listeners
        self.addresses = addresses
    }

    /// Starts everything a configuration names.
    ///
    /// - Throws: ``StartError``; nothing is left running then.
    package static func start(
        _ configuration: GatewayConfiguration, logger: Logger
    ) async throws -> Gateway {
        if let problem = configuration.placeProblems.first {
            throw StartError.environment(problem)
        }
        let files = FileDescriptorLimit.raise()
        guard configuration.limits.connections + Self.reservedFiles <= files else {
            throw StartError.environment(
                """
                limits.connections is \(configuration.limits.connections), but the process may open \
                \(files) files: lower it to \(max(files - Self.reservedFiles, 0)), or raise the \
                hard limit (ulimit -Hn, LimitNOFILE=)
                """)
        }
        let addresses = try Self.probe(configuration)
        let parts = try await Self.parts(configuration, files: files, logger: logger)
        do {
            let watcher = try Self.watch(parts)
            let (listeners, bound) = try await Self.listen(addresses, parts)
            let gateway = Gateway(
                parts, watcher: watcher, listeners: listeners, addresses: bound, logger: logger)
            gateway.probe(parts.snapshot)
            gateway.secrets.adopt(parts.secretValues)
            gateway.warnOfExpiringKeys()
            return gateway
        } catch {
            await parts.keeper?.stop()
            try? await parts.group.shutdownGracefully()
            throw error
        }
    }

    /// Takes over a new configuration; on failure the present one stays in force.
    ///
    /// Listeners, workers and the state folder are fixed at the start; a change of those is logged.
    ///
    /// - Throws: ``StartError`` with what is wrong.
    package func reload(_ configuration: GatewayConfiguration) async throws {
        let present = self.current.withLock { $0.snapshot }
        do {
            try present.configuration.checkFixed(configuration)
            let secrets = try await self.secrets.values(of: configuration)
            let logs = try await self.keeper?.open(configuration.endpoints) ?? [:]
            let snapshot = try Snapshot(configuration, logs: logs, secrets: secrets, after: present)
            var contexts: [WorkerContexts] = []
            for worker in self.workers {
                contexts.append(
                    try WorkerContexts(
                        configuration, resources: worker.resources, ticketKeys: self.ticketKeys))
            }
            try self.accessLog?.reopen()
            for (worker, contexts) in zip(self.workers, contexts) {
                try await worker.ask { $0.adopt(snapshot, contexts) }
            }
            self.current.withLock {
                $0.snapshot = snapshot
                $0.reloads += 1
            }
            self.secrets.adopt(secrets)
            self.probe(snapshot)
            self.logger.info(
                "configuration in force", metadata: ["workers": "\(self.workers.count)"])
        } catch {
            throw StartError.configuration("\(error)")
        }
    }

    /// Asks the vault again for what backends are shown, and takes over what is another value now.
    func refreshSecrets() async throws {
        guard await self.secrets.look() else { return }
        try await self.reload(self.configuration)
    }

    /// Refuses these peers on every worker, and closes the connections with them.
    func deny(_ list: DenyList) async {
        self.denied.withLock { $0 = list }
        for worker in self.workers {
            let closed = try? await worker.ask { $0.loop.tls.deny(list.denied) }
            for peer in closed ?? [] {
                self.logger.warning(
                    "connection of a denied peer closed",
                    metadata: ["identity": "\(peer.identity ?? "")", "serial": "\(peer.serial)"])
            }
        }
    }

    /// Whether nobody has denied the peer with this identity and certificate.
    func admits(identity: String, serial: String) -> Bool {
        self.denied.withLock { !$0.contains(identity: identity, serial: serial) }
    }

    /// Counts a reload that came to nothing, whether the files or the gateway refused it.
    func reloadFailed() {
        self.current.withLock { $0.failedReloads += 1 }
    }

    /// The configuration in force.
    package var configuration: GatewayConfiguration {
        self.current.withLock { $0.snapshot.configuration }
    }

    /// Accepts no more connections and lets those there are finish, at most for the configured time.
    package func drain() async {
        let timeout = self.current.withLock { current in
            current.isDraining = true
            return current.snapshot.configuration.drainTimeoutMilliseconds
        }
        self.logger.info("draining", metadata: ["timeout_ms": "\(timeout)"])
        for listener in self.listeners { try? await listener.close().get() }
        for worker in self.workers { worker.tell { $0.drain() } }
        let end = ContinuousClock.now + .milliseconds(timeout)
        while ContinuousClock.now < end {
            let open = await self.connections()
            if open == 0 { break }
            try? await Task.sleep(for: .milliseconds(20))
        }
        let cut = await self.connections()
        if cut > 0 {
            self.logger.warning("drain timed out", metadata: ["connections": "\(cut)"])
            for worker in self.workers { worker.tell { $0.abortConnections() } }
        }
    }

    /// Ends everything.
    package func stop() async {
        self.probes.withLock { $0.take() }?.cancel()
        self.secrets.stop()
        self.watcher.withLock { $0.take() }?.stop()
        for worker in self.workers { try? await worker.ask { $0.stop() } }
        await self.keeper?.stop()
        self.accessLog?.drain(seconds: 2)
        try? await self.group.shutdownGracefully()
    }

    /// Asks the backends of `snapshot` whether they are ready, and no others any more.
    private func probe(_ snapshot: Snapshot) {
        let task = Task { [logger = self.logger] in
            await withDiscardingTaskGroup { group in
                for deployment in snapshot.deployments {
                    for readiness in deployment.readiness {
                        let tls = WorkerContexts.probe(
                            readiness.address, deployment.configuration, snapshot.configuration)
                        group.addTask {
                            // It ends with its cancellation only.
                            try? await readiness.run(tls: tls) { isReady in
                                logger.notice(
                                    isReady ? "backend ready" : "backend not ready",
                                    metadata: [
                                        "deployment": "\(deployment.configuration.publicName)",
                                        "backend":
                                            "\(deployment.configuration.publicAddress(readiness.address))",
                                    ])
                            }
                        }
                    }
                }
            }
        }
        self.probes.withLock { probes in
            probes?.cancel()
            probes = task
        }
    }

    private func connections() async -> Int {
        var sum = 0
        for worker in self.workers {
            sum += (try? await worker.ask { $0.metrics.connections }) ?? 0
        }
        return sum
    }

    /// 128: listeners, the state, logs, and connections to backends to begin with.
    private static let reservedFiles = 128
}

// MARK: - What the admin listener tells

extension Gateway {
    /// Why the gateway should get no new traffic; empty if it may.
    package var unreadyReasons: [String] {
        var reasons: [String] = []
        if self.current.withLock({ $0.isDraining }) { reasons.append("draining") }
        if self.current.withLock({ $0.snapshot.isWaitingForModel }) {
            reasons.append("the model is not ready")
        }
        if let health = self.watcher.withLock({ $0?.health }), health != .ready {
            reasons.append("the state cannot be read")
        }
        let endpoints = self.current.withLock { $0.snapshot.endpoints }
        if !endpoints.isEmpty, endpoints.allSatisfy({ $0.log?.service == .refused }) {
            reasons.append("no endpoint can be logged, and none may be served unlogged")
        }
        return reasons
    }

    /// What keeps some of the endpoints from being served as they should.
    package var warnings: [String] {
        let streams = self.keeper?.metrics ?? []
        return streams.filter { $0.state != .active }.map {
            "the wrapping key of endpoint \($0.log.publicName) is \($0.state.rawValue)"
        }
            + streams.filter { !$0.log.canBeWritten }.map {
                "the log of endpoint \($0.log.publicName) cannot be written"
            } + self.secrets.warnings
    }

    /// All metrics in the Prometheus text format.
    package func metrics() async throws -> String {
        var text = PrometheusText()
        var sums = MetricsSum()
        for worker in self.workers {
            sums.add(try await worker.ask { WorkerMetrics($0) })
        }
        sums.accessLogDrops += self.accessLog?.lostLines ?? 0
        let (snapshot, reloads, failedReloads) = self.current.withLock {
            ($0.snapshot, $0.reloads, $0.failedReloads)
        }
        sums.write(to: &text)
        text.counter(
            "gateway_reloads_total", "Reloads of configuration and certificates.",
            [([("result", "success")], reloads), ([("result", "failure")], failedReloads)])
        if let keeper {
            var counts = Recorder.Counts()
            for worker in self.workers {
                if let part = try await worker.ask({ $0.recorder?.counts }) { counts.add(part) }
            }
            LogMetrics.write(counts, keeper, snapshot.configuration, to: &text)
        }
        CertificateMetrics.write(snapshot.configuration, to: &text)
        if let keys = try? self.store?.endpointKeys() {
            KeyMetrics.write(keys, snapshot.configuration, to: &text)
        }
        text.gauge(
            "gateway_workers", "Workers of this gateway.", [([], Double(self.workers.count))])
        return text.text
    }
}

// MARK: - Starting

extension Gateway {
    /// What is there before the listeners are.
    private struct Parts {
        let group: MultiThreadedEventLoopGroup
        let workers: [WorkerHandle]
        let ticketKeys: TLSTicketKeys
        let store: StateStore?
        let keeper: LogKeeper?
        let accessLog: AccessLog?
        let secrets: VaultSecrets
        let secretValues: VaultSecrets.Values
        let snapshot: Snapshot
        let budget: ConnectionBudget
        let health: HealthBox
    }

    /// Lets workers ask for the state's health before the watcher is there.
    private final class HealthBox: Sendable {
        let watcher = Mutex<StateWatcher?>(nil)
    }

    private static func probe(_ configuration: GatewayConfiguration) throws -> [SocketAddress] {
        try configuration.listeners.map { listener in
            let address: SocketAddress
            switch listener.address {
            case .ip(let ip, let port):
                address = try SocketAddress(ipAddress: ip.description, port: port)
            case .unix(let path):
                address = try SocketAddress(unixDomainSocketPath: path)
            }
            do {
                try Listener.probe(address)
            } catch let error as IOError {
                throw StartError.environment(Self.reason(error, listener.address))
            }
            return address
        }
    }

    private static func reason(_ error: IOError, _ address: ListenAddress) -> String {
        switch error.errnoCode {
        case 98: "\(address) is in use: another process listens there (ss -lp shows which)"
        case 13:
            "no right to listen at \(address): ports below 1024 need CAP_NET_BIND_SERVICE"
        case 99: "\(address) is not an address of this machine"
        default: "cannot listen at \(address): \(error)"
        }
    }

    private static func parts(
        _ configuration: GatewayConfiguration, files: Int, logger: Logger
    ) async throws -> Parts {
        let count = configuration.workers ?? min(System.coreCount, ProcessorAffinity.count)
        let store = try Self.openState(configuration)
        let accessLog: AccessLog?
        do throws(AccessLogError) {
            accessLog = try configuration.accessLog.map { destination throws(AccessLogError) in
                try AccessLog(destination, logger: logger)
            }
        } catch .cannotOpen(let path, let errno) {
            throw StartError.environment(
                "the access log \(path) cannot be opened: \(IOError(errnoCode: errno, reason: "open"))"
            )
        }
        let secrets = VaultSecrets(logger: logger)
        let secretValues = try await secrets.values(of: configuration)
        let reports = LogReports()
        let keeper = try Self.openLog(configuration, store, reports, logger: logger)
        let snapshot: Snapshot
        do {
            snapshot = try Snapshot(
                configuration, logs: try await keeper?.open(configuration.endpoints) ?? [:],
                secrets: secretValues)
        } catch {
            await keeper?.stop()
            throw error
        }
        let ticketKeys = TLSTicketKeys()
        let budget = ConnectionBudget(limit: configuration.limits.connections)
        let health = HealthBox()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: count)
        var workers: [WorkerHandle] = []
        do {
            for (index, loop) in group.makeIterator().enumerated() {
                let resources = try TLSWorkerResources()
                let contexts = try WorkerContexts(
                    configuration, resources: resources, ticketKeys: ticketKeys)
                workers.append(
                    try await WorkerHandle.start(
                        index: index, eventLoop: loop, resources: resources, snapshot: snapshot,
                        contexts: contexts, store: store,
                        health: { health.watcher.withLock { $0?.health ?? .ready } },
                        logQueue: keeper?.queue, accessLog: accessLog, budget: budget))
            }
        } catch {
            await keeper?.stop()
            try? await group.shutdownGracefully()
            throw StartError.environment("\(error)")
        }
        reports.start(workers)
        keeper?.start()
        return Parts(
            group: group, workers: workers, ticketKeys: ticketKeys, store: store, keeper: keeper,
            accessLog: accessLog, secrets: secrets, secretValues: secretValues, snapshot: snapshot,
            budget: budget, health: health)
    }

    private static func openState(_ configuration: GatewayConfiguration) throws -> StateStore? {
        guard let path = configuration.rootKeyFile else { return nil }
        do throws(StateError) {
            return try StateStore(folder: configuration.stateDirectory, rootKeyPath: path)
        } catch {
            throw StartError.environment("\(error)")
        }
    }

    private static func openLog(
        _ configuration: GatewayConfiguration, _ store: StateStore?, _ reports: LogReports,
        logger: Logger
    ) throws -> LogKeeper? {
        guard let log = configuration.log else { return nil }
        guard let store, let rootKeyFile = configuration.rootKeyFile else {
            throw StartError.configuration("a log needs root_key")
        }
        let vault = EmbeddedVault(store: store, rootKeyPath: rootKeyFile, actor: "gateway")
        return try LogKeeper(
            log, store: store, stateDirectory: configuration.stateDirectory,
            keys: WrappingKeys(embedded: vault), logger: logger
        ) { outcomes in
            reports.give(outcomes)
        }
    }

    /// Watches the state, and gives the workers the keys there are.
    private static func watch(_ parts: Parts) throws -> StateWatcher? {
        guard let store = parts.store else { return nil }
        let workers = parts.workers
        let health = parts.health
        let keeper = parts.keeper
        let adopt = { @Sendable (keys: EndpointKeyRecords) in
            for worker in workers { worker.tell { $0.adopt(keys) } }
        }
        let apply = { @Sendable (generation: Int64) in
            for worker in workers {
                worker.tell { worker in
                    health.watcher.withLock { $0 }?.apply(
                        generation: generation, worker: worker.index)
                }
            }
        }
        let watcher = try StateWatcher(store: store, workers: workers.count) { records in
            adopt(records.endpointKeys)
            guard let keeper else { return apply(records.generation) }
            // A change of wrapping keys is in force before anybody is told that it is. What a slow disk
            // keeps from being so keeps endpoint keys from nothing.
            Task {
                if await keeper.check() { apply(records.generation) }
            }
        }
        health.watcher.withLock { $0 = watcher }
        adopt(watcher.initial.endpointKeys)
        return watcher
    }

    private static func listen(
        _ addresses: [SocketAddress], _ parts: Parts
    ) async throws -> ([any Channel], [SocketAddress]) {
        var channels: [any Channel] = []
        var bound: [SocketAddress] = []
        for (index, address) in addresses.enumerated() {
            var address = address
            for worker in parts.workers {
                let channel: any Channel
                do {
                    channel = try await Listener.open(
                        address, on: worker.eventLoop, worker: worker.worker, listener: index)
                } catch let error as IOError {
                    let configured = parts.snapshot.configuration.listeners[index].address
                    throw StartError.environment(Self.reason(error, configured))
                }
                channels.append(channel)
                // Port 0 is the system's choice for the first; the others share it.
                if let local = channel.localAddress { address = local }
                // A path can be bound once only.
                if case .unixDomainSocket = address { break }
            }
            bound.append(address)
        }
        return (channels, bound)
    }
}
