package import NIOCore
internal import NIOPosix
internal import Synchronization
package import TLS

/// Asks one peer over HTTP/1.1 and keeps the connection from question to question; for commands,
/// probes and key vaults, never on the data path.
///
/// Has a thread of its own, from ``init(_:tls:settings:)`` to ``stop()`` or its last reference.
/// Redirects are not followed.
package final class HTTPClient: Sendable {
    /// One question.
    package struct Request: Sendable {
        /// GET unless set.
        package var method = HTTPMethod.get
        /// Path and query.
        package var target: String
        /// Host, and whatever else is to be sent; framing is added.
        package var fields: [(name: String, value: String)]
        /// The value of `authorization`, written from where the secret lies.
        package var authorization: Authorization?
        /// None if empty.
        package var body: [UInt8] = []

        /// A request of `target`.
        package init(_ target: String, fields: [(name: String, value: String)] = []) {
            self.target = target
            self.fields = fields
        }
    }

    /// A secret that is written into a request and kept nowhere else.
    package struct Authorization: Sendable {
        /// How many bytes there will be.
        package let bytes: Int
        /// Writes as many.
        package let write: @Sendable (inout ByteWriter) -> Void

        /// What `write` writes.
        package init(bytes: Int, write: @escaping @Sendable (inout ByteWriter) -> Void) {
            self.bytes = bytes
            self.write = write
        }
    }

    /// How much of everything.
    package struct Settings: Sendable {
        /// Most bytes of an answer's body; a larger one is refused.
        package var bodyBytes = 16 << 20
        /// How long TCP may take to connect; TLS has its own time.
        package var connectTimeout = TimeAmount.seconds(2)
        /// Connections at a time.
        package var connections = 4

        /// The defaults: enough for a page of metrics.
        package init() {}
    }

    /// The beginning of an answer, and its body as it comes.
    package struct Streamed: Sendable {
        /// Status, fields and what TLS agreed on.
        package let head: HTTPFetch.Answer
        /// Ends with the answer's end; fails where that does not come, or where nobody reads.
        package let body: AsyncThrowingStream<ByteBuffer, any Error>
    }

    private let group: MultiThreadedEventLoopGroup
    private let loop: any EventLoop
    private let pool: NIOLoopBoundBox<ConnectionPool?>
    private let isStopped = Atomic(false)

    /// Connects to nobody yet.
    ///
    /// - Parameters:
    ///   - address: Where the peer listens.
    ///   - tls: How to reach it; nil for a Unix socket or loopback without TLS.
    ///   - settings: How much of everything.
    /// - Throws: What is wrong with the files that `tls` names.
    package init(
        _ address: ConnectionPool.Address, tls: TLSClientConfiguration?,
        settings: Settings = Settings()
    ) throws(TLSError) {
        let resources = try TLSWorkerResources.forSingleUse()
        let context = try tls.map { tls throws(TLSError) in
            try TLSClientContext(tls, resources: resources)
        }
        self.group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        self.loop = self.group.next()
        self.pool = .makeEmptyBox(valueType: ConnectionPool.self, eventLoop: self.loop)
        var limits = HTTPLimits.response
        limits.bodyBytes = settings.bodyBytes
        var poolLimits = PoolLimits()
        poolLimits.connections = settings.connections
        poolLimits.connectTimeout = settings.connectTimeout
        self.loop.execute { [pool, loop, limits, poolLimits] in
            pool.value = ConnectionPool(
                loop: LoopContext(eventLoop: loop, tls: resources), address: address, tls: context,
                httpLimits: limits, limits: poolLimits)
        }
    }

    deinit {
        // Who stopped it has done this already, and its loop takes nothing any more.
        if self.isStopped.load(ordering: .relaxed) { return }
        // The pool keeps itself until it is closed.
        self.loop.execute { [pool] in
            pool.value?.close()
            pool.value = nil
        }
        self.group.shutdownGracefully { _ in }
    }

    /// Asks, and collects the whole answer.
    ///
    /// - Throws: ``StreamError`` if there is none within `timeout`.
    package func answer(
        to request: Request, timeout: TimeAmount
    ) async throws(StreamError) -> HTTPFetch.Answer {
        let promise = self.loop.makePromise(of: Result<HTTPFetch.Answer, StreamError>.self)
        self.loop.execute { [pool, loop] in
            guard let pool = pool.value else { return promise.succeed(.failure(.closed)) }
            var answer: HTTPFetch.Answer?
            var body: [UInt8] = []
            let exchange = ClientExchange(request, pool: pool, on: loop) { event in
                switch event {
                case .head(let head): answer = head
                case .body(let bytes): body.append(contentsOf: bytes.readableBytesView)
                case .end(let error):
                    if let error { return promise.succeed(.failure(error)) }
                    answer?.body = body
                    promise.succeed(answer.map { .success($0) } ?? .failure(.closed))
                }
            }
            exchange.start(timeout: timeout)
        }
        return try await Self.value(of: promise).get()
    }

    /// Asks, and gives the answer's body as it comes.
    ///
    /// - Parameters:
    ///   - request: What is asked for.
    ///   - timeout: Until the answer's head.
    ///   - silence: How long the peer may send nothing after that.
    /// - Returns: The head, and the body; its connection closes when nobody reads it any more.
    /// - Throws: ``StreamError`` if there is no head in time.
    package func stream(
        _ request: Request, timeout: TimeAmount, silence: TimeAmount
    ) async throws(StreamError) -> Streamed {
        let promise = self.loop.makePromise(of: Result<Streamed, StreamError>.self)
        let (body, pieces) = AsyncThrowingStream.makeStream(
            of: ByteBuffer.self, throwing: (any Error).self,
            bufferingPolicy: .bufferingOldest(Self.bufferedPieces))
        self.loop.execute { [pool, loop] in
            guard let pool = pool.value else { return promise.succeed(.failure(.closed)) }
            let bound = NIOLoopBoundBox<ClientExchange?>(nil, eventLoop: loop)
            let exchange = ClientExchange(request, pool: pool, on: loop) { event in
                switch event {
                case .head(let head):
                    bound.value?.rearm(silence)
                    promise.succeed(.success(Streamed(head: head, body: body)))
                case .body(let bytes):
                    bound.value?.rearm(silence)
                    // What is dropped would be missing in the middle.
                    if case .dropped = pieces.yield(bytes) { bound.value?.giveUp(.exhausted) }
                case .end(let error):
                    bound.value = nil
                    promise.succeed(.failure(error ?? .closed))
                    if let error { pieces.finish(throwing: error) } else { pieces.finish() }
                }
            }
            bound.value = exchange
            pieces.onTermination = { _ in
                loop.execute { bound.value?.giveUp(.closed) }
            }
            exchange.start(timeout: timeout)
        }
        return try await Self.value(of: promise).get()
    }

    /// Closes the connections and ends the thread; what is still asked fails.
    package func stop() async {
        self.isStopped.store(true, ordering: .relaxed)
        self.loop.execute { [pool] in
            pool.value?.close()
            pool.value = nil
        }
        try? await self.group.shutdownGracefully()
    }

    /// A promise that never fails, so that errors keep their type.
    private static func value<Value: Sendable>(
        of promise: EventLoopPromise<Result<Value, StreamError>>
    ) async -> Result<Value, StreamError> {
        do {
            return try await promise.futureResult.get()
        } catch {
            return .failure(.closed)
        }
    }

    /// 256 pieces: a reader that is so far behind is not reading.
    private static let bufferedPieces = 256
}
