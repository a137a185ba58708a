internal import HTTPTransport
internal import NIOCore

/// One request and its answer: the only object that sees both sides.
///
/// Loop-bound; one serves a client's stream, request after request. A request goes straight
/// through: Host → endpoint → authenticate → deployment → forward. Nothing of it reaches a backend
/// before it is let in, and nothing is buffered but what one read brought while a backend
/// connection is being made.
final class Exchange {
    /// How far the request has come.
    private enum Phase {
        case idle
        /// A refusal that is held back, so that guessing keys stays slow.
        case refusing(GatewayError)
        /// Let in; waits for a backend connection.
        case connecting(Backend)
        case forwarding(any ClientStream, Backend)
        /// Answered by the gateway itself, or over.
        case answered
    }

    private let worker: Worker
    private let client: ClientConnection
    private let connection: any ServerStream
    private let timer: DeadlineTimer
    private var phase = Phase.idle
    private var head: MessageHead?
    private var ids: RequestIDs
    /// What of the body may have to be sent, perhaps once more; a copy, so that the read buffer is free.
    private var heldBody = ByteBuffer()
    /// Whether all of the body is held, to be repeated where a pooled connection was stale.
    private var holdsBody = false
    private var framing = BodyFraming.none
    private var strippedPrefixBytes = 0
    private var isRequestComplete = false
    private var isAnswerBegun = false
    private var hasRetried = false
    /// Backends that had no connection to give.
    private var tried: [Backend] = []
    /// Whether what is sent to a backend leaves when the present reading is done, head and body.
    private var isChoosing = false
    /// What the log and the metrics will say of this exchange.
    private(set) var record = ExchangeRecord()
    private var endpoint: Endpoint?
    private var deployment: Deployment?

    init(worker: Worker, client: ClientConnection, connection: any ServerStream) {
        self.worker = worker
        self.client = client
        self.connection = connection
        self.timer = DeadlineTimer(wheel: worker.loop.deadlines)
        self.ids = RequestIDs(random: &worker.random)
        self.timer.bind(to: self)
    }

    /// The endpoint key this exchange was let in by, and for which endpoint, while it lasts.
    var keyInUse: (EndpointKeyID, endpoint: String)? {
        if case .idle = self.phase { return nil }
        guard let key = self.record.key, let endpoint else { return nil }
        return (key, endpoint.configuration.name)
    }

    /// Ends the exchange because its key was revoked.
    func revoke() {
        self.fail(GatewayError(kind: .revoked, source: .internal, cause: "key revoked"))
    }
}

// MARK: - The request

extension Exchange: RequestReceiver {
    func receiveRequestHead(_ head: MessageHead) {
        self.begin(head)
        do throws(GatewayError) {
            self.ids = try RequestIDs(head, random: &self.worker.random)
            let endpoint = try self.route(head)
            try self.authenticate(head, endpoint)
            try self.admitBody(head, endpoint)
            let deployment = try endpoint.deployment(for: head, random: &self.worker.random)
            self.deployment = deployment
            self.holdsBody =
                deployment.configuration.retriesStaleConnections
                || deployment.configuration.version == .http2
            self.prepare(head, endpoint)
            try self.choose(deployment)
        } catch {
            self.refuse(error)
        }
    }

    func receiveRequestBody(_ bytes: ByteBuffer) {
        self.record.requestBytes += bytes.readableBytes
        if let endpoint, self.record.requestBytes > endpoint.configuration.bodyBytes {
            self.fail(GatewayError(kind: .bodyTooLarge, source: .downstream))
            return
        }
        switch self.phase {
        case .connecting:
            self.heldBody.writeImmutableBuffer(bytes)
            self.connection.setReading(false)
        case .forwarding(let upstream, _):
            upstream.sendBody(bytes)
            if self.holdsBody {
                self.heldBody.writeImmutableBuffer(bytes)
                self.trimHeldBody()
            }
            // The model's time begins when it has the request; a slow sender has a pace to keep.
            if let deployment, !self.isAnswerBegun {
                self.timer.set(.now() + deployment.requestTimeout)
            }
            if !upstream.isWritable { self.connection.setReading(false) }
        case .idle, .refusing, .answered:
            break
        }
    }

    func receiveRequestEnd() {
        self.isRequestComplete = true
        self.record.requestEnd = .now()
        if case .forwarding(let upstream, _) = self.phase { upstream.sendEnd() }
    }

    func requestReadComplete() {
        if case .forwarding(let upstream, _) = self.phase { upstream.flush() }
    }

    func receiveBadRequest(_ error: HTTPError) {
        self.begin(nil)
        self.ids = RequestIDs(random: &self.worker.random)
        self.fail(GatewayError(kind: .badRequest(error), source: .downstream, cause: "\(error)"))
    }

    func requestFailed(_ error: StreamError) {
        let kind: GatewayError.Kind =
            if case .malformed(let error) = error { .badRequest(error) } else { .clientGone }
        self.fail(GatewayError(kind: kind, source: .downstream, cause: "\(error)"))
    }

    func answerWritabilityChanged(isWritable: Bool) {
        if case .forwarding(let upstream, _) = self.phase { upstream.setReading(isWritable) }
    }

    func connectionClosed() {
        self.timer.invalidate()
        self.head = nil
        self.worker.forget(self)
    }

    private func begin(_ head: MessageHead?) {
        self.head = head
        self.phase = .answered
        self.endpoint = nil
        self.deployment = nil
        self.isRequestComplete = false
        self.isAnswerBegun = false
        self.hasRetried = false
        self.tried = []
        self.dropHeldBody()
        self.framing = .none
        self.record = ExchangeRecord(start: self.connection.requestStart)
        self.record.version = head?.version ?? self.connection.version
        self.worker.metrics.exchangeBegan()
    }

    private func route(_ head: MessageHead) throws(GatewayError) -> Endpoint {
        switch self.worker.snapshot.router.route(head, serverName: self.client.serverName) {
        case .endpoint(let endpoint, let strippedPrefixBytes):
            self.endpoint = endpoint
            self.strippedPrefixBytes = strippedPrefixBytes
            return endpoint
        case .misdirected:
            throw GatewayError(kind: .misdirected, source: .downstream, cause: "host")
        case .unknownPath(let candidates):
            // Only a caller with a key of this host may learn that the path does not exist.
            for endpoint in candidates {
                if case .some = try? self.authenticate(head, endpoint) {
                    throw GatewayError(kind: .unknownPath, source: .downstream)
                }
            }
            throw GatewayError(kind: .accessDenied(nil), source: .downstream, cause: "unknown path")
        }
    }

    private func authenticate(_ head: MessageHead, _ endpoint: Endpoint) throws(GatewayError) {
        switch endpoint.configuration.authentication {
        case .key:
            self.record.key = try self.worker.authenticate(
                head, endpoint, proven: self.client.provenToken)
        case .mutualTLS:
            guard let identity = self.client.peerIdentity else {
                throw GatewayError(
                    kind: .accessDenied(nil), source: .downstream, cause: "no client certificate")
            }
            self.record.identity = identity
        }
    }

    private func admitBody(_ head: MessageHead, _ endpoint: Endpoint) throws(GatewayError) {
        self.framing = head.framing
        if case .length(let count) = head.framing, count > endpoint.configuration.bodyBytes {
            throw GatewayError(kind: .bodyTooLarge, source: .downstream)
        }
    }

    /// Makes the client's head the one that goes to the backend.
    private func prepare(_ head: MessageHead, _ endpoint: Endpoint) {
        let forwarded = self.client.forwardedFields(of: head, in: self.worker.snapshot)
        head.remove(Self.removedFromRequests)
        head.append(forwarded)
        if case .made = self.ids.requestID {
            self.ids.append(.xRequestID, .made, of: nil, to: head)
        }
    }
}

// MARK: - The backend

extension Exchange: ResponseReceiver {
    private func choose(_ deployment: Deployment) throws(GatewayError) {
        guard let backend = self.worker.backend(of: deployment) else {
            throw GatewayError(kind: .notReady, source: .upstream, cause: "no backend")
        }
        self.timer.set(.now() + deployment.requestTimeout)
        self.isChoosing = true
        self.forward(to: backend, isFreshWanted: false)
        self.isChoosing = false
    }

    private func forward(to backend: Backend, isFreshWanted: Bool) {
        self.phase = .connecting(backend)
        backend.inFlight += 1
        backend.pool.acquire(for: self, isFreshWanted: isFreshWanted)
    }

    func connectionReady(_ upstream: any ClientStream) {
        guard case .connecting(let backend) = self.phase, let head else {
            upstream.cancel()
            return
        }
        self.phase = .forwarding(upstream, backend)
        self.record.upstreamStart = .now()
        upstream.sendHead(
            head, framing: self.framing, strippedPrefixBytes: self.strippedPrefixBytes)
        if self.heldBody.readableBytes > 0 { upstream.sendBody(self.heldBody) }
        self.trimHeldBody()
        if self.isRequestComplete {
            upstream.sendEnd()
        } else {
            self.connection.sendContinue()
        }
        if self.isChoosing { return }
        upstream.flush()
        self.connection.setReading(upstream.isWritable)
    }

    func connectionFailed(_ error: StreamError) {
        guard case .connecting(let backend) = self.phase else { return }
        var kind = GatewayError.Kind.notReady
        // That all its connections are busy is no fault of a backend.
        if case .exhausted = error { kind = .overloaded } else { backend.failed() }
        // Nothing of the request has left: another backend of the deployment may have it.
        self.tried.append(backend)
        if let deployment, let other = self.worker.backend(of: deployment, excluding: self.tried) {
            backend.inFlight -= 1
            self.forward(to: other, isFreshWanted: false)
            return
        }
        self.fail(GatewayError(kind: kind, source: .upstream, cause: "\(error)"))
    }

    func receiveResponseHead(_ head: MessageHead) {
        guard case .forwarding = self.phase, let endpoint else { return }
        self.isAnswerBegun = true
        self.dropHeldBody()
        self.record.upstreamStatus = head.status
        self.record.responseStart = .now()
        let status = Self.mappedStatus(head.status, as: endpoint.configuration.wireCompatibility)
        head.remove(Self.removedFromResponses)
        if status != head.status {
            let modelStatus = head.status
            head.append("ms-azureml-model-error-statuscode", atMost: 3) {
                $0.append(decimal: modelStatus)
            }
            head.append("ms-azureml-model-error-reason", "model_error")
            head.status = status
        }
        self.appendCommonFields(to: head)
        self.record.status = status
        self.timer.set(.now() + self.worker.snapshot.streamIdleTimeout)
        // An answer to HEAD says how long the body would be that it has not (RFC 9110, 8.6).
        let framing =
            self.head?.method == .head
            ? head.contentLength.map { BodyFraming.length($0) } ?? .none : head.framing
        self.connection.sendHead(head, framing: framing)
    }

    func receiveResponseBody(_ bytes: ByteBuffer) {
        self.record.responseBytes += bytes.readableBytes
        self.connection.sendBody(bytes)
        self.timer.set(.now() + self.worker.snapshot.streamIdleTimeout)
        if case .forwarding(let upstream, _) = self.phase, !self.connection.isWritable {
            upstream.setReading(false)
        }
    }

    func receiveResponseEnd(trailers: MessageHead?) {
        guard case .forwarding(let upstream, let backend) = self.phase else { return }
        backend.succeeded()
        // An answer that is over before its request: the backend wants no more of it.
        if !self.isRequestComplete { upstream.cancel() }
        trailers?.remove(Self.removedFromResponses)
        self.end()
        self.connection.sendEnd(trailers: trailers)
    }

    func responseReadComplete() {
        self.connection.flush()
    }

    func responseFailed(_ error: StreamError) {
        guard case .forwarding(let upstream, let backend) = self.phase else { return }
        if self.mayRetry(upstream, after: error) {
            self.hasRetried = true
            backend.inFlight -= 1
            self.forward(to: backend, isFreshWanted: true)
            return
        }
        backend.failed()
        self.fail(GatewayError(kind: .badBackend, source: .upstream, cause: "\(error)"))
    }

    func requestWritabilityChanged(isWritable: Bool) {
        self.connection.setReading(isWritable)
    }

    /// Whether to ask again, once, on a new connection: what the backend says it has not touched, and
    /// what went to a stale one, if it is safe or the deployment allows it.
    private func mayRetry(_ upstream: any ClientStream, after error: StreamError) -> Bool {
        guard !self.hasRetried, !self.isAnswerBegun, let head, let deployment else { return false }
        if case .refused = error { return self.framing == .none || self.holdsBody }
        guard upstream.mayBeStale else { return false }
        return (head.method.isSafe && self.framing == .none)
            || (self.holdsBody && deployment.configuration.retriesStaleConnections)
    }

    /// Lets go of a body that was sent, unless all of it is kept to be sent again.
    private func trimHeldBody() {
        if !self.holdsBody || self.record.requestBytes > Self.maximumHeldBytes {
            self.dropHeldBody()
        }
    }

    private func dropHeldBody() {
        self.holdsBody = false
        guard self.heldBody.writerIndex > 0 else { return }
        self.heldBody.clear()
        if self.heldBody.capacity > Self.keptHeldBytes { self.heldBody = ByteBuffer() }
    }
}

// MARK: - The answer

extension Exchange {
    /// Refuses a request on its head; after many failures from one place, late.
    private func refuse(_ error: GatewayError) {
        if case .accessDenied(let key) = error.kind,
            case let delay = self.worker.refusalDelay(of: key, self.client), delay > .zero
        {
            self.phase = .refusing(error)
            self.timer.set(.now() + delay)
        } else {
            self.fail(error)
        }
    }

    /// Ends the exchange with an answer of ours, or without one where it is too late or in vain.
    func fail(_ error: GatewayError) {
        switch self.phase {
        case .idle: return
        case .connecting(let backend):
            backend.pool.forget(self)
            backend.inFlight -= 1
        case .forwarding(let upstream, let backend):
            upstream.cancel()
            backend.inFlight -= 1
        case .refusing, .answered: break
        }
        self.phase = .answered
        self.dropHeldBody()
        self.record.failure = error
        var canAnswer = !self.isAnswerBegun
        switch error.kind {
        case .clientGone, .revoked: canAnswer = false
        default: break
        }
        let answer = Answer(
            error.kind, as: self.endpoint?.configuration.wireCompatibility ?? .managed)
        guard canAnswer else {
            if !self.isAnswerBegun { self.record.status = answer.status }
            // Before the connection closes, which comes back here as a failure of the client's.
            self.finish()
            self.connection.abort()
            return
        }
        self.record.status = answer.status
        self.send(answer)
        self.finish()
        self.connection.sendEnd()
        self.connection.flush()
    }

    private func send(_ answer: Answer) {
        let head = self.worker.answerHead
        head.reset()
        head.status = answer.status
        head.append("cache-control", "no-store")
        if let reason = answer.reason { head.append("ms-azureml-model-error-reason", reason) }
        if let seconds = answer.retryAfter { head.append("retry-after", seconds) }
        if answer.status == 405 {
            head.append("allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH")
        }
        if answer.status == 401 { head.append("www-authenticate", "Bearer") }
        var body = self.worker.loop.borrowBuffer()
        switch answer.body {
        case .empty:
            break
        case .text(let text):
            head.append("content-type", "text/plain; charset=utf-8")
            body.writeStaticString(text)
        case .json(let text):
            head.append("content-type", "application/json")
            body.writeStaticString(text)
        case .code(let code):
            head.append("content-type", "application/json")
            body.writeStaticString(#"{"error":{"code":""#)
            body.writeStaticString(code)
            body.writeStaticString(#"","request_id":""#)
            body.write(atMost: RequestIDs.maximumCharacters) {
                self.ids.write(self.ids.requestID, of: self.head, to: &$0)
            }
            body.writeStaticString(#""}}"#)
        }
        self.appendCommonFields(to: head)
        self.isAnswerBegun = true
        self.record.responseStart = .now()
        self.record.responseBytes = body.readableBytes
        self.connection.sendHead(head, framing: .length(body.readableBytes))
        self.connection.sendBody(body)
        self.worker.loop.reclaim(body)
    }

    private func appendCommonFields(to head: MessageHead) {
        self.ids.appendAnswered(of: self.head, to: head)
        head.append(self.deployment?.answerFields ?? Self.answerFields)
        if head.index(of: .date) == nil {
            let second = self.worker.unixSecond
            head.append("date", atMost: HTTPDate.byteCount) {
                self.worker.loop.date.append(second: second, to: &$0)
            }
        }
    }

    /// After the backend's answer was passed on whole.
    private func end() {
        if case .forwarding(_, let backend) = self.phase { backend.inFlight -= 1 }
        self.phase = .answered
        self.finish()
    }

    private func finish() {
        self.timer.cancel()
        self.worker.exchangeEnded(
            self.record, endpoint: self.endpoint, deployment: self.deployment, head: self.head,
            ids: self.ids, client: self.client)
        self.phase = .idle
    }
}

extension Exchange: DeadlineOwner {
    func deadlinePassed(_ timer: DeadlineTimer, now: NIODeadline) {
        switch self.phase {
        case .refusing(let error):
            self.fail(error)
        case .connecting, .forwarding:
            // A client that stalls its own request is no fault of the backend.
            if case .forwarding(let upstream, let backend) = self.phase,
                self.isRequestComplete || !upstream.isWritable
            {
                backend.failed()
            }
            self.fail(GatewayError(kind: .timedOut, source: .upstream, cause: "timeout"))
        case .idle, .answered: break
        }
    }
}
