internal import HTTPTransport
internal import NIOCore

/// Answers the requests of one stream, one after the other, as azureml-inference-server-http does.
///
/// `GET /` → `Healthy`; `/score` by GET, POST and OPTIONS; `/swagger.json`; errors are
/// `{"message": "…"}`. Where asked for, `/v1/chat/completions` and `/v1/completions` answer in streams.
final class ModelExchange: RequestReceiver {
    private let connection: any ServerStream
    private let behaviour: ModelBehaviour
    private let eventLoop: any EventLoop
    /// Counts requests, so that what waits for its time does not answer another one.
    private var use = 0
    /// How long before its time an answer is begun, so that it has left by then: what the quickest of
    /// those before it took to wake up, be made and be written.
    ///
    /// Not their mean: after one that was held up the next would come too early.
    private var lead = TimeAmount.zero
    private let answer = MessageHead()
    private var body: [UInt8] = []
    private var head: MessageHead?

    init(connection: any ServerStream, behaviour: ModelBehaviour, eventLoop: any EventLoop) {
        self.connection = connection
        self.behaviour = behaviour
        self.eventLoop = eventLoop
    }

    func receiveRequestHead(_ head: MessageHead) {
        self.head = head
        self.use += 1
        self.body.removeAll(keepingCapacity: true)
        self.connection.sendContinue()
    }

    func receiveRequestBody(_ bytes: ByteBuffer) {
        self.body.append(contentsOf: bytes.readableBytesView)
    }

    func receiveRequestEnd() {
        let start = self.connection.requestStart
        if self.behaviour.hasTokenStream, let head, case .post = head.method {
            switch head.string(head.pathRange) {
            case "/v1/chat/completions": return self.stream(isChat: true, start: start)
            case "/v1/completions": return self.stream(isChat: false, start: start)
            default: break
            }
        }
        guard self.behaviour.latency > .zero else { return self.answerNow() }
        self.wait(until: start + self.behaviour.latency) { self.answerNow() }
    }

    private func wait(until time: NIODeadline, _ body: @escaping () -> Void) {
        let use = self.use
        let begin = time - self.lead
        self.eventLoop.assumeIsolated().scheduleTask(deadline: begin) {
            guard self.use == use, self.head != nil else { return }
            body()
            let taken = max(.now() - begin, .zero)
            self.lead = min(taken, self.lead + Self.leadStep, Self.longestLead)
        }
    }

    private func stream(isChat: Bool, start: NIODeadline) {
        self.answer.reset()
        self.answer.status = 200
        self.answer.append("content-type", "text/event-stream")
        self.answer.append("cache-control", "no-cache")
        self.connection.sendHead(self.answer, framing: .chunked)
        self.connection.flush()
        self.sendTokens(TokenStream(isChat: isChat, behaviour: self.behaviour, start: start))
    }

    private func sendTokens(_ stream: TokenStream) {
        guard let due = stream.due else {
            self.head = nil
            self.connection.sendEnd()
            return self.connection.flush()
        }
        self.wait(until: due) {
            var stream = stream
            self.connection.sendBody(stream.next(now: .now()))
            self.connection.flush()
            self.sendTokens(stream)
        }
    }

    private func answerNow() {
        guard let head = self.head.take() else { return }
        let path = head.string(head.pathRange)
        switch (path, head.method) {
        case ("/", .get), ("/", .head):
            self.send(200, "text/html; charset=utf-8", "Healthy")
        case ("/score", .options):
            self.send(200, "text/html; charset=utf-8", "")
        case ("/score", .get), ("/score", .head), ("/score", .post):
            self.score()
        case ("/swagger.json", .get), ("/swagger.json", .head):
            self.send(200, "application/json", Self.openAPI)
        case ("/", _), ("/score", _), ("/swagger.json", _):
            self.send(405, "application/json", #"{"message": "Method not allowed"}"#)
        default:
            self.send(404, "application/json", #"{"message": "Not Found"}"#)
        }
    }

    func requestReadComplete() {}

    func receiveBadRequest(_ error: HTTPError, head: MessageHead?) {
        self.send(error.status, "application/json", #"{"message": "Bad Request"}"#)
    }

    func requestFailed(_ error: StreamError) {
        self.head = nil
        guard case .malformed(let error) = error else { return }
        self.receiveBadRequest(error, head: nil)
    }

    func answerWritabilityChanged(isWritable: Bool) {}

    func connectionClosed() {
        self.head = nil
    }

    private func score() {
        guard let rows = ModelRequest.rows(self.body) else {
            self.send(
                400, "application/json",
                #"{"message": "input_data must be rows of 4 numbers, or an object with such data"}"#
            )
            return
        }
        let species = rows.map { "\"\(IrisClassifier.species[IrisClassifier.classify($0)])\"" }
        self.send(200, "application/json", "[\(species.joined(separator: ", "))]")
    }

    private func send(_ status: Int, _ type: StaticString, _ text: String) {
        let isFailure = status >= 500
        self.answer.reset()
        self.answer.status = status
        self.answer.append("content-type", type)
        self.answer.append("x-ms-run-function-failed", isFailure ? "True" : "False")
        self.answer.append("x-ms-server-version", "scoregate-model/1")
        let body = ByteBuffer(string: text)
        self.connection.sendHead(self.answer, framing: .length(body.readableBytes))
        self.connection.sendBody(body)
        self.connection.sendEnd()
        self.connection.flush()
    }

    /// 1 µs: what one answer that took longer says.
    private static let leadStep = TimeAmount.microseconds(1)
    /// Whoever takes longer has too much to do.
    private static let longestLead = TimeAmount.milliseconds(1)

    private static let openAPI = #"""
        {"openapi": "3.0.3", "info": {"title": "iris", "version": "1"}, "paths": {"/score": {"post": {"requestBody": {"required": true, "content": {"application/json": {"schema": {"type": "object", "required": ["input_data"], "properties": {"input_data": {"type": "array", "items": {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}}}}}}}, "responses": {"200": {"description": "The species of each row", "content": {"application/json": {"schema": {"type": "array", "items": {"type": "string"}}}}}}}}}}
        """#
}
