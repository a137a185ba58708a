internal import HTTPTransport
internal import NIOCore
internal import TLS

/// Connects once before a run, so that what will never work is said in one sentence instead of in
/// thousands of errors, and to learn which version of HTTP the server speaks.
final class Preflight: ResponseReceiver, ConnectionObserver {
    private let plan: LoadPlan
    private var promise: EventLoopPromise<TLSSessionInfo?>?
    private var pool: ConnectionPool?
    private var session: TLSSessionInfo?

    private init(_ plan: LoadPlan, promise: EventLoopPromise<TLSSessionInfo?>) {
        self.plan = plan
        self.promise = promise
    }

    /// What TLS agrees on with the server; nil without TLS.
    ///
    /// - Throws: ``LoadError``: nothing listens, or TLS does not come about.
    static func check(_ plan: LoadPlan, on loop: any EventLoop) async throws -> TLSSessionInfo? {
        let promise = loop.makePromise(of: TLSSessionInfo?.self)
        loop.execute {
            let preflight = Preflight(plan, promise: promise)
            do throws(TLSError) {
                try preflight.start(on: loop)
            } catch {
                preflight.end(.failure(.environment("\(error)")))
            }
        }
        return try await promise.futureResult.get()
    }

    private func start(on eventLoop: any EventLoop) throws(TLSError) {
        let resources = try TLSWorkerResources()
        let loop = LoopContext(eventLoop: eventLoop, tls: resources)
        var context: TLSClientContext?
        if self.plan.target.isEncrypted {
            let alpn: [String] =
                switch self.plan.http {
                case .auto: ["h2", "http/1.1"]
                case .http1: ["http/1.1"]
                case .http2: ["h2"]
                }
            context = try TLSClientContext(
                self.plan.tls.configuration(
                    of: self.plan.target, alpn: alpn, timeout: self.plan.timeout),
                resources: resources)
        }
        var limits = PoolLimits()
        limits.connectTimeout = min(self.plan.timeout, .seconds(10))
        let pool = ConnectionPool(
            loop: loop, address: self.plan.target.address, tls: context, httpLimits: .response,
            limits: limits, observer: self)
        self.pool = pool
        pool.acquire(for: self)
    }

    private func end(_ result: Result<TLSSessionInfo?, LoadError>) {
        self.promise.take()?.completeWith(result.mapError { $0 as any Error })
        self.pool.take()?.close()
    }

    // MARK: - What the connection tells

    func connectionMade(after time: TimeAmount) {}

    func handshakeCompleted(_ session: TLSSessionInfo) { self.session = session }

    func connectionFailed(_ error: any Error) {
        let text = ConnectionFailure.text(error)
        guard error is TLSError else {
            let place = self.plan.target.place
            return self.end(.failure(.environment("no connection to \(place): \(text)")))
        }
        self.end(.failure(.refused("no TLS with \(self.plan.target.place): \(text)")))
    }

    func connectionReady(_ stream: any ClientStream) {
        stream.cancel()
        let isHTTP2 = self.session?.alpn == "h2"
        guard self.plan.http != .http2 || isHTTP2 || !self.plan.target.isEncrypted else {
            return self.end(.failure(.refused("\(self.plan.target.place) does not speak HTTP/2")))
        }
        self.end(.success(self.session))
    }

    // Said by the observer's method already, and better.
    func connectionFailed(_ error: StreamError) {
        self.end(.failure(.environment("no connection to \(self.plan.target.place): \(error)")))
    }

    // No request is sent, so none of these is called.
    func receiveResponseHead(_ head: MessageHead) {}
    func receiveResponseBody(_ bytes: ByteBuffer) {}
    func receiveResponseEnd(trailers: MessageHead?) {}
    func responseReadComplete() {}
    func responseFailed(_ error: StreamError) {}
    func requestWritabilityChanged(isWritable: Bool) {}
}
