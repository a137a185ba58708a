import NIOCore
import NIOEmbedded
import Testing

@testable import HTTPTransport

@Suite("Server connection")
struct ConnectionServerTests {
    private static let lastOK =
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"

    // MARK: - One after the other

    @Test("requests on one connection are answered one after the other")
    func keepAlive() throws {
        let bench = try ServerBench()
        for _ in 0..<3 {
            #expect(try bench.send(ServerBench.get) == "")
            #expect(bench.answer() == ServerBench.ok)
            #expect(bench.isOpen)
        }
        #expect(bench.receiver.story.count == 6)
    }

    @Test("a request may come character by character")
    func pieces() throws {
        let bench = try ServerBench()
        for character in ServerBench.post("xyz") { try bench.send(String(character)) }
        #expect(
            bench.receiver.story
                == [.head("POST /p"), .body("x"), .body("y"), .body("z"), .end])
        #expect(bench.connection.requestBodyBytes == 3)
        #expect(bench.answer() == ServerBench.ok)
    }

    @Test("pipelined requests wait for the answer before theirs")
    func pipelining() throws {
        let bench = try ServerBench()
        try bench.send(
            ServerBench.get + "GET /b HTTP/1.1\r\nHost: h\r\n\r\n" + ServerBench.post("z"))
        #expect(bench.receiver.story == [.head("GET /a"), .end])
        #expect(bench.answer(200, "1").hasSuffix("1"))
        #expect(bench.receiver.story.suffix(2) == [.head("GET /b"), .end])
        #expect(bench.answer(200, "2").hasSuffix("2"))
        #expect(bench.receiver.story.suffix(3) == [.head("POST /p"), .body("z"), .end])
        #expect(bench.answer(200, "3").hasSuffix("3"))
        #expect(bench.isOpen)
    }

    @Test("a pipelined request's receiver hears when it has been read")
    func pipelinedReadComplete() throws {
        let bench = try ServerBench()
        try bench.send(ServerBench.get + ServerBench.get)
        _ = bench.answer()
        #expect(bench.receiver.events.suffix(3) == [.head("GET /a"), .end, .readComplete])
    }

    @Test("answers to pipelined requests that are given at once leave in one write")
    func batch() throws {
        let bench = try ServerBench()
        bench.receiver.onEnd = { _ in bench.receiver.answer() }
        defer { bench.receiver.onEnd = nil }
        #expect(
            try bench.send(ServerBench.get + ServerBench.get + ServerBench.get) == ServerBench.ok
                + ServerBench.ok + ServerBench.ok)
        #expect(bench.end.writes == 1)
    }

    @Test("what is pipelined is bounded, and read on after the answer")
    func pipelineBound() throws {
        let bench = try ServerBench()
        try bench.send(ServerBench.get)
        for _ in 0..<3 { try bench.send(String(repeating: ServerBench.get, count: 1000)) }
        #expect(!bench.isReading)
        bench.receiver.onEnd = { _ in bench.receiver.answer(200, "") }
        defer { bench.receiver.onEnd = nil }
        _ = bench.answer()
        #expect(bench.isReading)
        #expect(bench.receiver.story.count { $0 == .end } == 3001)
    }

    @Test("bytes after connection: close are not parsed")
    func afterClose() throws {
        let bench = try ServerBench()
        try bench.send("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" + ServerBench.get)
        #expect(bench.answer() == Self.lastOK)
        #expect(bench.receiver.story == [.head("GET /a"), .end, .closed])
        #expect(!bench.isOpen)
    }

    // MARK: - Framing

    @Test(
        "an answer's framing suits the request",
        arguments: [
            (
                "GET", "1.1", 200, BodyFraming.chunked,
                "transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", true
            ),
            (
                "GET", "1.1", 200, .untilClose,
                "transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", true
            ),
            ("GET", "1.1", 200, .length(2), "content-length: 2\r\n\r\nab", true),
            ("HEAD", "1.1", 200, .length(2), "content-length: 2\r\n\r\n", true),
            ("HEAD", "1.1", 200, .none, "\r\n", true),
            ("HEAD", "1.1", 200, .chunked, "transfer-encoding: chunked\r\n\r\n", true),
            ("GET", "1.1", 204, .length(2), "\r\n", true),
            ("GET", "1.1", 304, .length(2), "\r\n", true),
            ("GET", "1.0", 200, .chunked, "connection: close\r\n\r\nab", false),
            ("GET", "1.0", 200, .untilClose, "connection: close\r\n\r\nab", false),
            (
                "GET", "1.0", 200, .length(2), "content-length: 2\r\nconnection: close\r\n\r\nab",
                false
            ),
        ])
    func framing(
        method: String, version: String, status: Int, framing: BodyFraming, expected: String,
        isOpen: Bool
    ) throws {
        let bench = try ServerBench()
        try bench.send("\(method) /a HTTP/\(version)\r\nHost: h\r\n\r\n")
        let head = MessageHead()
        head.status = status
        bench.connection.sendHead(head, framing: framing)
        bench.connection.sendBody(ByteBuffer(string: "ab"))
        bench.connection.sendEnd()
        bench.connection.flush()
        let answer = bench.end.take()
        let lineEnd = try #require(answer.firstRange(of: "\r\n"))
        #expect(answer[lineEnd.upperBound...] == expected)
        #expect(bench.isOpen == isOpen)
    }

    @Test("HTTP/1.0 with keep-alive stays open")
    func http10KeepAlive() throws {
        let bench = try ServerBench()
        try bench.send("GET /a HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n")
        #expect(
            bench.answer()
                == "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok")
        #expect(bench.isOpen)
    }

    @Test("an answer without a body says so")
    func emptyAnswer() throws {
        let bench = try ServerBench()
        try bench.send(ServerBench.get)
        let head = MessageHead()
        head.status = 200
        bench.connection.sendHead(head, framing: .none)
        bench.connection.sendEnd()
        bench.connection.flush()
        #expect(bench.end.take() == "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    }

    // MARK: - Expect

    @Test("100 is sent when the body is wanted, and once")
    func expectContinue() throws {
        let bench = try ServerBench()
        bench.receiver.onHead = { $0.sendContinue() }
        defer { bench.receiver.onHead = nil }
        let first = try bench.send(ServerBench.post("", length: 3, "Expect: 100-continue\r\n"))
        #expect(first == "HTTP/1.1 100 Continue\r\n\r\n")
        bench.connection.sendContinue()
        #expect(bench.end.take() == "")
        #expect(try bench.send("abc") == "")
        #expect(bench.answer() == ServerBench.ok)
        #expect(bench.isOpen)
    }

    @Test("100 is not sent to a client that did not wait")
    func expectWithBody() throws {
        let bench = try ServerBench()
        bench.receiver.onHead = { $0.sendContinue() }
        defer { bench.receiver.onHead = nil }
        #expect(try bench.send(ServerBench.post("abc", "Expect: 100-continue\r\n")) == "")
        #expect(bench.answer() == ServerBench.ok)
    }

    @Test("an early answer to a client that waits for 100 closes at once")
    func expectRefused() throws {
        let bench = try ServerBench()
        bench.receiver.onHead = { _ in bench.receiver.answer(401, "no") }
        defer { bench.receiver.onHead = nil }
        let answer = try bench.send(ServerBench.post("", length: 3, "Expect: 100-continue\r\n"))
        #expect(answer.hasPrefix("HTTP/1.1 401 "))
        #expect(!answer.contains("100 Continue"))
        #expect(!bench.isOpen)
    }

    @Test("an early answer to a client that waited for 100 in vain and then sent lingers")
    func expectNotWaiting() throws {
        let bench = try ServerBench()
        try bench.send(ServerBench.post("a", length: 3, "Expect: 100-continue\r\n"))
        _ = bench.answer(401, "no")
        #expect(bench.isOpen)
        #expect(bench.end.isOutputClosed)
    }

    // MARK: - Bad and slow requests

    @Test("a bad request is answered, then nothing of the connection is read")
    func badRequest() throws {
        let bench = try ServerBench()
        let answer = try bench.send("GET /a HTTP/1.1\r\nHost : h\r\n\r\n" + ServerBench.get)
        #expect(answer.hasPrefix("HTTP/1.1 400 "))
        #expect(answer.contains("connection: close"))
        #expect(bench.end.isOutputClosed)
        try bench.send(ServerBench.get)
        #expect(bench.receiver.story == [.bad(.malformedField)])
        bench.pass(.seconds(3))
        #expect(!bench.isOpen)
    }

    @Test("a bad chunk ends the exchange with an answer")
    func badChunk() throws {
        let bench = try ServerBench()
        try bench.send(
            "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        let answer = try bench.send("zz\r\n")
        #expect(answer.hasPrefix("HTTP/1.1 400 "))
        #expect(bench.receiver.story.count { if case .failed = $0 { true } else { false } } == 1)
    }

    @Test("a head that does not come to its end is answered 408")
    func slowHead() throws {
        let bench = try ServerBench()
        try bench.send("GET /a HTTP/1.1\r\nHo")
        bench.pass(.seconds(5))
        #expect(bench.end.take() == "")
        try bench.send("st")
        bench.pass(.seconds(10))
        #expect(bench.end.take().hasPrefix("HTTP/1.1 408 "))
        #expect(bench.end.isOutputClosed)
    }

    @Test(
        "a body below 240 bytes a second is answered 408; one above goes on",
        arguments: [2000, 3000])
    func slowBody(bytes: Int) throws {
        let bench = try ServerBench()
        try bench.send(ServerBench.post("", length: 100_000))
        try bench.send(String(repeating: "x", count: bytes))
        bench.pass(.seconds(10))
        if bytes < 2400 {
            #expect(bench.end.take().hasPrefix("HTTP/1.1 408 "))
        } else {
            #expect(bench.end.take() == "")
            bench.pass(.seconds(21))
            #expect(bench.end.take().hasPrefix("HTTP/1.1 408 "))
        }
    }

    @Test("a client that may not send is not too slow")
    func pausedBody() throws {
        let bench = try ServerBench()
        try bench.send(ServerBench.post("", length: 100_000))
        bench.connection.setReading(false)
        bench.pass(.seconds(60))
        #expect(bench.isOpen)
        #expect(bench.end.take() == "")
    }

    @Test("an upload is not too slow because its answer is not read")
    func slowReaderFastWriter() throws {
        let bench = try ServerBench()
        try bench.send(ServerBench.post("", length: 1_000_000))
        let head = MessageHead()
        head.status = 200
        bench.connection.sendHead(head, framing: .chunked)
        bench.connection.sendBody(ByteBuffer(repeating: 0x61, count: 50_000))
        bench.connection.flush()
        bench.setWritable(false)
        try bench.send(String(repeating: "x", count: 20_000))
        bench.pass(.seconds(10))
        #expect(bench.isOpen)
        #expect(!bench.receiver.story.contains { if case .failed = $0 { true } else { false } })
    }

    @Test("an idle connection closes in silence")
    func idle() throws {
        let bench = try ServerBench(idle: .seconds(30))
        try bench.send(ServerBench.get)
        _ = bench.answer()
        bench.pass(.seconds(20))
        #expect(bench.isOpen)
        bench.pass(.seconds(30))
        #expect(!bench.isOpen)
        #expect(bench.end.take() == "")
    }

    @Test("a connection on which nothing comes closes in silence")
    func silent() throws {
        let bench = try ServerBench()
        bench.pass(.seconds(10))
        #expect(!bench.isOpen)
        #expect(bench.end.take() == "")
        #expect(bench.receiver.events.isEmpty)
    }

    @Test("requests whose answers would have to wait are not taken until others have left")
    func answersNotRead() throws {
        let bench = try ServerBench()
        bench.receiver.onEnd = { _ in bench.receiver.answer() }
        defer { bench.receiver.onEnd = nil }
        bench.setWritable(false)
        for _ in 0..<10 { try bench.send(ServerBench.get) }
        #expect(!bench.receiver.story.contains(.end) && !bench.isReading)
        bench.setWritable(true)
        #expect(bench.receiver.story.count { $0 == .end } == 10)
        #expect(bench.receiver.events.suffix(2) == [.readComplete, .writable(true)])
        #expect(bench.isReading && bench.isOpen)
        bench.setWritable(false)
        bench.pass(.seconds(20))
        #expect(bench.isOpen)
        bench.pass(.seconds(30))
        #expect(!bench.isOpen)
    }

    @Test("a client that does not read its answer is let go")
    func slowReader() throws {
        let bench = try ServerBench()
        try bench.send(ServerBench.get)
        bench.end.isHolding = true
        let head = MessageHead()
        head.status = 200
        bench.connection.sendHead(head, framing: .chunked)
        bench.connection.sendBody(ByteBuffer(repeating: 0x61, count: 100_000))
        bench.connection.flush()
        bench.setWritable(false)
        bench.pass(.seconds(20))
        #expect(bench.isOpen)
        bench.pass(.seconds(30))
        #expect(!bench.isOpen)
        #expect(bench.receiver.story.contains(.failed("it took too long")))
    }

    // MARK: - Drain, and clients that go

    @Test("a drain closes an idle connection at once")
    func drainIdle() throws {
        let bench = try ServerBench()
        try bench.send(ServerBench.get)
        _ = bench.answer()
        bench.connection.drain()
        #expect(!bench.isOpen)
    }

    @Test("a drain lets an exchange end, and a begun answer")
    func drainInExchange() throws {
        for answerBegun in [false, true] {
            let bench = try ServerBench()
            try bench.send(ServerBench.get)
            let head = MessageHead()
            head.status = 200
            if answerBegun { bench.connection.sendHead(head, framing: .length(2)) }
            bench.connection.drain()
            #expect(bench.isOpen)
            if !answerBegun { bench.connection.sendHead(head, framing: .length(2)) }
            bench.connection.sendBody(ByteBuffer(string: "ok"))
            bench.connection.sendEnd()
            #expect(bench.end.take() == (answerBegun ? ServerBench.ok : Self.lastOK))
            #expect(!bench.isOpen)
        }
    }

    @Test("a client that goes ends its exchange, once", arguments: [false, true])
    func gone(halfClose: Bool) throws {
        let bench = try ServerBench()
        try bench.send(ServerBench.get)
        if halfClose {
            bench.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        } else {
            bench.channel.close(promise: nil)
        }
        #expect(
            bench.receiver.story == [
                .head("GET /a"), .end, .failed("\(StreamError.closed)"), .closed,
            ])
        #expect(!bench.isOpen)
        // Too late, and without effect.
        #expect(bench.answer() == "")
    }

    @Test("a connection that breaks ends its exchange")
    func broken() throws {
        let bench = try ServerBench()
        try bench.send(ServerBench.post("abc", length: 10))
        bench.channel.pipeline.fireErrorCaught(ChannelError.ioOnClosedChannel)
        #expect(bench.receiver.story.suffix(2) == [.failed("\(StreamError.truncated)"), .closed])
        #expect(!bench.isOpen)
    }

    @Test("an aborted answer stays without its end")
    func aborted() throws {
        let bench = try ServerBench()
        try bench.send(ServerBench.get)
        let head = MessageHead()
        head.status = 200
        bench.connection.sendHead(head, framing: .chunked)
        bench.connection.sendBody(ByteBuffer(string: "ab"))
        bench.connection.flush()
        bench.connection.abort()
        #expect(bench.end.take().hasSuffix("2\r\nab\r\n"))
        #expect(!bench.isOpen)
    }

    @Test("writability reaches the receiver, and reading can be paused")
    func backpressure() throws {
        let bench = try ServerBench()
        try bench.send(ServerBench.get)
        bench.setWritable(false)
        #expect(!bench.connection.isWritable)
        bench.setWritable(true)
        #expect(bench.receiver.story.suffix(2) == [.writable(false), .writable(true)])
        #expect(bench.isReading)
        bench.connection.setReading(false)
        #expect(!bench.isReading)
        _ = bench.answer()
        #expect(bench.isReading)
    }

    @Test("large pieces of an answer are given on uncopied and in order")
    func largePieces() throws {
        let bench = try ServerBench()
        try bench.send(ServerBench.get)
        let head = MessageHead()
        head.status = 200
        let large = String(repeating: "l", count: 20_000)
        bench.connection.sendHead(head, framing: .length(40_004))
        for piece in ["ab", large, "cd", large] {
            bench.connection.sendBody(ByteBuffer(string: piece))
        }
        bench.connection.sendEnd()
        bench.connection.flush()
        #expect(bench.end.take().hasSuffix("\r\n\r\nab\(large)cd\(large)"))
    }

    @Test("a closed connection leaves nothing behind")
    func released() throws {
        weak var connection: HTTP1ServerConnection?
        weak var receiver: RecordingReceiver?
        for state in 0..<3 {
            do {
                let bench = try ServerBench()
                connection = bench.connection
                receiver = bench.receiver
                if state > 0 { try bench.send(ServerBench.post("a", length: state)) }
                bench.channel.close(promise: nil)
                bench.channel.embeddedEventLoop.run()
            }
            #expect(connection == nil)
            #expect(receiver == nil)
        }
    }
}
