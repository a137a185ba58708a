internal import NIOCore
internal import NIOEmbedded
internal import TLS

@testable internal import HTTPTransport

/// Bytes of a client into a server's session that answers every request.
final class HTTP2ServerFuzz {
    private let loop = EmbeddedEventLoop()
    private let context: LoopContext

    init() {
        guard let tls = try? TLSWorkerResources() else { fatalError("no memory for TLS") }
        self.context = LoopContext(eventLoop: self.loop, tls: tls)
    }

    /// The first byte says how large the pieces are.
    func feed(_ bytes: [UInt8]) {
        RememberedSession.mustGo { self.feed(bytes, $0) }
    }

    private func feed(_ bytes: [UInt8], _ session: RememberedSession) {
        guard bytes.count > 1, let piece = bytes.first.map({ Int($0) + 1 }) else { return }
        var receivers: [CountingReceiver] = []
        let connection = HTTP2ServerConnection(
            loop: self.context, limits: HTTPLimits(),
            timeouts: ServerTimeouts(head: .seconds(60), idle: .seconds(60)), isEncrypted: true
        ) { stream in
            let receiver = CountingReceiver(stream)
            receivers.append(receiver)
            return receiver
        }
        session.object = connection.session
        let channel = EmbeddedChannel(loop: self.loop)
        guard (try? channel.pipeline.syncOperations.addHandler(connection)) != nil,
            (try? channel.connect(to: SocketAddress(unixDomainSocketPath: "/fuzz")).wait()) != nil
        else { return }
        let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        var input = ByteBuffer(string: preface)
        input.writeBytes(bytes.dropFirst())
        var output = FrameCheck()
        while let part = input.readSlice(length: min(piece * 4, max(1, input.readableBytes))) {
            guard input.readableBytes > 0 || part.readableBytes > 0, channel.isActive else { break }
            _ = try? channel.writeInbound(part)
            self.loop.run()
            output.take(channel)
        }
        // It may have closed by itself; then this does nothing.
        channel.close(promise: nil)
        self.loop.run()
        output.take(channel)
        _ = try? channel.finish(acceptAlreadyClosed: true)
        let open = receivers.reduce(0) { $0 + $1.open }
        require(open == 0, "\(open) requests neither ended nor failed")
        require(receivers.count <= 200, "more stream objects than streams are allowed")
    }
}

/// Bytes of a backend into a client's session with three requests under way.
final class HTTP2ClientFuzz {
    private let loop = EmbeddedEventLoop()
    private let context: LoopContext

    init() {
        guard let tls = try? TLSWorkerResources() else { fatalError("no memory for TLS") }
        self.context = LoopContext(eventLoop: self.loop, tls: tls)
    }

    /// The first byte says how large the pieces are.
    func feed(_ bytes: [UInt8]) {
        RememberedSession.mustGo { self.feed(bytes, $0) }
    }

    private func feed(_ bytes: [UInt8], _ session: RememberedSession) {
        guard bytes.count > 1, let piece = bytes.first.map({ Int($0) + 1 }) else { return }
        // The connection does not come from the pool, which must open none for having one less.
        var limits = PoolLimits()
        limits.connections = -2
        let pool = HTTP2ConnectionPool(
            loop: self.context, address: .unix(path: "/nowhere"), tls: nil, httpLimits: .response,
            limits: limits)
        let connection = HTTP2ClientConnection(
            loop: self.context, limits: .response, pool: pool, isEncrypted: false)
        session.object = connection.session
        let channel = EmbeddedChannel(loop: self.loop)
        guard (try? channel.pipeline.syncOperations.addHandler(connection)) != nil,
            (try? channel.connect(to: SocketAddress(unixDomainSocketPath: "/fuzz")).wait()) != nil
        else { return }
        let receivers = (0..<3).map { _ in CountingResponse() }
        for receiver in receivers { connection.lease(to: receiver) }
        self.loop.run()
        var output = FrameCheck(hasPreface: true)
        output.take(channel)
        var input = ByteBuffer()
        input.writeBytes(bytes.dropFirst())
        while input.readableBytes > 0, channel.isActive,
            let part = input.readSlice(length: min(piece * 4, input.readableBytes))
        {
            _ = try? channel.writeInbound(part)
            self.loop.run()
            output.take(channel)
        }
        channel.close(promise: nil)
        self.loop.run()
        output.take(channel)
        _ = try? channel.finish(acceptAlreadyClosed: true)
        for receiver in receivers {
            require(receiver.ends == 1, "a response ended \(receiver.ends) times")
        }
    }
}

/// A session, as long as somebody else holds it.
private final class RememberedSession {
    weak var object: HTTP2Session?

    /// Lets `body` remember its session, which must be gone afterwards.
    static func mustGo(_ body: (RememberedSession) -> Void) {
        let session = RememberedSession()
        body(session)
        require(session.object == nil, "a session is left behind")
    }
}

/// What we send is frames, whole ones, whatever the peer sent.
private struct FrameCheck {
    private var bytes = ByteBuffer()
    private var prefaceBytes: Int

    init(hasPreface: Bool = false) { self.prefaceBytes = hasPreface ? 24 : 0 }

    mutating func take(_ channel: EmbeddedChannel) {
        while let next = try? channel.readOutbound(as: ByteBuffer.self) {
            self.bytes.writeImmutableBuffer(next)
        }
        let preface = min(self.prefaceBytes, self.bytes.readableBytes)
        self.bytes.moveReaderIndex(forwardBy: preface)
        self.prefaceBytes -= preface
        while let length = self.bytes.getInteger(at: self.bytes.readerIndex, as: UInt32.self) {
            let count = Int(length >> 8)
            require(count <= 16_384, "a frame of \(count) bytes, more than the peer allows")
            require(length & 0xff <= 9, "a frame of a type that does not exist")
            guard self.bytes.readableBytes >= 9 + count else { return }
            self.bytes.moveReaderIndex(forwardBy: 9 + count)
        }
    }
}

/// Answers each request at its end, and counts those that are under way.
private final class CountingReceiver: RequestReceiver {
    private let stream: any ServerStream
    private let head = MessageHead()
    private(set) var open = 0
    private var hasBegun = false

    init(_ stream: any ServerStream) { self.stream = stream }

    func receiveRequestHead(_ head: MessageHead) {
        require(self.open == 0, "a second head before the first request's end")
        self.open += 1
        self.hasBegun = false
        if head.fields.count % 2 == 1 { self.begin() }
    }

    func receiveRequestBody(_ bytes: ByteBuffer) {
        require(self.open == 1, "a body without a head")
        if self.hasBegun { self.stream.sendBody(bytes) }
    }

    func receiveRequestEnd() {
        require(self.open == 1, "an end without a head")
        if !self.hasBegun { self.begin() }
        self.open -= 1
        self.stream.sendBody(ByteBuffer(repeating: 1, count: 100))
        self.stream.sendEnd(trailers: nil)
    }

    private func begin() {
        self.hasBegun = true
        self.head.reset()
        self.head.status = 200
        self.stream.sendHead(self.head, framing: .chunked)
    }

    func requestReadComplete() { self.stream.flush() }
    func receiveBadRequest(_ error: HTTPError, head: MessageHead?) { self.stream.abort() }

    func requestFailed(_ error: StreamError) {
        self.open = 0
        if case .malformed = error { self.stream.abort() }
    }

    func answerWritabilityChanged(isWritable: Bool) {}
    func connectionClosed() { self.open = 0 }
}

/// Sends a request and counts how often its response ended.
private final class CountingResponse: ResponseReceiver {
    private(set) var ends = 0
    private var hasHead = false

    func connectionReady(_ stream: any ClientStream) {
        let head = MessageHead()
        var parser = HTTP1RequestParser(limits: HTTPLimits())
        var text = ByteBuffer(
            string: "POST /score HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n")
        guard (try? parser.parse(&text, into: head)) == true else { fatalError("a request") }
        stream.sendHead(head, framing: .length(2), strippedPrefixBytes: 0)
        stream.sendBody(ByteBuffer(string: "{}"))
        stream.sendEnd()
        stream.flush()
    }

    func connectionFailed(_ error: StreamError) { self.ends += 1 }

    func receiveResponseHead(_ head: MessageHead) {
        require(!self.hasHead && self.ends == 0, "a second head")
        require(200..<600 ~= head.status, "a final status")
        self.hasHead = true
    }

    func receiveResponseBody(_ bytes: ByteBuffer) {
        require(self.hasHead && self.ends == 0, "a body out of its place")
    }

    func receiveResponseEnd(trailers: MessageHead?) {
        require(self.hasHead, "an end without a head")
        self.ends += 1
    }

    func responseReadComplete() {}
    func responseFailed(_ error: StreamError) { self.ends += 1 }
    func requestWritabilityChanged(isWritable: Bool) {}
}
