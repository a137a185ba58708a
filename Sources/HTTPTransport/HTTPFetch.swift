package import NIOCore
internal import NIOPosix
package import TLS

/// One request and its whole answer, for commands and probes; never on the data path.
package struct HTTPFetch: Sendable {
    /// Where to ask.
    package var address: ConnectionPool.Address
    /// How to reach it; nil for a Unix socket or loopback without TLS.
    package var tls: TLSClientConfiguration?
    /// GET unless set.
    package var method = HTTPMethod.get
    /// Path and query.
    package var target: String
    /// Host, and whatever else is to be sent; framing is added.
    package var fields: [(name: String, value: String)]
    /// The request's body; none if empty.
    package var body: [UInt8] = []
    /// From the call to the answer's end.
    package var timeout = TimeAmount.seconds(10)

    /// The whole answer.
    package struct Answer: Sendable {
        /// The answer's status.
        package let status: Int
        /// Names in the case they came in.
        package let fields: [(name: String, value: String)]
        /// At most ``HTTPFetch/maximumBodyBytes``.
        package let body: [UInt8]
        /// What TLS agreed on.
        package let session: TLSSessionInfo?

        /// The value of the first field of that name, in any case.
        package func value(of name: String) -> String? {
            self.fields.first { $0.name.lowercased() == name.lowercased() }?.value
        }
    }

    /// A request of `target` at `address`.
    package init(
        _ target: String, at address: ConnectionPool.Address, tls: TLSClientConfiguration? = nil,
        fields: [(name: String, value: String)] = []
    ) {
        self.target = target
        self.address = address
        self.tls = tls
        self.fields = fields
    }

    /// Asks, on a connection of its own.
    ///
    /// - Throws: ``StreamError`` if there is no whole answer in time; ``TLSError`` if `tls` cannot be.
    package func answer() async throws -> Answer {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        do {
            let loop = group.next()
            let promise = loop.makePromise(of: Answer.self)
            let resources = try TLSWorkerResources.forSingleUse()
            let context = try self.tls.map { tls throws(TLSError) in
                try TLSClientContext(tls, resources: resources)
            }
            loop.execute {
                let context2 = LoopContext(eventLoop: loop, tls: resources)
                let pool = ConnectionPool(
                    loop: context2, address: self.address, tls: context, httpLimits: .response)
                let receiver = FetchReceiver(self, promise: promise, pool: pool)
                loop.assumeIsolated().scheduleTask(in: self.timeout) {
                    receiver.connectionFailed(.tooSlow)
                }
                pool.acquire(for: receiver)
            }
            let answer = try await promise.futureResult.get()
            try await group.shutdownGracefully()
            return answer
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }

    /// 16 MiB: enough for a page of metrics.
    static let maximumBodyBytes = 16 << 20
}

/// Collects the answer of one ``HTTPFetch``.
private final class FetchReceiver: ResponseReceiver {
    private let fetch: HTTPFetch
    private var promise: EventLoopPromise<HTTPFetch.Answer>?
    private let pool: ConnectionPool
    private var connection: (any ClientStream)?
    private var status = 0
    private var fields: [(name: String, value: String)] = []
    private var body: [UInt8] = []

    init(_ fetch: HTTPFetch, promise: EventLoopPromise<HTTPFetch.Answer>, pool: ConnectionPool) {
        self.fetch = fetch
        self.promise = promise
        self.pool = pool
    }

    func connectionReady(_ connection: any ClientStream) {
        self.connection = connection
        let head = MessageHead()
        head.method = self.fetch.method
        do throws(HTTPError) {
            try head.setTarget(Array(self.fetch.target.utf8).span)
        } catch {
            self.connectionFailed(.malformed(error))
            return
        }
        for (name, value) in self.fetch.fields {
            head.append(name: Array(name.utf8).span, value: Array(value.utf8).span)
        }
        let body = ByteBuffer(bytes: self.fetch.body)
        connection.sendHead(
            head, framing: body.readableBytes == 0 ? .none : .length(body.readableBytes),
            strippedPrefixBytes: 0)
        connection.sendBody(body)
        connection.sendEnd()
        connection.flush()
    }

    func connectionFailed(_ error: StreamError) {
        self.promise.take()?.fail(error)
        self.pool.close()
    }

    func receiveResponseHead(_ head: MessageHead) {
        self.status = head.status
        self.fields = head.fields.map { (head.string($0.nameRange), head.string($0.valueRange)) }
    }

    func receiveResponseBody(_ bytes: ByteBuffer) {
        guard self.body.count + bytes.readableBytes <= HTTPFetch.maximumBodyBytes else {
            self.connectionFailed(.exhausted)
            return
        }
        self.body.append(contentsOf: bytes.readableBytesView)
    }

    func receiveResponseEnd(trailers: MessageHead?) {
        self.promise.take()?.succeed(
            HTTPFetch.Answer(
                status: self.status, fields: self.fields, body: self.body,
                session: self.connection?.tlsSession))
        // Told by its connection, which is given back, and closed, once this returns.
        self.pool.close()
    }

    func responseReadComplete() {}

    func responseFailed(_ error: StreamError) {
        self.connectionFailed(error)
    }

    func requestWritabilityChanged(isWritable: Bool) {}
}
