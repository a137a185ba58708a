internal import Hummingbird

/// One thing that can be asked of a control server.
package struct ControlRoute: Sendable {
    /// What is done with what the path names.
    package enum Method: String, Sendable {
        case get = "GET"
        case put = "PUT"
        case post = "POST"
        case patch = "PATCH"
        case delete = "DELETE"
    }

    /// The method.
    package let method: Method
    /// The path, which begins with `/`; a segment `:name` stands for any one segment.
    package let path: String
    /// Most bytes of a body; nil for the server's limit.
    package let bodyBytes: Int?
    /// Answers one request.
    package let answer: @Sendable (ControlRequest) async throws -> ControlAnswer

    /// A route that `answer` serves.
    package init(
        _ method: Method, _ path: String, bodyBytes: Int? = nil,
        answer: @escaping @Sendable (ControlRequest) async throws -> ControlAnswer
    ) {
        self.method = method
        self.path = path
        self.bodyBytes = bodyBytes
        self.answer = answer
    }
}

/// A request, its body complete.
package struct ControlRequest: Sendable {
    /// The path as it came, without the query.
    package let path: String
    /// What stands for the `:name` segments of the route, by name, as it came.
    package let parameters: [String: String]
    /// The query, decoded, by name.
    package let query: [String: String]
    /// A name that stands in the query more than once, where there is one.
    package let repeatedName: String?
    /// Who asks; nil on a Unix socket and where no certificate is asked for.
    package let peer: ControlPeer?
    /// The client's IP address; nil on a Unix socket.
    package let address: String?
    /// The body.
    package let body: [UInt8]
    private let fields: HTTPFields

    init(
        _ request: Request, parameters: Parameters, peer: ControlPeer?, address: String?,
        body: ByteBuffer
    ) {
        self.address = address
        self.path = request.uri.path
        self.parameters = Dictionary(
            parameters.map { (String($0.key), String($0.value)) }, uniquingKeysWith: { $1 })
        let query = request.uri.queryParameters.map { (String($0.key), String($0.value)) }
        self.query = Dictionary(query, uniquingKeysWith: { $1 })
        var names: Set<String> = []
        self.repeatedName = query.first { !names.insert($0.0).inserted }?.0
        self.peer = peer
        self.body = Array(body.readableBytesView)
        self.fields = request.headers
    }

    /// The value of the field `name`; nil if there is none.
    package func field(_ name: String) -> String? {
        self.fields.first { $0.name.canonicalName == name.lowercased() }?.value
    }
}

/// What is answered.
package struct ControlAnswer: Sendable {
    /// The status.
    package var status: Int
    /// The value of Content-Type.
    package var contentType: String
    /// Other fields, by name.
    package var fields: [String: String] = [:]
    /// The body.
    package var body: Body

    /// A body.
    package enum Body: Sendable {
        /// All of it.
        case bytes([UInt8])
        /// Piece by piece, each of which goes out at once, until the stream ends; the stream is let
        /// go when the client is gone or does not read.
        case stream(AsyncStream<[UInt8]>)
    }

    /// An answer with these parts.
    package init(status: Int, contentType: String, body: Body) {
        self.status = status
        self.contentType = contentType
        self.body = body
    }

    /// An answer with a text.
    package init(status: Int, contentType: String, text: String) {
        self.init(status: status, contentType: contentType, body: .bytes(Array(text.utf8)))
    }
}
