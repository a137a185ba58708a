internal import HTTPTransport
internal import NIOCore

/// Answers the requests of one stream, one after the other, as azureml-inference-server-http does.
///
/// `GET /` → `Healthy`; `/score` by GET, POST and OPTIONS; `/swagger.json`; errors are
/// `{"message": "…"}`.
final class ModelExchange: RequestReceiver {
    private let connection: any ServerStream
    private let answer = MessageHead()
    private var body: [UInt8] = []
    private var head: MessageHead?

    init(connection: any ServerStream) {
        self.connection = connection
    }

    func receiveRequestHead(_ head: MessageHead) {
        self.head = head
        self.body.removeAll(keepingCapacity: true)
        self.connection.sendContinue()
    }

    func receiveRequestBody(_ bytes: ByteBuffer) {
        self.body.append(contentsOf: bytes.readableBytesView)
    }

    func receiveRequestEnd() {
        guard let head else { return }
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

    func receiveBadRequest(_ error: HTTPError) {
        self.send(error.status, "application/json", #"{"message": "Bad Request"}"#)
    }

    func requestFailed(_ error: StreamError) {
        guard case .malformed(let error) = error else { return }
        self.receiveBadRequest(error)
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

    private static let openAPI = #"""
        {"openapi": "3.0.3", "info": {"title": "iris", "version": "1"}, "paths": {"/score": {"post": {"requestBody": {"required": true, "content": {"application/json": {"schema": {"type": "object", "required": ["input_data"], "properties": {"input_data": {"type": "array", "items": {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}}}}}}}, "responses": {"200": {"description": "The species of each row", "content": {"application/json": {"schema": {"type": "array", "items": {"type": "string"}}}}}}}}}}
        """#
}
