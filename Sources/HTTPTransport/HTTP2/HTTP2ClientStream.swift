package import NIOCore
package import TLS

/// One stream to a backend: a request and its response.
///
/// Used again for another request of the connection once it has closed.
package final class HTTP2ClientStream: HTTP2Stream, ClientStream {
    private enum Reading {
        case head
        case body
        case complete
        /// The exchange gave up: what still comes is dropped.
        case abandoned
    }

    private enum Writing {
        case head
        case body
        case complete
    }

    /// Cleared when the connection is over.
    var connection: HTTP2ClientConnection?
    /// Where the connection keeps this stream among those in use.
    var place = 0
    /// Whether the receiver has yet to hear that nothing more has arrived for now.
    var isTouched = false
    private var receiver: (any ResponseReceiver)?
    private var reading = Reading.head
    private var writing = Writing.complete
    private var requestMethod = HTTPMethod.get
    private var trailerHead: MessageHead?
    private var isMalformed = false
    private var hasResponseBytes = false
    private var isConnectionUsed = false
    /// Whether the connection is over, and not for what the backend sent.
    private var hasLostConnection = false
    private let limits: HTTPLimits
    private var receivedBytes = 0
    /// What content-length said of a body that may be there; nil if nothing.
    private var announcedBytes: Int?

    init(connection: HTTP2ClientConnection, session: HTTP2Session, limits: HTTPLimits) {
        self.connection = connection
        self.limits = limits
        super.init(session: session, limits: limits, isEncrypted: true)
    }

    /// Gives the stream to one exchange.
    ///
    /// `isConnectionUsed` says whether the backend has answered another one.
    func lease(to receiver: any ResponseReceiver, isConnectionUsed: Bool) {
        self.receiver = receiver
        self.reading = .head
        self.writing = .head
        self.isMalformed = false
        self.hasResponseBytes = false
        self.isConnectionUsed = isConnectionUsed
        self.hasLostConnection = false
        self.receivedBytes = 0
        self.announcedBytes = nil
    }

    /// The stream is gone; the receiver hears of it if it still waits for something.
    func closed(_ error: StreamError) {
        self.id = 0
        self.writing = .complete
        self.reading = .complete
        let receiver = self.receiver.take()
        receiver?.responseFailed(self.isMalformed ? .malformed(.malformedField) : error)
    }

    /// The connection is gone; `isBroken` where the backend broke HTTP/2.
    func connectionEnded(_ error: StreamError, isBroken: Bool) {
        self.connection = nil
        self.hasLostConnection = !isBroken
        self.closed(error)
    }

    func readComplete() {
        self.isTouched = false
        self.receiver?.responseReadComplete()
    }

    // MARK: - What the session tells

    override func beginFields() {
        super.beginFields()
        self.hasResponseBytes = true
        switch self.reading {
        case .abandoned: break
        case .head: self.head.reset()
        case .body, .complete:
            let trailers = self.trailerHead ?? MessageHead()
            trailers.reset()
            self.trailerHead = trailers
        }
    }

    override func receiveField(
        _ name: Span<UInt8>, _ value: Span<UInt8>, _ facts: HTTP2FieldFacts
    ) -> HTTP2HeadReader.Verdict {
        switch self.reading {
        case .abandoned: return self.reader.skip(name, value, facts)
        case .head:
            return self.checked(
                self.reader.receive(name, value, facts, into: self.head, kind: .response))
        case .body, .complete: break
        }
        guard let trailerHead else { return .malformed }
        return self.checked(
            self.reader.receive(name, value, facts, into: trailerHead, kind: .responseTrailers))
    }

    override func fieldsEnded(endsStream: Bool) {
        if case .abandoned = self.reading { return }
        guard case .head = self.reading else {
            // Trailers are the end (RFC 9113 8.1).
            guard endsStream, self.reader.isWithinLimits else { return self.refuse() }
            return self.end(trailers: self.trailerHead)
        }
        do throws(HTTP2HeadReader.Refusal) {
            try self.reader.finishResponse(
                self.head, endsStream: endsStream, requestMethod: self.requestMethod)
        } catch {
            self.refuse()
            return
        }
        // 1xx answers are between us and the backend (RFC 9110 15.2).
        if self.head.status < 200 { return }
        self.reading = .body
        self.announcedBytes = self.head.framing == .none ? nil : self.head.contentLength
        self.touch()
        let receiver = self.receiver
        receiver?.receiveResponseHead(self.head)
        if endsStream, receiver != nil, self.receiver === receiver { self.end(trailers: nil) }
    }

    override func receiveData(_ bytes: ByteBuffer) {
        if case .head = self.reading { return self.refuse() }
        guard case .body = self.reading, let receiver else { return }
        self.receivedBytes += bytes.readableBytes
        guard self.head.framing != .none, self.receivedBytes <= self.announcedBytes ?? .max else {
            return self.refuse()
        }
        self.touch()
        receiver.receiveResponseBody(bytes)
        self.passedOn(bytes.readableBytes)
    }

    override func dataEnded() { self.end(trailers: nil) }

    override func mayContinueSending() {
        self.receiver?.requestWritabilityChanged(isWritable: true)
        self.flush()
    }

    private func end(trailers: MessageHead?) {
        if case .abandoned = self.reading { return }
        guard case .body = self.reading,
            self.receivedBytes == self.announcedBytes ?? self.receivedBytes
        else { return self.refuse() }
        self.reading = .complete
        let id = self.id
        // Taken first: what it cancels now is only the rest of its request, which is done below.
        let receiver = self.receiver.take()
        receiver?.receiveResponseEnd(trailers: trailers)
        receiver?.responseReadComplete()
        // An answer that is over before its request: the backend wants no more of it.
        guard self.id == id, id != 0, !self.hasSentEnd, self.isStillSending else { return }
        self.session.reset(id, code: HTTP2ErrorCode.cancel)
        self.flush()
    }

    private var isStillSending: Bool {
        if case .complete = self.writing { return self.waitingBytes > 0 }
        return true
    }

    private func checked(_ verdict: HTTP2HeadReader.Verdict) -> HTTP2HeadReader.Verdict {
        if case .taken = verdict { return verdict }
        self.isMalformed = true
        self.connection?.distrust()
        return verdict
    }

    /// What came is not HTTP: nothing more of this connection is trusted.
    private func refuse() {
        self.isMalformed = true
        self.reading = .abandoned
        self.connection?.distrust()
        guard self.id != 0 else { return }
        self.session.reset(self.id, code: HTTP2ErrorCode.protocolError)
        self.flush()
    }

    private func touch() {
        guard !self.isTouched else { return }
        self.isTouched = true
        self.connection?.touched.append(self)
    }

    // MARK: - What the receiver calls

    /// Opens the stream with the request's head.
    package func sendHead(_ head: MessageHead, framing: BodyFraming, strippedPrefixBytes: Int) {
        guard case .head = self.writing, let connection else { return }
        self.requestMethod = head.method
        var contentLength: Int?
        var hasBody = true
        switch framing {
        case .none, .untilClose:
            hasBody = false
            // Absent it would say nothing where a body is usual (RFC 9110 8.6).
            if head.contentLength == 0 { contentLength = 0 }
        case .length(let count): contentLength = count
        case .chunked: break
        }
        self.writing = hasBody ? .body : .complete
        self.id = self.session.submitRequest(
            self, head, isEncrypted: connection.isEncrypted, contentLength: contentLength,
            strippedPrefixBytes: strippedPrefixBytes, hasBody: hasBody)
    }

    /// Sends a piece of the request's body.
    package func sendBody(_ bytes: ByteBuffer) {
        guard case .body = self.writing, bytes.readableBytes > 0 else { return }
        self.queue(bytes)
    }

    /// Ends the request.
    package func sendEnd() {
        guard case .body = self.writing else { return }
        self.writing = .complete
        self.queueEnd(trailers: nil)
    }

    /// Lets everything leave at the end of the turn.
    package func flush() { self.connection?.output.schedule() }

    /// Gives up the exchange: the backend is told with RST_STREAM at the end of the turn.
    package func cancel() {
        guard self.receiver != nil else { return }
        self.receiver = nil
        self.writing = .complete
        self.reading = .abandoned
        // The session knows the object until the stream has closed: only then is it free for another
        // exchange.
        guard self.id != 0 else {
            self.connection?.release(self)
            return
        }
        self.session.reset(self.id, code: HTTP2ErrorCode.cancel)
        self.flush()
    }

    /// Stops or goes on giving the backend window for this response.
    package func setReading(_ isWanted: Bool) {
        if self.pauseReading(!isWanted) { self.flush() }
    }

    /// Whether little of the request waits to leave.
    package var isWritable: Bool { self.hasRoom }

    /// Whether the connection was used before, and ended before anything of this response came.
    package var mayBeStale: Bool {
        self.isConnectionUsed && self.hasLostConnection && !self.hasResponseBytes
    }

    /// What TLS agreed on.
    package var tlsSession: TLSSessionInfo? { self.connection?.tlsSession }
}
