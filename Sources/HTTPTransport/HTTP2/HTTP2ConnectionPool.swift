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
    private var waiting = CircularBuffer<Waiting>()
    private var isClosed = false
    private var isServing = false

    private struct Waiting {
        let receiver: any ResponseReceiver
        /// Whether only a connection that is still to be opened will do.
        let isFreshWanted: Bool
    }

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
        guard self.waiting.count < self.limits.waiting else {
            receiver.connectionFailed(.exhausted)
            return
        }
        let mayOpen = self.open + self.connecting < self.limits.connections
        self.waiting.append(
            Waiting(receiver: receiver, isFreshWanted: isFreshWanted && mayOpen))
        self.connectIfWanted()
    }

    /// Takes back the place of a receiver that waits no longer.
    package func forget(_ receiver: any ResponseReceiver) {
        self.waiting.removeAll { $0.receiver === receiver }
    }

    /// Lets connections end with their streams.
    package func close() {
        self.isClosed = true
        for connection in self.connections { connection.retire() }
        self.connectIfWanted()
    }

    /// A connection has room again, perhaps.
    func streamReleased(_ connection: HTTP2ClientConnection) {
        guard !self.waiting.isEmpty, !self.isServing else { return }
        self.serve(connection, isNew: false)
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
            self.serve(connection, isNew: true)
            if self.isClosed { connection.retire() }
            self.connectIfWanted()
        case .failure(let error):
            self.failures += 1
            // Who waits, waits for this one; but for those whom an open connection will serve.
            let failed = self.connecting == 0 && self.open == 0 ? self.waiting.count : 1
            for _ in 0..<failed { self.waiting.popFirst()?.receiver.connectionFailed(error) }
            self.connectIfWanted()
        }
    }

    private func serve(_ connection: HTTP2ClientConnection, isNew: Bool) {
        self.isServing = true
        while connection.hasRoom, let next = self.waiting.first, isNew || !next.isFreshWanted {
            self.waiting.removeFirst()
            connection.lease(to: next.receiver)
        }
        self.isServing = false
    }

    /// Opens a connection if exchanges wait and none is being opened that will have room for them.
    private func connectIfWanted() {
        guard self.waiting.count > self.connecting * Self.streamsExpected,
            self.open + self.connecting < self.limits.connections
        else { return }
        let connection = HTTP2ClientConnection(
            loop: self.connector.loop, limits: self.httpLimits, pool: self,
            isEncrypted: self.connector.tls != nil)
        self.connecting += 1
        self.connector.connect(connection) { error in
            connection.openingFailed(.unreachable("\(error)"))
        }
    }

    /// 100 streams that a new connection will take, most likely.
    private static let streamsExpected = 100
}
