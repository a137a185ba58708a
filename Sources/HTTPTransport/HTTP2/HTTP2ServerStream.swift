package import NIOCore

/// One stream of a client: a request and the way its answer goes back.
///
/// Used again, with its receiver, for another stream of the connection once it has closed.
package final class HTTP2ServerStream: HTTP2Stream, ServerStream {
    private enum Reading {
        case head
        case body
        case complete
        /// The head was refused: what follows is dropped.
        case refused
    }

    private enum Writing {
        /// No answer begun.
        case head
        case body
        /// The answer has no body; what the receiver sends of one is dropped.
        case bodiless
        case complete
    }

    /// Cleared when the connection is over.
    var connection: HTTP2ServerConnection?
    /// Where the connection keeps this stream among its open ones.
    var place = 0
    /// Whether the receiver has yet to hear that nothing more has arrived for now.
    var isTouched = false
    private var receiver: (any RequestReceiver)?
    private let limits: HTTPLimits
    private var reading = Reading.head
    private var writing = Writing.complete
    private var continuePending = false
    /// What content-length said of the body; nil if nothing.
    private var announcedBytes: Int?
    /// Set once the answer is out and the request is not in.
    private var discarding: DiscardBudget?
    private var pace = Pace()
    private var answerPace = Pace()

    /// HTTP/2.
    package var version: HTTPVersion { .http2 }
    /// Bytes of the current request's body that arrived.
    package private(set) var requestBodyBytes = 0
    /// When the stream was opened.
    package private(set) var requestStart = NIODeadline.now()

    init(
        connection: HTTP2ServerConnection, session: HTTP2Session, limits: HTTPLimits,
        isEncrypted: Bool
    ) {
        self.connection = connection
        self.limits = limits
        super.init(session: session, limits: limits, isEncrypted: isEncrypted)
    }

    func open(_ id: Int32, at now: NIODeadline) {
        self.id = id
        self.requestStart = now
        self.requestBodyBytes = 0
        self.reading = .head
        self.writing = .head
        self.continuePending = false
        self.discarding = nil
        self.pace.restart(at: now, bytes: 0)
        self.answerPace.restart(at: now, bytes: 0)
    }

    /// The stream is gone; the receiver hears of it if it is not done.
    func closed(_ error: StreamError) {
        let isUnfinished =
            switch (self.reading, self.writing) {
            case (.head, _), (_, .complete): false
            default: true
            }
        self.writing = .complete
        self.id = 0
        if isUnfinished { self.receiver?.requestFailed(error) }
    }

    /// The object is not used any more.
    func retire() {
        let receiver = self.receiver.take()
        receiver?.connectionClosed()
        self.connection = nil
    }

    func readComplete() {
        self.isTouched = false
        self.receiver?.requestReadComplete()
    }

    /// Whether its answer has begun or may yet, or is still leaving.
    var isAnswering: Bool { self.id != 0 && !self.hasSentEnd }

    // MARK: - What the session tells

    override func receiveField(
        _ name: Span<UInt8>, _ value: Span<UInt8>, _ facts: HTTP2FieldFacts
    ) -> HTTP2HeadReader.Verdict {
        // Trailers of requests are dropped.
        guard case .head = self.reading else { return self.reader.skip(name, value, facts) }
        return self.reader.receive(name, value, facts, into: self.head, kind: .request)
    }

    override func fieldsEnded(endsStream: Bool) {
        guard case .head = self.reading else {
            // Trailers are the end (RFC 9113 8.1).
            return endsStream ? self.dataEnded() : self.breakOff()
        }
        self.touch()
        do throws(HTTP2HeadReader.Refusal) {
            try self.reader.finishRequest(self.head, endsStream: endsStream)
        } catch {
            self.refuse(error, endsStream: endsStream)
            return
        }
        self.reading = .body
        self.announcedBytes = self.head.contentLength
        self.continuePending = self.head.expectsContinue
        self.makeReceiver().receiveRequestHead(self.head)
        if endsStream { self.dataEnded() }
    }

    override func receiveData(_ bytes: ByteBuffer) {
        let count = bytes.readableBytes
        self.requestBodyBytes += count
        if case .complete = self.writing { return self.discard(count) }
        guard case .body = self.reading else { return self.keepFromWindow(count) }
        if let announcedBytes, self.requestBodyBytes > announcedBytes { return self.breakOff() }
        self.continuePending = false
        let isWithoutBody = self.head.method == .get || self.head.method == .head
        guard !isWithoutBody, self.requestBodyBytes <= self.limits.bodyBytes else {
            self.reading = .refused
            self.keepFromWindow(count)
            // An answer that has begun is cut, by what the client did.
            if self.writing != .head { self.connection?.charge(.brokenStream, for: self) }
            self.receiver?.requestFailed(
                .malformed(isWithoutBody ? .unexpectedBody : .bodyTooLarge))
            return
        }
        self.touch()
        self.receiver?.receiveRequestBody(bytes)
        self.passedOn(count)
    }

    override func dataEnded() {
        switch self.reading {
        case .head, .complete: return
        case .refused: self.reading = .complete
        case .body:
            if let announcedBytes, self.requestBodyBytes != announcedBytes {
                return self.breakOff()
            }
            self.reading = .complete
            self.continuePending = false
            if case .complete = self.writing { return }
            self.touch()
            self.receiver?.receiveRequestEnd()
        }
    }

    /// The request is not what it said it would be (RFC 9113 8.1.1).
    ///
    /// The receiver hears of it when the stream has closed, at the end of the turn.
    private func breakOff() {
        self.reading = .refused
        self.connection?.charge(.brokenStream, for: self)
        self.session.reset(self.id, code: HTTP2ErrorCode.protocolError)
    }

    override func endSent() {
        super.endSent()
        if case .complete = self.reading { return }
        let budget = DiscardBudget(at: .now())
        self.discarding = budget
        if self.pauseReading(false) { self.flush() }
        self.connection?.check(by: budget.due)
    }

    /// Drops what comes of a request whose answer is out, or of a refused one.
    private func discard(_ count: Int) {
        if self.discarding?.drop(count) != false {
            self.passedOn(count)
        } else {
            self.session.reset(self.id, code: HTTP2ErrorCode.none)
        }
    }

    /// Gives what nobody wants of a body back to its window once the answer is out.
    private func keepFromWindow(_ count: Int) {
        _ = self.pauseReading(true)
        self.passedOn(count)
    }

    override func mayContinueSending() {
        self.receiver?.answerWritabilityChanged(isWritable: true)
        self.flush()
    }

    private func refuse(_ refusal: HTTP2HeadReader.Refusal, endsStream: Bool) {
        switch refusal {
        case .malformed:
            self.writing = .complete
            self.reading = .refused
            self.connection?.charge(.brokenStream, for: self)
            self.session.reset(self.id, code: HTTP2ErrorCode.protocolError)
        case .answer(let error):
            self.reading = endsStream ? .complete : .refused
            self.makeReceiver().receiveBadRequest(error, head: self.head)
        }
    }

    private func makeReceiver() -> any RequestReceiver {
        if let receiver { return receiver }
        guard let connection else { preconditionFailure("a stream without its connection") }
        let receiver = connection.makeReceiver(self)
        self.receiver = receiver
        return receiver
    }

    private func touch() {
        guard !self.isTouched else { return }
        self.isTouched = true
        self.connection?.touched.append(self)
    }

    // MARK: - What the receiver calls

    /// Sends the answer's head.
    package func sendHead(_ head: MessageHead, framing: BodyFraming) {
        guard self.id != 0, case .head = self.writing else { return }
        let isBodiless = self.head.method == .head || head.status == 204 || head.status == 304
        var contentLength: Int?
        var hasBody = !isBodiless
        switch framing {
        case .none:
            hasBody = false
            if !isBodiless { contentLength = 0 }
        case .length(let count):
            if count == 0 { hasBody = false }
            contentLength = head.status == 204 || head.status == 304 ? nil : count
        case .chunked, .untilClose: break
        }
        self.writing = hasBody ? .body : .bodiless
        self.session.submitResponse(self, head, contentLength: contentLength, hasBody: hasBody)
    }

    /// Sends a piece of the answer's body.
    package func sendBody(_ bytes: ByteBuffer) {
        guard case .body = self.writing, bytes.readableBytes > 0 else { return }
        self.queue(bytes)
    }

    /// Ends the answer.
    package func sendEnd(trailers: MessageHead?) {
        switch self.writing {
        case .head, .complete: return
        case .body: self.queueEnd(trailers: trailers)
        case .bodiless: break
        }
        self.writing = .complete
    }

    /// Lets everything leave at the end of the turn.
    package func flush() { self.connection?.output.schedule() }

    /// Resets the stream; not one that ends with its head, for nothing of it can be cut any more.
    package func abort() {
        let isOver = self.isPeerDone && self.writing == .bodiless
        self.writing = .complete
        guard self.id != 0 else { return }
        if !isOver { self.session.reset(self.id, code: HTTP2ErrorCode.internalError) }
        self.flush()
    }

    /// Answers 100 if the client waits for it.
    package func sendContinue() {
        guard self.continuePending, self.id != 0, case .head = self.writing else { return }
        self.continuePending = false
        self.session.submitInformational(self, status: 100)
        self.flush()
    }

    /// Stops or goes on giving the client window for the body.
    package func setReading(_ isWanted: Bool) {
        self.pace.restart(at: .now(), bytes: self.requestBodyBytes)
        if self.pauseReading(!isWanted) { self.flush() }
    }

    /// Whether little of the answer waits to leave.
    package var isWritable: Bool { self.hasRoom }

    // MARK: - Time

    /// Whether the client keeps pace with its own request and answer; called every so often.
    func checkPace(at now: NIODeadline, _ timeouts: ServerTimeouts) {
        if var discarding {
            if now < discarding.due || discarding.keepsPace(at: now) {
                self.discarding = discarding
                self.connection?.check(by: discarding.due)
            } else {
                self.session.reset(self.id, code: HTTP2ErrorCode.none)
                self.flush()
            }
            return
        }
        if case .body = self.reading {
            let isWaiting = self.isReadingPaused || self.continuePending
            if isWaiting || now - self.pace.start < timeouts.paceInterval {
                if isWaiting { self.pace.restart(at: now, bytes: self.requestBodyBytes) }
            } else if self.pace.isBelow(
                timeouts.minimumPace, at: now, bytes: self.requestBodyBytes)
            {
                self.reading = .refused
                self.receiver?.requestFailed(.malformed(.timedOut))
                self.flush()
            }
        }
        if self.waitingBytes == 0 {
            self.answerPace.restart(at: now, bytes: self.sentBytes)
        } else if now - self.answerPace.start >= timeouts.stall {
            if self.sentBytes - self.answerPace.bytes >= Self.minimumProgressBytes {
                self.answerPace.restart(at: now, bytes: self.sentBytes)
                return
            }
            if case .complete = self.writing {
                self.session.reset(self.id, code: HTTP2ErrorCode.cancel)
            } else {
                self.receiver?.requestFailed(.tooSlow)
            }
            self.flush()
        }
    }

    /// 1 KiB a stall interval: a reader slower than this holds memory for nothing.
    private static let minimumProgressBytes = 1024
}
