internal import Cryptography
internal import HTTPTransport
internal import NIOCore
internal import TLS

/// What one worker of a run is made from.
struct LoadWorkerSetup: Sendable {
    let plan: LoadPlan
    /// Its number, from 0.
    let index: Int
    let workers: Int
    let isHTTP2: Bool
    /// Connections of this worker.
    let connections: Int
    /// Requests at once on a connection.
    let streams: Int
    /// Requests waiting or sent at once.
    let outstanding: Int
    let timeline: LoadTimeline
    /// Window by window instead of second by second, where the plan has windows.
    let windows: LoadTimeline?

    /// The parts of a whole run.
    static func all(
        _ plan: LoadPlan, isHTTP2: Bool, timeline: LoadTimeline, windows: LoadTimeline?
    ) -> [LoadWorkerSetup] {
        let streams = isHTTP2 ? plan.streams ?? Self.streams(plan) : 1
        let connections = Self.connections(plan, isHTTP2: isHTTP2)
        let workers = Self.workers(plan, isHTTP2: isHTTP2)
        return (0..<workers).map { index in
            LoadWorkerSetup(
                plan: plan, index: index, workers: workers, isHTTP2: isHTTP2,
                connections: connections / workers + (index < connections % workers ? 1 : 0),
                streams: streams, outstanding: max(1, plan.outstanding / workers),
                timeline: timeline, windows: windows)
        }
    }

    /// How many workers a run has: none without a connection.
    static func workers(_ plan: LoadPlan, isHTTP2: Bool) -> Int {
        max(1, min(plan.workers, self.connections(plan, isHTTP2: isHTTP2)))
    }

    /// The loop's context, and the worker's way to its connections.
    ///
    /// On the loop; nothing is connected yet.
    func lanes(
        on eventLoop: any EventLoop, sessions: TLSClientSessions, observer: LoadObserver
    ) throws(LoadError) -> (LoopContext, [LoadLane]) {
        do throws(TLSError) {
            let resources = try TLSWorkerResources()
            let loop = LoopContext(eventLoop: eventLoop, tls: resources)
            var context: TLSClientContext?
            if self.plan.target.isEncrypted {
                let configuration = self.plan.tls.configuration(
                    of: self.plan.target, alpn: [self.isHTTP2 ? "h2" : "http/1.1"],
                    timeout: self.plan.timeout)
                context = try TLSClientContext(
                    configuration, resources: resources,
                    sessions: self.plan.tls.resumedShare > 0 ? sessions : nil)
            }
            return (loop, self.lanes(loop, context, observer))
        } catch {
            throw .environment("\(error)")
        }
    }

    private func lanes(
        _ loop: LoopContext, _ context: TLSClientContext?, _ observer: LoadObserver
    ) -> [LoadLane] {
        var limits = PoolLimits()
        limits.requestsPerConnection = self.plan.requestsPerConnection
        limits.connectTimeout = min(self.plan.timeout, Self.connectTimeout)
        limits.idle = .hours(24)
        if self.plan.tls.isHandshakeOnly {
            // One that is made, and the one before it: that has its tickets by the time it closes.
            // A pool for each, since one for all would give what one has let go to the next.
            limits.connections = 2
            limits.waiting = 2
            return (0..<self.connections).map { _ in
                LoadLane(
                    pool: ConnectionPool(
                        loop: loop, address: self.plan.target.address, tls: context,
                        httpLimits: .response, limits: limits, observer: observer),
                    capacity: 1)
            }
        }
        guard self.isHTTP2 else {
            limits.connections = self.connections
            limits.waiting = self.connections + 1
            let pool = ConnectionPool(
                loop: loop, address: self.plan.target.address, tls: context,
                httpLimits: .response, limits: limits, observer: observer)
            return [LoadLane(pool: pool, capacity: self.connections)]
        }
        // One that ends and one that takes its place.
        limits.connections = self.plan.requestsPerConnection == .max ? 1 : 2
        limits.waiting = self.streams + 1
        return (0..<self.connections).map { _ in
            LoadLane(
                pool: HTTP2ConnectionPool(
                    loop: loop, address: self.plan.target.address, tls: context,
                    httpLimits: .response, limits: limits, observer: observer),
                capacity: self.streams)
        }
    }

    private static func connections(_ plan: LoadPlan, isHTTP2: Bool) -> Int {
        if let connections = plan.connections { return connections }
        if isHTTP2 { return plan.workers }
        if case .closed = plan.model { return Self.closedConnections }
        return Self.openConnections
    }

    private static func streams(_ plan: LoadPlan) -> Int {
        if case .closed = plan.model { return Self.closedStreams }
        return Self.openStreams
    }

    /// 10 s: TCP asks a second, third and fourth time within that.
    private static let connectTimeout = TimeAmount.seconds(10)
    /// 10 users of HTTP/1.1.
    private static let closedConnections = 10
    /// 256: as many requests of an open loop are on their way at once, then others wait.
    private static let openConnections = 256
    private static let closedStreams = 10
    /// RFC 9113 6.5.2 asks servers for no less.
    private static let openStreams = 100
}
