internal import Glibc
package import NIOCore
package import TLS

/// Limits of one pool.
package struct PoolLimits: Sendable, Equatable {
    /// Connections open or being opened.
    package var connections = 1024
    /// Exchanges that wait for a connection.
    package var waiting = 1024
    /// How long TCP may take to connect.
    package var connectTimeout = TimeAmount.seconds(2)
    /// How long an unused connection is kept.
    package var idle = TimeAmount.seconds(60)
    /// Requests after which a connection closes.
    package var requestsPerConnection = Int.max

    /// The defaults.
    package init() {}
}

/// The connections of one loop to one backend.
///
/// Loop-bound. The last used is used first, so that a burst's extra connections grow idle and
/// close. Each exchange has a connection for itself until its response has ended.
package final class ConnectionPool {
    /// Where a backend listens.
    package enum Address: Sendable, Hashable {
        /// A DNS name or IP address.
        case host(String, port: Int)
        /// A Unix socket.
        case unix(path: String)
    }

    private let connector: BackendConnector
    private let httpLimits: HTTPLimits
    let limits: PoolLimits
    private var idle: [HTTP1ClientConnection] = []
    private var waiting = CircularBuffer<any ResponseReceiver>()
    private var isClosed = false
    private let sweepTimer: DeadlineTimer

    /// Connections open, leased or idle.
    package private(set) var open = 0
    /// Connections being opened.
    package private(set) var connecting = 0
    /// Connections opened so far.
    package private(set) var opened = 0
    /// Connections that could not be opened so far.
    package private(set) var failures = 0
    /// Connections open and not leased.
    package var idleConnections: Int { self.idle.count }

    /// A pool without connections yet.
    ///
    /// - Parameters:
    ///   - loop: The loop it belongs to.
    ///   - address: Where the backend listens.
    ///   - tls: nil for a Unix socket or a backend on loopback without TLS.
    ///   - httpLimits: What a response may bring.
    ///   - limits: How many connections and waiting exchanges there may be.
    ///   - observer: Told how connections come about.
    package init(
        loop: LoopContext, address: Address, tls: TLSClientContext?,
        httpLimits: HTTPLimits, limits: PoolLimits = PoolLimits(),
        observer: (any ConnectionObserver)? = nil
    ) {
        self.connector = BackendConnector(
            loop: loop, address: address, tls: tls, timeout: limits.connectTimeout,
            observer: observer)
        self.httpLimits = httpLimits
        self.limits = limits
        self.sweepTimer = DeadlineTimer(wheel: loop.deadlines)
        self.sweepTimer.bind(to: self)
    }

    /// Gives `receiver` a connection: at once if one is idle, otherwise when one is there.
    ///
    /// - Parameters:
    ///   - receiver: Told of the connection, or that there is none, perhaps within this call.
    ///   - isFreshWanted: Not an idle one, which may have gone stale unnoticed.
    package func acquire(for receiver: any ResponseReceiver, isFreshWanted: Bool = false) {
        if !isFreshWanted {
            let now = NIODeadline.now()
            while let connection = self.idle.popLast() {
                if connection.isFresh(at: now) {
                    connection.lease(to: receiver)
                    receiver.connectionReady(connection)
                    return
                }
                connection.close()
            }
        }
        guard self.waiting.count < self.limits.waiting else {
            receiver.connectionFailed(.exhausted)
            return
        }
        self.waiting.append(receiver)
        self.connectIfWanted()
    }

    /// Takes back the place of a receiver that waits no longer.
    package func forget(_ receiver: any ResponseReceiver) {
        self.waiting.removeAll { $0 === receiver }
    }

    /// Closes what is idle, and from now on each connection that nobody waits for.
    ///
    /// Exchanges that have the pool still come to their end, also those that wait.
    package func close() {
        self.isClosed = true
        self.sweepTimer.invalidate()
        let idle = self.idle
        self.idle = []
        for connection in idle { connection.close() }
    }

    func release(_ connection: HTTP1ClientConnection) {
        if let receiver = self.waiting.popFirst() {
            connection.lease(to: receiver)
            receiver.connectionReady(connection)
        } else if self.isClosed {
            connection.close()
        } else {
            if self.idle.isEmpty { self.sweepTimer.set(.now() + self.limits.idle) }
            self.idle.append(connection)
        }
    }

    func connectionClosed(_ connection: HTTP1ClientConnection) {
        self.open -= 1
        self.idle.removeAll { $0 === connection }
        self.connectIfWanted()
    }

    /// Opens a connection if more exchanges wait than are being opened, and there may be one more.
    private func connectIfWanted() {
        guard self.connecting < self.waiting.count else { return }
        guard self.open + self.connecting < self.limits.connections else {
            // Who waits although one is idle wants a new one: the oldest makes room for it, and
            // comes back here when it has closed.
            if !self.idle.isEmpty { self.idle.removeFirst().close() }
            return
        }
        self.connecting += 1
        let connection = HTTP1ClientConnection(
            loop: self.connector.loop, limits: self.httpLimits, pool: self,
            awaitsHandshake: self.connector.tls != nil)
        self.connector.connect(connection) { error in
            connection.openingFailed(.unreachable(self.connector.address, error))
        }
    }

    func openingEnded(_ result: Result<HTTP1ClientConnection, StreamError>) {
        self.connecting -= 1
        switch result {
        case .success(let connection):
            self.open += 1
            self.opened += 1
            self.release(connection)
        case .failure(let error):
            self.failures += 1
            // One waits less; the others wait for the attempts still under way, or for nothing.
            let failed = self.connecting == 0 && self.open == 0 ? self.waiting.count : 1
            for _ in 0..<failed {
                self.waiting.popFirst()?.connectionFailed(error)
            }
        }
    }
}

extension ConnectionPool: DeadlineOwner {
    /// Closes what has been idle too long.
    package func deadlinePassed(_ timer: DeadlineTimer, now: NIODeadline) {
        let old = self.idle.prefix { now - $0.idleSince >= self.limits.idle }
        self.idle.removeFirst(old.count)
        for connection in old { connection.close() }
        if let oldest = self.idle.first { timer.set(oldest.idleSince + self.limits.idle) }
    }
}

extension NIODeadline {
    /// When the peer's certificate runs out: nothing new is sent on its connection from then on.
    ///
    /// A year at the most, since some have no end that could be counted in nanoseconds; for ever without
    /// a certificate.
    package static func ofCertificate(_ session: TLSSessionInfo?) -> NIODeadline {
        guard let peer = session?.peer else { return .distantFuture }
        let left = max(0, peer.notAfter - Int64(time(nil)))
        return .now() + .seconds(min(left, 365 * 86_400))
    }
}
