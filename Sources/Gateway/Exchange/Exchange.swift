internal import HTTPTransport
internal import NIOCore
internal import SealedLog

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
        /// The answer is whole; the end of it waits for the log.
        case sealing
        /// Answered by the gateway itself, or over.
        case answered
    }

    let worker: Worker
    let client: ClientConnection
    let connection: any ServerStream
    private let timer: DeadlineTimer
    private var phase = Phase.idle
    private(set) var head: MessageHead?
    private(set) var ids: RequestIDs
    /// Who is behind the trusted proxy that the connection is of; nil if the connection's own client is.
    private(set) var origin: ClientOrigin?
    /// What of the body may have to be sent, perhaps once more; a copy, so that the read buffer is free.
    private var heldBody = ByteBuffer()
    /// Whether all of the body is held, to be repeated where a pooled connection was stale.
    private var holdsBody = false
    var framing = BodyFraming.none
    var strippedPrefixBytes = 0
    private var isRequestComplete = false
    /// How long the model may take from the last byte it was given.
    private(set) var requestTimeout = TimeAmount.zero
    var isAnswerBegun = false
    private var hasRetried = false
    /// Backends that had no connection to give.
    private var tried: [Backend] = []
    /// Whether what is sent to a backend leaves when the present reading is done, head and body.
    private var isChoosing = false
    /// What the log and the metrics will say of this exchange.
    var record = ExchangeRecord()
    var endpoint: Endpoint?
    private(set) var deployment: Deployment?
    /// Set where the request is of gRPC.
    private(set) var grpc: GRPCCall?
    /// What is kept of the exchange for the sealed log; nil if it is not logged.
    var recording: Recording?
    /// What waits of the answer until the log is durable.
    var held: HeldAnswer?
    /// Whether the connection has become, or asks to become, plain bytes both ways.
    var upgrade = Upgrade.none

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
}

// MARK: - The request

extension Exchange: RequestReceiver {
    func receiveRequestHead(_ head: MessageHead) {
        self.begin(head)
        do throws(GatewayError) {
            // An agent has no word in what is between client and model.
            self.grpc = self.worker.snapshot.isAgent ? nil : GRPCCall(head)
            try self.ids.read(head)
            let endpoint = try self.route(head)
            try self.authenticate(head, endpoint)
            try self.admitLogging(endpoint)
            try self.admitBody(head, endpoint)
            try self.grpc?.readTimeout(head, from: self.record.start)
            try self.admitUpgrade(head, endpoint)
            let deployment = try endpoint.deployment(for: head, random: &self.worker.random)
            self.deployment = deployment
            self.requestTimeout = deployment.requestTimeout
            if self.worker.snapshot.isAgent, let given = try AgentHop.timeout(in: head) {
                self.requestTimeout = min(given, deployment.requestTimeout)
            }
            self.holdsBody =
                deployment.configuration.retriesStaleConnections
                || deployment.configuration.version == .http2
            self.beginRecording(head, endpoint, deployment)
            self.prepare(head, deployment)
            try self.choose(deployment)
        } catch {
            self.refuse(error)
        }
    }

    func receiveRequestBody(_ bytes: ByteBuffer) {
        self.record.requestBytes += bytes.readableBytes
        self.recordRequest(bytes)
        if let endpoint, self.record.requestBytes > endpoint.configuration.bodyBytes,
            self.upgrade != .done
        {
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
            if self.isAnswerBegun {
                self.wait(self.worker.snapshot.streamIdleTimeout)
            } else {
                self.wait(self.requestTimeout)
            }
            if !upstream.isWritable { self.connection.setReading(false) }
        case .idle, .refusing, .sealing, .answered:
            break
        }
    }

    func receiveRequestEnd() {
        self.isRequestComplete = true
        self.record.requestEnd = .now()
        self.sealWholeRequest()
        if case .forwarding(let upstream, _) = self.phase { upstream.sendEnd() }
    }

    func requestReadComplete() {
        if case .forwarding(let upstream, _) = self.phase { upstream.flush() }
    }

    func receiveBadRequest(_ error: HTTPError, head: MessageHead?) {
        self.begin(nil)
        // Whoever calls by gRPC is answered so.
        if let head, !self.worker.snapshot.isAgent { self.grpc = GRPCCall(head) }
        self.fail(GatewayError(kind: .badRequest(error), source: .downstream, cause: "\(error)"))
    }

    func requestFailed(_ error: StreamError) {
        let kind: GatewayError.Kind =
            if case .malformed(let error) = error { .badRequest(error) } else { .clientGone }
        self.fail(GatewayError(kind: kind, source: .downstream, cause: "\(error)"))
    }

    func answerWritabilityChanged(isWritable: Bool) {
        // What is held back waits for something else.
        if let held, !held.isRequestDurable { return }
        self.setUpstreamReading(isWritable)
    }

    func setUpstreamReading(_ isWanted: Bool) {
        if case .forwarding(let upstream, _) = self.phase { upstream.setReading(isWanted) }
    }

    func connectionClosed() {
        self.timer.invalidate()
        self.head = nil
        self.worker.forget(self)
    }

    private func begin(_ head: MessageHead?) {
        self.head = head
        // Those of the request before are places in its head.
        self.ids = RequestIDs(random: &self.worker.random)
        self.origin = head.flatMap { self.client.origin(of: $0, in: self.worker.snapshot) }
        self.phase = .answered
        self.endpoint = nil
        self.deployment = nil
        self.grpc = nil
        self.upgrade = .none
        self.recording = nil
        self.held = nil
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
}

// MARK: - The backend

extension Exchange: ResponseReceiver {
    private func choose(_ deployment: Deployment) throws(GatewayError) {
        guard let backend = self.worker.backend(of: deployment) else {
            throw GatewayError(kind: .notReady, source: .upstream, cause: "no backend")
        }
        self.wait(self.requestTimeout)
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
        self.recording?.backend = backend
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
        guard case .forwarding(_, let backend) = self.phase, let endpoint else { return }
        if let deployment, deployment.configuration.leadsToAgent,
            let kind = AgentHop.refusal(in: head)
        {
            self.fail(GatewayError(kind: kind, source: .upstream, cause: "agent"))
            return
        }
        self.record.upstreamStatus = head.status
        if self.grpc != nil {
            guard head.status == 200 else {
                backend.succeeded()
                self.fail(GatewayError(kind: .modelStatus(head.status), source: .upstream))
                return
            }
            self.record.grpcStatus = GRPCCall.status(in: head)
        }
        self.upgrade = head.status == 101 ? .done : .none
        self.dropHeldBody()
        self.record.responseStart = .now()
        let status = Self.mappedStatus(head.status, as: endpoint.configuration.wireCompatibility)
        head.remove(
            self.worker.snapshot.isAgent ? AgentHop.removedFields : Self.removedFromResponses)
        if status != head.status {
            let modelStatus = head.status
            head.append("ms-azureml-model-error-statuscode", atMost: 3) {
                $0.append(decimal: modelStatus)
            }
            head.append("ms-azureml-model-error-reason", "model_error")
            head.status = status
        }
        if !self.worker.snapshot.isAgent { self.appendCommonFields(to: head) }
        self.record.status = status
        self.wait(self.worker.snapshot.streamIdleTimeout)
        // An answer to HEAD says how long the body would be that it has not (RFC 9110, 8.6).
        let framing =
            self.head?.method == .head
            ? head.contentLength.map { BodyFraming.length($0) } ?? .none : head.framing
        self.recordResponse(head)
        if self.holdAnswer(head, framing: framing) { return }
        self.isAnswerBegun = true
        self.connection.sendHead(head, framing: framing)
    }

    func receiveResponseBody(_ bytes: ByteBuffer) {
        self.record.responseBytes += bytes.readableBytes
        self.recordResponse(bytes)
        if let held {
            held.append(bytes)
            self.passHeld()
        } else {
            self.connection.sendBody(bytes)
        }
        self.wait(self.worker.snapshot.streamIdleTimeout)
        if case .forwarding(let upstream, _) = self.phase, !self.connection.isWritable {
            upstream.setReading(false)
        }
    }

    func receiveResponseEnd(trailers: MessageHead?) {
        guard case .forwarding(let upstream, let backend) = self.phase else { return }
        backend.succeeded()
        // An answer that is over before its request: the backend wants no more of it.
        if !self.isRequestComplete { upstream.cancel() }
        if let trailers {
            trailers.remove(
                self.worker.snapshot.isAgent ? AgentHop.removedFields : Self.removedFromResponses)
            if self.grpc != nil { self.record.grpcStatus = GRPCCall.status(in: trailers) }
        }
        backend.inFlight -= 1
        self.end(trailers: trailers)
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

    /// Whether to ask again, once: what was not touched, or went stale and may be repeated.
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
            case let delay = self.worker.refusalDelay(of: key, self.origin ?? self.client.origin),
            delay > .zero
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
        case .sealing:
            // What is wrong with the rest of a request comes too late for its answer.
            if case .badRequest = error.kind { return }
            if case .bodyTooLarge = error.kind { return }
        case .refusing, .answered: break
        }
        self.phase = .answered
        self.dropHeldBody()
        self.record.failure = error
        var canAnswer = !self.isAnswerBegun
        switch error.kind {
        case .clientGone: canAnswer = false
        case .revoked: canAnswer = self.endsWithStatus && self.isAnswerBegun
        // Nothing is waited for any more, nor is the log.
        case .shuttingDown where self.endpoint?.log?.durability == .strict: canAnswer = false
        default: canAnswer = canAnswer || self.endsWithStatus
        }
        // Only the trailers of what has begun wait with it, unless it is the log that fails.
        if !canAnswer || !self.isAnswerBegun || error.kind.isLogFailure { self.dropHeld() }
        let answer = Answer(
            error.kind, as: self.endpoint?.configuration.wireCompatibility ?? .managed)
        guard canAnswer else {
            // What was begun keeps its status in the log, unless it was the client who left.
            let isLeft = answer.status == 499 && self.upgrade != .done
            if !self.isAnswerBegun || isLeft { self.record.status = answer.status }
            // Before the connection closes, which comes back here as a failure of the client's.
            self.finish()
            self.connection.abort()
            return
        }
        if let grpc {
            self.end(grpc, error.kind, answer)
        } else {
            self.send(answer, of: error.kind)
        }
        self.connection.flush()
    }

    /// Sets the timer, which the caller's own deadline may end earlier.
    private func wait(_ time: TimeAmount) {
        let due = NIODeadline.now() + time
        self.timer.set(self.grpc.map { min(due, $0.deadline) } ?? due)
    }

    /// Ends an answer that is whole; where its log is strict, once that is durable.
    func end(trailers: MessageHead?) {
        guard let held else {
            self.phase = .answered
            self.finish()
            self.connection.sendEnd(trailers: trailers)
            return
        }
        self.phase = .sealing
        self.timer.set(.now() + self.worker.snapshot.streamIdleTimeout)
        held.end(trailers: trailers)
        self.passHeld()
    }

    func finish() {
        self.timer.cancel()
        self.endRecording()
        // Given away: what it has would be retained for a copy.
        var record = ExchangeRecord()
        swap(&record, &self.record)
        self.worker.exchangeEnded(
            record, endpoint: self.endpoint, deployment: self.deployment, head: self.head,
            ids: self.ids, client: self.client, origin: self.origin)
        self.phase = .idle
    }
}

extension Exchange: DeadlineOwner {
    func deadlinePassed(_ timer: DeadlineTimer, now: NIODeadline) {
        switch self.phase {
        case .refusing(let error):
            self.fail(error)
        case .connecting, .forwarding:
            let error = self.timeout
            // A client that stalls its own request is no fault of the backend.
            // Nor is a caller who waits for less time than it was given.
            if case .forwarding(let upstream, let backend) = self.phase, error.source == .upstream,
                self.isRequestComplete || !upstream.isWritable,
                self.grpc.map({ $0.deadline > now }) ?? true
            {
                backend.failed()
            }
            self.fail(error)
        case .sealing:
            self.fail(GatewayError(kind: .logUnavailable, source: .internal, cause: "timeout"))
        case .idle, .answered: break
        }
    }
}
