import NIOCore
import NIOEmbedded
import TLS
import Testing

@testable import HTTPTransport

/// A pool whose connections are embedded channels that a test opens itself.
private final class ClientBench {
    let loop: LoopContext
    let pool: ConnectionPool
    private(set) var channels: [EmbeddedChannel] = []
    private(set) var ends: [ChannelEnd] = []

    init() throws {
        self.loop = LoopContext(eventLoop: EmbeddedEventLoop(), tls: try TLSWorkerResources())
        var limits = PoolLimits()
        // None by itself: an embedded loop cannot connect.
        limits.connections = .min
        self.pool = ConnectionPool(
            loop: self.loop, address: .unix(path: "/nowhere"), tls: nil, httpLimits: .response,
            limits: limits)
    }

    deinit {
        self.pool.close()
        for channel in self.channels { _ = try? channel.finish(acceptAlreadyClosed: true) }
    }

    /// Opens a connection.
    func open() throws {
        let connection = HTTP1ClientConnection(
            loop: self.loop, limits: .response, pool: self.pool, awaitsHandshake: false)
        let end = ChannelEnd()
        let channel = EmbeddedChannel(handlers: [end, connection])
        self.ends.append(end)
        self.channels.append(channel)
        channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 1), promise: nil)
    }

    /// A receiver with a connection of its own, and its request sent.
    func ask(_ method: HTTPMethod = .get, framing: BodyFraming = .none) throws -> RecordingResponse
    {
        let receiver = RecordingResponse()
        self.pool.acquire(for: receiver)
        if receiver.connection == nil { try self.open() }
        try #require(receiver.connection != nil)
        receiver.send(method, framing)
        return receiver
    }

    /// Lets bytes of the backend arrive on the connection opened last.
    func reply(_ text: String) throws {
        try #require(self.channels.last).writeInbound(ByteBuffer(string: text))
    }
}

/// Remembers what it is told of a response.
final class RecordingResponse: ResponseReceiver {
    private(set) var events: [String] = []
    private(set) var connection: HTTP1ClientConnection?
    private(set) var readCompletes = 0
    var onReady: ((HTTP1ClientConnection) -> Void)?
    var onEvent: ((String) -> Void)?

    func send(_ method: HTTPMethod = .get, _ framing: BodyFraming = .none) {
        let head = MessageHead()
        head.method = method
        // Cannot fail for a constant.
        try? head.setTarget(Array("/x".utf8).span)
        self.connection?.sendHead(head, framing: framing, strippedPrefixBytes: 0)
        if framing == .none { self.connection?.sendEnd() }
        self.connection?.flush()
    }

    func forgetConnection() { self.connection = nil }

    private func note(_ event: String) {
        self.events.append(event)
        self.onEvent?(event)
    }

    func connectionReady(_ stream: any ClientStream) {
        self.connection = stream as? HTTP1ClientConnection
        self.note("ready")
        if let connection { self.onReady?(connection) }
    }

    func connectionFailed(_ error: StreamError) {
        switch error {
        case .unreachable: self.note("unreachable")
        default: self.note("no connection: \(error)")
        }
    }

    func receiveResponseHead(_ head: MessageHead) { self.note("\(head.status)") }
    func receiveResponseBody(_ bytes: ByteBuffer) { self.note("body \(String(buffer: bytes))") }
    func receiveResponseEnd(trailers: MessageHead?) {
        let lines = trailers?.fields.map { field in
            " \(trailers?.string(field.nameRange) ?? ""): \(trailers?.string(field.valueRange) ?? "")"
        }
        self.note("end\((lines ?? []).joined())")
    }
    func responseReadComplete() { self.readCompletes += 1 }
    func responseFailed(_ error: StreamError) { self.note("failed: \(error)") }
    func requestWritabilityChanged(isWritable: Bool) { self.note("writable \(isWritable)") }
}

@Suite("Client connection")
struct ConnectionClientTests {
    private static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    @Test("a connection is used again after a whole exchange")
    func reuse() throws {
        let bench = try ClientBench()
        var receiver = try bench.ask()
        for number in 1...3 {
            let next = RecordingResponse()
            bench.pool.acquire(for: next)
            #expect(bench.ends[0].take() == "GET /x HTTP/1.1\r\n\r\n")
            #expect(receiver.connection?.requests == number)
            try bench.reply(Self.ok)
            #expect(receiver.events == ["ready", "200", "body ok", "end"])
            receiver = next
            receiver.send()
        }
        #expect(bench.channels.count == 1)
    }

    @Test("the trailers of a chunked response come with its end, and not with the next one's")
    func trailers() throws {
        let bench = try ClientBench()
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
        for (trailers, end) in [("x-sum: 1\r\nX_y: z\r\n", "end x-sum: 1 X_y: z"), ("", "end")] {
            let receiver = try bench.ask()
            try bench.reply(chunked + trailers + "\r\n")
            #expect(receiver.events == ["ready", "200", "body ok", end])
        }
        #expect(bench.channels.count == 1)
    }

    @Test(
        "a connection that cannot be used again is closed after its response",
        arguments: [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
            // More than was asked for.
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n",
        ])
    func notPooled(response: String) throws {
        let bench = try ClientBench()
        let receiver = try bench.ask()
        try bench.reply(response)
        #expect(receiver.events.last == "end")
        #expect(!bench.channels[0].isActive)
        #expect(bench.pool.idleConnections == 0)
        #expect(bench.pool.open == 0)
    }

    @Test("a whole response is given on though bytes follow that are none")
    func bytesBehind() throws {
        for rest in ["\r\n", "HTTP/1.1 200 OK\r\n"] {
            let bench = try ClientBench()
            let receiver = try bench.ask()
            try bench.reply(Self.ok + rest)
            #expect(receiver.events == ["ready", "200", "body ok", "end"])
            #expect(receiver.readCompletes == 1)
            #expect(!bench.channels[0].isActive)
        }
    }

    @Test("bytes on an idle connection close it")
    func unasked() throws {
        let bench = try ClientBench()
        try bench.open()
        #expect(bench.pool.idleConnections == 1)
        try bench.reply(Self.ok)
        #expect(!bench.channels[0].isActive)
        #expect(bench.pool.idleConnections == 0)
    }

    @Test("an idle connection that the backend closes leaves the pool")
    func idleClosed() throws {
        let bench = try ClientBench()
        try bench.open()
        bench.channels[0].pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(bench.pool.idleConnections == 0)
        #expect(bench.pool.open == 0)
    }

    @Test("interim responses are taken away")
    func interim() throws {
        let bench = try ClientBench()
        let receiver = try bench.ask()
        try bench.reply("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
        try bench.reply(Self.ok)
        #expect(receiver.events == ["ready", "200", "body ok", "end"])
        #expect(bench.pool.idleConnections == 1)
    }

    @Test(
        "what is not a response to the request ends the connection",
        arguments: [
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\u{0}\r\n\r\n", "HTTP/2 200\r\n\r\n", "nonsense\r\n\r\n",
        ])
    func malformed(response: String) throws {
        let bench = try ClientBench()
        let receiver = try bench.ask()
        try bench.reply(response)
        #expect(receiver.events.count == 2)
        #expect(receiver.events.last?.hasPrefix("failed: ") == true)
        #expect(receiver.events.last != "failed: \(StreamError.closed)")
        #expect(!bench.channels[0].isActive)
        #expect(bench.pool.open == 0)
    }

    @Test("a bad chunk ends the connection after what was whole")
    func badChunk() throws {
        let bench = try ClientBench()
        let receiver = try bench.ask()
        try bench.reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n")
        #expect(receiver.events.prefix(3) == ["ready", "200", "body ok"])
        #expect(receiver.events.last == "failed: a chunk is malformed")
        #expect(!bench.channels[0].isActive)
    }

    @Test("a response before its request's end closes the connection afterwards")
    func earlyResponse() throws {
        let bench = try ClientBench()
        let receiver = try bench.ask(.post, framing: .length(100))
        receiver.connection?.sendBody(ByteBuffer(string: "part"))
        receiver.connection?.flush()
        try bench.reply(Self.ok)
        #expect(receiver.events == ["ready", "200", "body ok", "end"])
        #expect(!bench.channels[0].isActive)
        #expect(bench.pool.idleConnections == 0)
    }

    @Test(
        "a body that ends with the connection is whole only at a clean end",
        arguments: [true, false])
    func untilClose(isClean: Bool) throws {
        let bench = try ClientBench()
        let receiver = try bench.ask()
        try bench.reply("HTTP/1.1 200 OK\r\n\r\nabc")
        if isClean {
            bench.channels[0].pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        } else {
            bench.channels[0].pipeline.fireErrorCaught(ChannelError.ioOnClosedChannel)
        }
        #expect(receiver.events.last == (isClean ? "end" : "failed: \(StreamError.truncated)"))
        #expect(!bench.channels[0].isActive)
        #expect(bench.pool.open == 0)
    }

    @Test(
        "a response cut short is a failure even at a clean end",
        arguments: [
            "", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        ])
    func cut(response: String) throws {
        let bench = try ClientBench()
        let receiver = try bench.ask()
        if !response.isEmpty { try bench.reply(response) }
        bench.channels[0].pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(receiver.events.last == "failed: \(StreamError.closed)")
        #expect(receiver.connection?.hasResponseBytes == !response.isEmpty)
    }

    @Test("a request given up before it left is never heard of, and the connection stays")
    func cancelBeforeFlush() throws {
        let bench = try ClientBench()
        let receiver = RecordingResponse()
        bench.pool.acquire(for: receiver)
        try bench.open()
        let head = MessageHead()
        head.method = .get
        try head.setTarget(Array("/x".utf8).span)
        receiver.connection?.sendHead(head, framing: .none, strippedPrefixBytes: 0)
        receiver.connection?.cancel()
        receiver.connection?.flush()
        #expect(bench.ends[0].take() == "")
        #expect(bench.pool.idleConnections == 1)
        let next = try bench.ask()
        try bench.reply(Self.ok)
        #expect(next.events.last == "end")
        #expect(receiver.events == ["ready"])
    }

    @Test("a request given up after it left closes the connection")
    func cancelAfterFlush() throws {
        let bench = try ClientBench()
        let receiver = try bench.ask()
        receiver.connection?.cancel()
        #expect(!bench.channels[0].isActive)
        #expect(bench.pool.open == 0)
        #expect(receiver.events == ["ready"])
    }

    @Test("a connection that failed before a byte left is not given out again")
    func cancelAfterFailure() throws {
        let bench = try ClientBench()
        let receiver = RecordingResponse()
        bench.pool.acquire(for: receiver)
        try bench.open()
        receiver.onEvent = { event in
            if event.hasPrefix("failed") { receiver.connection?.cancel() }
        }
        defer { receiver.onEvent = nil }
        let waiting = RecordingResponse()
        bench.pool.acquire(for: waiting)
        bench.channels[0].pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(receiver.events == ["ready", "failed: \(StreamError.closed)"])
        #expect(waiting.events.isEmpty)
        #expect(bench.pool.idleConnections == 0)
        bench.pool.forget(waiting)
    }

    @Test("HEAD has an answer without body")
    func head() throws {
        let bench = try ClientBench()
        let receiver = try bench.ask(.head)
        try bench.reply("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        #expect(receiver.events == ["ready", "200", "end"])
        #expect(bench.pool.idleConnections == 1)
    }

    @Test("request bodies are framed as asked")
    func bodies() throws {
        for framing in [BodyFraming.length(4), .chunked] {
            let bench = try ClientBench()
            let receiver = try bench.ask(.post, framing: framing)
            _ = bench.ends[0].take()
            for piece in ["ab", "", "cd"] {
                receiver.connection?.sendBody(ByteBuffer(string: piece))
            }
            receiver.connection?.sendEnd()
            receiver.connection?.flush()
            #expect(
                bench.ends[0].take()
                    == (framing == .chunked ? "2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n" : "abcd"))
        }
    }

    @Test("those who wait are served in their order")
    func waiters() throws {
        let bench = try ClientBench()
        let first = try bench.ask()
        let waiting = (0..<3).map { _ in RecordingResponse() }
        for receiver in waiting { bench.pool.acquire(for: receiver) }
        bench.pool.forget(waiting[1])
        try bench.reply(Self.ok)
        #expect(first.events.last == "end")
        #expect(waiting.map(\.events) == [["ready"], [], []])
        waiting[0].send()
        try bench.reply(Self.ok)
        #expect(waiting.map(\.events.count) == [4, 0, 1])
        #expect(bench.channels.count == 1)
    }

    @Test("backpressure goes both ways, and ends with the exchange")
    func backpressure() throws {
        let bench = try ClientBench()
        let receiver = try bench.ask()
        let channel = bench.channels[0]
        channel.isWritable = false
        channel.pipeline.fireChannelWritabilityChanged()
        #expect(receiver.connection?.isWritable == false)
        channel.isWritable = true
        channel.pipeline.fireChannelWritabilityChanged()
        #expect(receiver.events == ["ready", "writable false", "writable true"])
        receiver.connection?.setReading(false)
        #expect(channel.reads == false)
        try bench.reply(Self.ok)
        #expect(channel.reads)
    }

    @Test("closed connections and their pool leave nothing behind")
    func released() throws {
        weak var connection: HTTP1ClientConnection?
        weak var receiver: RecordingResponse?
        weak var pool: ConnectionPool?
        do {
            let bench = try ClientBench()
            let asking = try bench.ask()
            connection = asking.connection
            receiver = asking
            pool = bench.pool
            bench.channels[0].close(promise: nil)
            bench.channels[0].embeddedEventLoop.run()
            asking.forgetConnection()
        }
        #expect(connection == nil)
        #expect(receiver == nil)
        #expect(pool == nil)
    }
}

extension EmbeddedChannel {
    /// Whether it reads by itself.
    fileprivate var reads: Bool {
        let option = self.options.last { $0.option is ChannelOptions.Types.AutoReadOption }
        return option?.value as? Bool ?? true
    }
}
