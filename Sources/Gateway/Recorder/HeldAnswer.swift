internal import HTTPTransport
internal import NIOCore

/// What is held back of an answer while the log is not durable: all of it until the request's entry
/// is, its end until its own is.
///
/// A client that has seen the end of an answer knows that both entries will outlive us.
final class HeldAnswer {
    /// The head as the client is to get it.
    let head = MessageHead()
    let framing: BodyFraming
    private let hasBody: Bool
    /// What waits to leave: all of the body, or its last byte.
    private(set) var body = ByteBuffer()
    private(set) var trailers: MessageHead?
    private(set) var isEnded = false
    /// Whether the request's entry is durable.
    private(set) var isRequestDurable = false
    /// Whether the head has left.
    var isBegun = false
    /// The answer's entry, once it is waited for.
    var ticket: UInt64?
    private var passed = 0

    /// - Parameters:
    ///   - head: Copied.
    ///   - framing: What it says of the body.
    ///   - isBodyless: Whether no body comes, whatever it says of one.
    init(_ head: MessageHead, framing: BodyFraming, isBodyless: Bool) {
        self.head.take(head)
        self.framing = framing
        self.hasBody =
            switch framing {
            case .none, .length(0): false
            case .length, .chunked, .untilClose: !isBodyless
            }
    }

    /// Takes a piece of the body.
    func append(_ bytes: ByteBuffer) { self.body.writeImmutableBuffer(bytes) }

    /// Takes the end.
    func end(trailers: MessageHead?) {
        self.isEnded = true
        guard let trailers else { return }
        let kept = MessageHead()
        kept.take(trailers)
        self.trailers = kept
    }

    /// The request's entry is durable.
    func requestIsDurable() { self.isRequestDurable = true }

    /// Whether the head may leave before the answer's entry is durable: a head without a body is a
    /// whole answer.
    var mayBegin: Bool { self.isRequestDurable && self.hasBody }

    /// What may leave of the body: the last byte of a length that was said stays.
    func takeBody() -> ByteBuffer? {
        var count = self.body.readableBytes
        if case .length(let length) = self.framing, self.passed + count >= length { count -= 1 }
        guard count > 0 else { return nil }
        self.passed += count
        let bytes = self.body.readSlice(length: count)
        if self.body.readableBytes == 0 { self.body = ByteBuffer() }
        return bytes
    }
}
