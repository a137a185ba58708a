internal import Hummingbird
internal import HummingbirdCore
internal import NIOCore

/// Reads the body of every request before anything is done with it, also where no route will: in bounded
/// time, and so many bytes at most.
struct BodyLimit: RouterMiddleware {
    let bytes: Int
    let timeout: TimeAmount

    // As Hummingbird, which is built without our upcoming features, declares it.
    @concurrent func handle(
        _ request: Request, context: ControlContext,
        next: @concurrent (Request, ControlContext) async throws -> Response
    ) async throws -> Response {
        let channel = context.channel
        if request.headers[.expect]?.lowercased() == "100-continue" {
            let length = request.headers[.contentLength].flatMap { Int($0) } ?? 0
            guard length <= self.bytes else { return Self.refusal }
            InterimAnswer.sendContinue(on: channel)
        }
        let timeout = channel.close(in: self.timeout)
        var request = request
        do {
            defer { timeout.cancel() }
            let body = try await request.body.collect(upTo: self.bytes)
            request.body = RequestBody(buffer: body)
        } catch is NIOTooManyBytesError {
            // What is still to come is not waited for.
            channel.close(in: Self.lingering)
            return Self.refusal
        }
        return try await next(request, context)
    }

    /// What is said of a body that is too long.
    static let refusal = Response.refusal(
        413, "RequestEntityTooLarge", "The body is longer than may be.")

    /// A second: enough to read the answer.
    private static let lingering = TimeAmount.seconds(1)
}

extension Response {
    /// An answer in place of a route's, in the form of Azure's errors; both are plain ASCII.
    static func refusal(_ status: Int, _ code: String, _ message: String) -> Response {
        Response(
            status: .init(code: status),
            headers: [
                .contentType: "application/json", .cacheControl: "no-store", .connection: "close",
            ],
            body: .init(
                byteBuffer: ByteBuffer(
                    string: #"{"error":{"code":"\#(code)","message":"\#(message)"}}"#)))
    }
}

extension Channel {
    /// Closes the connection unless it is called off in time: a client that does not send or read
    /// holds nothing.
    @discardableResult
    func close(in limit: TimeAmount) -> Scheduled<Void> {
        self.eventLoop.scheduleTask(in: limit) { self.close(promise: nil) }
    }
}
