internal import NIOCore
package import TLS

/// The HTTP/2 connections of one loop to one backend: one, as long as it takes all streams.
///
/// Loop-bound. All exchanges of a turn share that connection's one write. Another is opened only when
/// the backend's limit of streams is reached, and when an exchange asks for a fresh one.
package final class HTTP2ConnectionPool: StreamPool {
    private let connector: BackendConnector
    private let httpLimits: HTTPLimits
    let limits: PoolLimits
    private var connections: [HTTP2ClientConnection] = []
    /// Those whom any connection will do.
    private var waiting = CircularBuffer<any ResponseReceiver>()
    /// Those for whom only a connection that is still to be opened will do.
    private var waitingForFresh = CircularBuffer<any ResponseReceiver>()
    private var isClosed = false
    private var isServing = false
    /// How many streams a new connection will take, as far as is known.
    ///
    /// What the backend said last, on any of them; before it said anything, the least it should allow
    /// (RFC 9113 6.5.2).
    private(set) var streamLimit = 100

    /// Connections open, in use or idle.
    package var open: Int { self.connections.count }
    /// Connections being opened.
    package private(set) var connecting = 0
    /// Connections opened so far.
    package private(set) var opened = 0
    /// Connections that could not be opened so far.
    package private(set) var failures = 0
    /// Connections open without a stream in use.
    package var idleConnections: Int { self.connections.count { $0.activeStreams == 0 } }

    /// A pool without connections yet.
    ///
    /// - Parameters:
    ///   - loop: The loop it belongs to.
    ///   - address: Where the backend listens.
    ///   - tls: Must offer ALPN `h2`; nil for a Unix socket or a backend on loopback, which then must
    ///     speak HTTP/2 from the first byte (RFC 9113 3.3).
    ///   - httpLimits: What a response may bring.
    ///   - limits: How many connections and waiting exchanges there may be.
    ///   - observer: Told how connections come about.
    package init(
        loop: LoopContext, address: ConnectionPool.Address, tls: TLSClientContext?,
        httpLimits: HTTPLimits, limits: PoolLimits = PoolLimits(),
        observer: (any ConnectionObserver)? = nil
    ) {
        self.connector = BackendConnector(
            loop: loop, address: address, tls: tls, timeout: limits.connectTimeout,
            observer: observer)
        self.httpLimits = httpLimits
        self.limits = limits
    }

    /// Gives `receiver` a stream: at once if a connection has room, otherwise when one has.
    package func acquire(for receiver: any ResponseReceiver, isFreshWanted: Bool = false) {
        if !isFreshWanted, self.waiting.isEmpty,
            let connection = self.connections.first(where: \.hasRoom)
        {
            connection.lease(to: receiver)
            return
        }
        guard self.waiting.count + self.waitingForFresh.count < self.limits.waiting else {
            receiver.connectionFailed(.exhausted)
            return
        }
        if isFreshWanted, self.open + self.connecting < self.limits.connections {
            self.waitingForFresh.append(receiver)
        } else {
            self.waiting.append(receiver)
        }
        self.connectIfWanted()
    }

    /// Takes back the place of a receiver that waits no longer.
    package func forget(_ receiver: any ResponseReceiver) {
        self.waiting.removeAll { $0 === receiver }
        self.waitingForFresh.removeAll { $0 === receiver }
    }

    /// Lets connections end with their streams.
    package func close() {
        self.isClosed = true
        for connection in self.connections { connection.retire() }
        self.connectIfWanted()
    }

    /// A connection has room again, perhaps: gives streams to those who wait, while there are any.
    func streamReleased() {
        guard !self.isServing else { return }
        self.isServing = true
        while let next = self.waiting.first,
            let connection = self.connections.first(where: \.hasRoom)
        {
            self.waiting.removeFirst()
            connection.lease(to: next)
        }
        self.isServing = false
    }

    /// The backend said how many streams it takes at once on a connection.
    func limitChanged(_ connection: HTTP2ClientConnection, to limit: Int) {
        self.streamLimit = limit
        if connection.requests == 0 { self.serveFresh(connection) }
        self.streamReleased()
        self.connectIfWanted()
    }

    func connectionClosed(_ connection: HTTP2ClientConnection) {
        self.connections.removeAll { $0 === connection }
        self.connectIfWanted()
    }

    func openingEnded(_ result: Result<HTTP2ClientConnection, StreamError>) {
        self.connecting -= 1
        switch result {
        case .success(let connection):
            self.opened += 1
            self.connections.append(connection)
            self.serveFresh(connection)
            self.streamReleased()
            if self.isClosed { connection.retire() }
        case .failure(let error):
            self.failures += 1
            self.fail(error)
        }
        self.connectIfWanted()
    }

    private func serveFresh(_ connection: HTTP2ClientConnection) {
        while connection.hasRoom, let next = self.waitingForFresh.popFirst() {
            connection.lease(to: next)
        }
    }

    /// Tells those who waited for a connection that could not be opened.
    private func fail(_ error: StreamError) {
        let isLast = self.connecting == 0 && self.open == 0
        // One of them, where others or an open connection may serve the rest.
        for _ in 0..<(isLast ? self.waiting.count + self.waitingForFresh.count : 1) {
            let next = self.waitingForFresh.popFirst() ?? self.waiting.popFirst()
            next?.connectionFailed(error)
        }
    }

    /// Opens a connection if exchanges wait and none is being opened that will have room for them.
    private func connectIfWanted() {
        let wanted = self.waiting.count + self.waitingForFresh.count
        guard wanted > self.connecting * max(self.streamLimit, 1),
            self.open + self.connecting < self.limits.connections,
            !self.connections.contains(where: \.isHeldBack)
        else { return }
        let connection = HTTP2ClientConnection(
            loop: self.connector.loop, limits: self.httpLimits, pool: self,
            isEncrypted: self.connector.tls != nil)
        self.connecting += 1
        self.connector.connect(connection) { error in
            connection.openingFailed(.unreachable(self.connector.address, error))
        }
    }
}
