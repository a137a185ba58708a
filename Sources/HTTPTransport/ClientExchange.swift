internal import NIOCore

/// One question of an ``HTTPClient`` on its way: sends it, and tells of the answer.
///
/// Loop-bound. Tells of the end exactly once, and of nothing after it.
final class ClientExchange: ResponseReceiver {
    /// What comes of a question, in this order.
    enum Event {
        /// The answer begins; without its body.
        case head(HTTPFetch.Answer)
        /// A piece of its body.
        case body(ByteBuffer)
        /// It is complete; or it will not be.
        case end(StreamError?)
    }

    private let request: HTTPClient.Request
    private let pool: ConnectionPool
    private var tell: ((Event) -> Void)?
    private var stream: (any ClientStream)?
    private var deadline: Scheduled<Void>?
    private let loop: any EventLoop

    init(
        _ request: HTTPClient.Request, pool: ConnectionPool, on loop: any EventLoop,
        tell: @escaping (Event) -> Void
    ) {
        self.request = request
        self.pool = pool
        self.loop = loop
        self.tell = tell
    }

    /// Asks; gives up after `timeout`.
    func start(timeout: TimeAmount) {
        self.rearm(timeout)
        self.pool.acquire(for: self)
    }

    /// Gives the peer so long from now on.
    func rearm(_ timeout: TimeAmount) {
        self.deadline?.cancel()
        guard self.tell != nil else { return }
        self.deadline = self.loop.assumeIsolated().scheduleTask(in: timeout) { [weak self] in
            self?.giveUp(.tooSlow)
        }
    }

    /// Ends the exchange, and the connection with it.
    func giveUp(_ error: StreamError) {
        guard self.tell != nil else { return }
        if let stream {
            stream.cancel()
        } else {
            self.pool.forget(self)
        }
        self.end(error)
    }

    private func end(_ error: StreamError?) {
        self.deadline?.cancel()
        self.deadline = nil
        self.stream = nil
        self.tell.take()?(.end(error))
    }

    func connectionReady(_ stream: any ClientStream) {
        self.stream = stream
        let head = MessageHead()
        head.method = self.request.method
        do throws(HTTPError) {
            try head.setTarget(Array(self.request.target.utf8).span)
        } catch {
            self.giveUp(.malformed(error))
            return
        }
        for (name, value) in self.request.fields {
            head.append(name: Array(name.utf8).span, value: Array(value.utf8).span)
        }
        if let authorization = self.request.authorization {
            head.appendSecret(
                named: Array("authorization".utf8), valueBytes: authorization.bytes,
                authorization.write)
        }
        let body = ByteBuffer(bytes: self.request.body)
        stream.sendHead(
            head, framing: body.readableBytes == 0 ? .none : .length(body.readableBytes),
            strippedPrefixBytes: 0)
        stream.sendBody(body)
        stream.sendEnd()
        stream.flush()
    }

    func connectionFailed(_ error: StreamError) { self.end(error) }

    func receiveResponseHead(_ head: MessageHead) {
        let fields = head.fields.map { (head.string($0.nameRange), head.string($0.valueRange)) }
        self.tell?(
            .head(
                HTTPFetch.Answer(
                    status: head.status, fields: fields, body: [],
                    session: self.stream?.tlsSession)))
    }

    func receiveResponseBody(_ bytes: ByteBuffer) { self.tell?(.body(bytes)) }

    func receiveResponseEnd(trailers: MessageHead?) { self.end(nil) }

    func responseReadComplete() {}

    func responseFailed(_ error: StreamError) { self.end(error) }

    func requestWritabilityChanged(isWritable: Bool) {}
}
