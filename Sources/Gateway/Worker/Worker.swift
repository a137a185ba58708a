internal import HTTPTransport
internal import NIOCore
internal import ServiceConfiguration
internal import State
internal import TLS

/// One event loop and everything its requests touch: pools, keys, counters, buffers.
///
/// Loop-bound: what others have to say to it comes as a message to the loop. A reload gives it a new
/// ``Snapshot`` and new TLS contexts; connections and exchanges in progress keep theirs.
final class Worker {
    let index: Int
    let loop: LoopContext
    let metrics: MetricsShard
    /// For answers of the gateway's own; used within one call.
    let answerHead = MessageHead()
    var random = FastRandom()
    private(set) var snapshot: Snapshot
    private var contexts: WorkerContexts
    private var backends: [[Backend]] = []
    private var turns: [Int] = []
    private let verifier: EndpointKeyVerifier?
    private var keys: EndpointKeyTable?
    /// What ``keys`` was made of, last given by the state's watcher.
    private var keyRecords: EndpointKeyRecords?
    /// When exchanges must be looked at again, Unix milliseconds.
    private var nextKeyExpiry = Int64.max
    private let stateHealth: @Sendable () -> StateHealth
    /// As of the last housekeeping: the original is behind a lock.
    private var health = StateHealth.ready
    private var failureLimiter = AuthenticationFailureLimiter()
    private var floodLimiter = FloodLimiter()
    /// The way to the sealed log; nil if there is none.
    let recorder: Recorder?
    private let accessLog: AccessLog?
    private var accessLines = JSONLines()
    private var exchanges: [ObjectIdentifier: Exchange] = [:]
    private var connections: [ObjectIdentifier: any ServerConnection] = [:]
    private var isDraining = false
    private var housekeeping: RepeatedTask?
    private let budget: ConnectionBudget

    /// Must be made on the loop.
    init(
        index: Int, loop: LoopContext, snapshot: Snapshot, contexts: WorkerContexts,
        verifier: EndpointKeyVerifier?, stateHealth: @escaping @Sendable () -> StateHealth,
        recorder: Recorder?, accessLog: AccessLog?, budget: ConnectionBudget
    ) {
        self.index = index
        self.loop = loop
        self.snapshot = snapshot
        self.contexts = contexts
        self.verifier = verifier
        self.stateHealth = stateHealth
        self.recorder = recorder
        self.accessLog = accessLog
        self.budget = budget
        self.metrics = MetricsShard(snapshot)
        self.makeBackends()
    }

    /// Begins to keep time.
    ///
    /// Must be called on the loop.
    func start() {
        self.loop.deadlines.start()
        let bound = NIOLoopBound(self, eventLoop: self.loop.eventLoop)
        self.housekeeping = self.loop.eventLoop.scheduleRepeatedTask(
            initialDelay: Self.housekeepingInterval, delay: Self.housekeepingInterval
        ) { _ in
            let worker = bound.value
            worker.health = worker.stateHealth()
            worker.flushAccessLog()
            if UnixTime.milliseconds >= worker.nextKeyExpiry { worker.endUnadmitted() }
        }
    }

    /// Ends the timers and gives out the last log lines.
    func stop() {
        for backend in self.backends.joined() { backend.pool.close() }
        self.housekeeping?.cancel()
        self.loop.deadlines.stop()
        self.recorder?.flushAll()
        self.flushAccessLog()
    }

    /// Takes over a new configuration.
    ///
    /// Backend connections in use end with their exchange.
    func adopt(_ snapshot: Snapshot, _ contexts: WorkerContexts) {
        self.snapshot = snapshot
        self.contexts = contexts
        self.metrics.adopt(snapshot)
        for backend in self.backends.joined() { backend.pool.close() }
        self.makeBackends()
        // Endpoints have other numbers now.
        if let keyRecords { self.adopt(keyRecords) }
    }

    /// Takes over the keys of a new generation, and ends what was let in by one that is gone.
    func adopt(_ records: EndpointKeyRecords) {
        self.keyRecords = records
        self.keys = EndpointKeyTable(records, endpoints: self.snapshot.endpointNames)
        self.endUnadmitted()
    }

    /// Ends what was let in by a key that is no more, or has expired.
    private func endUnadmitted() {
        guard let keys else { return }
        let now = UnixTime.milliseconds
        self.nextKeyExpiry = keys.nextExpiry(afterMilliseconds: now)
        for exchange in Array(self.exchanges.values) {
            // By name: the exchange may have begun under a configuration with other numbers. An
            // endpoint that is no more has no keys to go by; what it has let in may finish.
            guard let (key, name) = exchange.keyInUse,
                let endpoint = self.snapshot.endpointNames.firstIndex(of: name)
            else { continue }
            if !keys.admits(key, endpoint: endpoint, nowMilliseconds: now) { exchange.revoke() }
        }
    }

    /// 100 ms: how late a log line may be.
    private static let housekeepingInterval = TimeAmount.milliseconds(100)
}

// MARK: - Connections

extension Worker {
    /// Takes in a client's connection; its handshake may have to wait for a while.
    func accept(_ channel: any Channel, listener: Int) throws {
        // Here and not by the bootstrap, which makes futures of them.
        try channel.syncOptions?.setOption(.maxMessagesPerRead, value: 1)
        try channel.syncOptions?.setOption(.recvAllocator, value: self.loop.tls.receiveBuffer)
        self.metrics.connections += 1
        self.metrics.acceptedConnections += 1
        self.connections[ObjectIdentifier(channel)] = PendingConnection(channel: channel)
        self.budget.opened()
        channel.closeFuture.assumeIsolated().whenComplete { _ in
            self.budget.closed()
            self.metrics.connections -= 1
            self.connections[ObjectIdentifier(channel)] = nil
        }
        guard !self.isDraining else { return channel.close(promise: nil) }
        if self.floodLimiter.isNeeded, try self.holdBack(channel, listener: listener) { return }
        try self.makeReady(channel, listener: listener)
    }

    /// Lets a connection of a network with floods wait for its turn; false if it need not.
    private func holdBack(_ channel: any Channel, listener: Int) throws -> Bool {
        guard let source = IPAddress(channel.remoteAddress) else { return false }
        guard let delay = self.floodLimiter.delay(source: source, now: .now()) else {
            self.metrics.refusedConnections += 1
            channel.close(promise: nil)
            return true
        }
        if delay == .zero { return false }
        self.metrics.delayedConnections += 1
        try channel.syncOptions?.setOption(.autoRead, value: false)
        self.loop.eventLoop.assumeIsolated().scheduleTask(in: delay) {
            guard channel.isActive else { return }
            do {
                try self.makeReady(channel, listener: listener)
                try channel.syncOptions?.setOption(.autoRead, value: true)
            } catch {
                channel.close(promise: nil)
            }
        }
        return true
    }

    /// Gives a connection what it needs: PROXY header where the listener has one, TLS, HTTP.
    private func makeReady(_ channel: any Channel, listener: Int) throws {
        let configuration = self.snapshot.configuration
        let settings = configuration.listeners[listener]
        let isOnUnixSocket = if case .unix = settings.address { true } else { false }
        let pipeline = channel.pipeline.syncOperations
        var proxy: ProxyProtocolHandler?
        if settings.proxyProtocol != .none {
            let handler = ProxyProtocolHandler(
                version: settings.proxyProtocol, loop: self.loop,
                isTrusted: configuration.trusts(
                    IPAddress(channel.remoteAddress), isOnUnixSocket: isOnUnixSocket))
            try pipeline.addHandler(handler)
            proxy = handler
        }
        let server = self.contexts.servers[listener]
        let tls = TLSHandler(server: server, counters: self.metrics.tls)
        try pipeline.addHandler(tls)
        let contexts = self.contexts
        let failed = { (error: any Error) in
            self.handshakeFailed(error, IPAddress(proxy?.source) ?? IPAddress(tls.peerAddress))
        }
        let selection = ProtocolSelection(failed: failed) { name in
            // Made with the first request: many connections end with their handshake.
            var known: ClientConnection?
            let connection = self.makeConnection(
                channel, contexts, isHTTP2: name == "h2", isProxied: proxy != nil
            ) {
                if let known { return known }
                let client = ClientConnection(
                    channel: channel, proxy: proxy, isOnUnixSocket: isOnUnixSocket, tls: tls,
                    server: server, snapshot: self.snapshot)
                known = client
                return client
            }
            if tls.session?.peer != nil { self.drain(channel, at: .ofCertificate(tls.session)) }
            return connection
        }
        try pipeline.addHandler(selection)
    }

    /// Lets a connection end what is under way and close at `end`.
    private func drain(_ channel: any Channel, at end: NIODeadline) {
        let task = self.loop.eventLoop.assumeIsolated().scheduleTask(deadline: end) {
            self.connections[ObjectIdentifier(channel)]?.drain()
        }
        channel.closeFuture.assumeIsolated().whenComplete { _ in task.cancel() }
    }

    /// Counts a client that was sent away for flooding.
    private func flooded(_ channel: any Channel, isProxied: Bool) {
        self.metrics.floods += 1
        // Behind a proxy, that is where to slow somebody down: all come from its address.
        guard !isProxied, let source = IPAddress(channel.remoteAddress),
            !self.snapshot.configuration.trusts(source)
        else { return }
        self.floodLimiter.recordFlood(source: source, now: .now())
    }

    /// Why no connection may be accepted now; nil if one may.
    var acceptObstacle: AcceptObstacle? {
        guard self.budget.hasRoom else { return .connections }
        return self.loop.tls.handshakes.count < Self.maximumHandshakes ? nil : .handshakes
    }

    /// Makes room for handshakes: of those that have taken longer than a second, the ones of the
    /// network that has most of them end.
    ///
    /// Nobody can keep others out by beginning many handshakes and not going on, or only by doing
    /// so from many networks. What counts is /24 of IPv4, /56 of IPv6.
    func cutStalledHandshakes() {
        let longest = NIODeadline.now() - Self.unhurriedHandshake
        var stalled: [UInt128: [TLSHandler]] = [:]
        for handshake in self.loop.tls.handshakes {
            guard let began = handshake.handshakeBegan, began < longest else { continue }
            let address = IPAddress(handshake.peerAddress)
            stalled[address?.sourceNetwork ?? 0, default: []].append(handshake)
        }
        guard let most = stalled.values.max(by: { $0.count < $1.count }) else { return }
        for handshake in most { handshake.cutHandshake() }
        self.metrics.cutHandshakes += most.count
    }

    /// 256: beyond, those that wait would only take longer.
    private static let maximumHandshakes = 256
    /// 1 s: three round trips around the world and a busy machine.
    private static let unhurriedHandshake = TimeAmount.seconds(1)

    /// The connection of the version that TLS agreed on.
    private func makeConnection(
        _ channel: any Channel, _ contexts: WorkerContexts, isHTTP2: Bool, isProxied: Bool,
        client: @escaping () -> ClientConnection
    ) -> any ChannelHandler {
        let connection: any ServerConnection & ChannelHandler
        if isHTTP2 {
            self.metrics.acceptedHTTP2Connections += 1
            connection = HTTP2ServerConnection(
                loop: self.loop, limits: contexts.limits, timeouts: contexts.timeouts,
                flooded: { self.flooded(channel, isProxied: isProxied) },
                makeReceiver: { self.makeExchange(client(), $0) })
        } else {
            connection = HTTP1ServerConnection(
                loop: self.loop, limits: contexts.limits, timeouts: contexts.timeouts,
                makeReceiver: { self.makeExchange(client(), $0) })
        }
        self.connections[ObjectIdentifier(channel)] = connection
        return connection
    }

    private func makeExchange(
        _ client: ClientConnection, _ stream: any ServerStream
    ) -> Exchange {
        let exchange = Exchange(worker: self, client: client, connection: stream)
        self.exchanges[ObjectIdentifier(exchange)] = exchange
        return exchange
    }

    /// Lets go of an exchange whose connection is gone.
    func forget(_ exchange: Exchange) {
        self.exchanges[ObjectIdentifier(exchange)] = nil
    }

    /// Lets every connection finish its exchange and closes it.
    func drain() {
        self.isDraining = true
        for connection in Array(self.connections.values) { connection.drain() }
    }

    /// Ends every exchange, those whose answer has not begun with an answer of ours, and closes every
    /// connection where it stands.
    func abortConnections() {
        for exchange in Array(self.exchanges.values) { exchange.shutDown() }
        for connection in Array(self.connections.values) { connection.abort() }
    }
}

// MARK: - Exchanges

extension Worker {
    /// The least loaded backend of a deployment; nil if all were tried, or if the deployment is of
    /// a former configuration, where its number may be another's now.
    func backend(of deployment: Deployment, excluding tried: [Backend] = []) -> Backend? {
        guard self.snapshot.has(deployment) else { return nil }
        return self.backends[deployment.index].leastLoaded(
            turn: &self.turns[deployment.index], excluding: tried)
    }

    /// Checks the caller's endpoint key.
    func authenticate(
        _ head: MessageHead, _ endpoint: Endpoint, proven: ProvenToken
    ) throws(GatewayError) -> EndpointKeyID {
        guard let keys, let verifier, self.health != .unavailable else {
            throw GatewayError(kind: .keysUnavailable, source: .internal, cause: "state not read")
        }
        guard let field = head.index(of: .authorization), head.count(of: .authorization) == 1 else {
            throw GatewayError(kind: .badAuthorization, source: .downstream, cause: "absent")
        }
        let now = UnixTime.milliseconds
        let answer = head.withRawBytes(head.fields[field].valueRange) {
            verifier.verify(
                authorization: $0, endpoint: endpoint.index, in: keys, nowMilliseconds: now,
                proven: proven)
        }
        switch answer {
        case .granted(let key):
            return key
        case .badHeader:
            throw GatewayError(kind: .badAuthorization, source: .downstream, cause: "not Bearer")
        case .denied(let key):
            throw GatewayError(kind: .accessDenied(key), source: .downstream, cause: "key")
        }
    }

    /// Counts a refused key of this client; how long its refusal is to be held back.
    func refusalDelay(of key: EndpointKeyID?, _ client: ClientOrigin) -> TimeAmount {
        guard let address = client.address else { return .zero }
        let now = Int64(self.loop.deadlines.coarseNow.uptimeNanoseconds / 1_000_000)
        let delay = self.failureLimiter.recordFailure(
            source: address, kid: key, nowMilliseconds: now)
        if delay > 0 { self.metrics.delayedRefusals += 1 }
        return .milliseconds(delay)
    }

    /// Counts and logs an exchange that is over.
    func exchangeEnded(
        _ record: ExchangeRecord, endpoint: Endpoint?, deployment: Deployment?,
        head: MessageHead?, ids: RequestIDs, client: ClientConnection, origin: ClientOrigin?
    ) {
        let now = NIODeadline.now()
        self.metrics.exchangeEnded(record, endpoint: endpoint, deployment: deployment, now: now)
        guard self.accessLog != nil else { return }
        AccessLogLine(
            record: record, endpoint: endpoint, deployment: deployment, head: head, ids: ids,
            client: client, origin: origin ?? client.origin, end: now
        ).write(to: &self.accessLines)
        if self.accessLines.bytes.readableBytes > Self.accessLogBytes { self.flushAccessLog() }
    }

    /// Logs a handshake that did not lead to a connection, unless the client just went away.
    private func handshakeFailed(_ error: any Error, _ client: IPAddress?) {
        guard self.accessLog != nil, let error = error as? TLSError else { return }
        switch error {
        case .closedDuringHandshake, .handshakeTimeout(.firstByte): return
        default: break
        }
        self.accessLines.refusedHandshake(error, ClientOrigin(client))
        if self.accessLines.bytes.readableBytes > Self.accessLogBytes { self.flushAccessLog() }
    }

    private func flushAccessLog() {
        guard let accessLog, self.accessLines.bytes.readableBytes > 0 else { return }
        if !accessLog.write(self.accessLines.bytes) {
            self.metrics.accessLogDrops += self.accessLines.count
        }
        self.accessLines = JSONLines()
    }

    private func makeBackends() {
        self.backends = self.snapshot.deployments.map { deployment in
            deployment.configuration.backends.enumerated().map { place, address in
                Backend(
                    address: address, pool: self.makePool(address, deployment.configuration),
                    readiness: deployment.readiness.isEmpty ? nil : deployment.readiness[place])
            }
        }
        self.turns = Array(repeating: 0, count: self.backends.count)
    }

    private func makePool(
        _ address: BackendAddress, _ deployment: DeploymentConfiguration
    ) -> any StreamPool {
        let tls = self.contexts.client(address, deployment)
        switch deployment.version {
        case .http1:
            return ConnectionPool(
                loop: self.loop, address: address.poolAddress, tls: tls, httpLimits: .response,
                limits: deployment.poolLimits)
        case .http2:
            return HTTP2ConnectionPool(
                loop: self.loop, address: address.poolAddress, tls: tls, httpLimits: .response,
                limits: deployment.poolLimits)
        }
    }

    /// Seconds since 1970, for Date fields.
    var unixSecond: Int { UnixTime.now().seconds }

    /// Pools and their backends, for the metrics.
    var backendsByDeployment: [(Deployment, [Backend])] {
        zip(self.snapshot.deployments, self.backends).map { ($0, $1) }
    }

    /// 64 KiB: a burst of lines goes out before the next housekeeping.
    private static let accessLogBytes = 65_536
}

/// A connection whose handshake is not done.
private final class PendingConnection: ServerConnection {
    private let channel: any Channel

    init(channel: any Channel) {
        self.channel = channel
    }

    func drain() { self.abort() }
    func abort() { self.channel.close(promise: nil) }
}
