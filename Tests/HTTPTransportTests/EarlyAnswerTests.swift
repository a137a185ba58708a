import NIOCore
import NIOEmbedded
import Testing

@testable import HTTPTransport

@Suite("Answers before the request's end")
struct EarlyAnswerTests {
    @Test("an answer before the body's end shuts down writing, discards a while, then closes")
    func lingerBound() throws {
        let bench = try ServerBench()
        bench.receiver.onHead = { _ in bench.receiver.answer(401, "no") }
        defer { bench.receiver.onHead = nil }
        let answer = try bench.send(ServerBench.post("abc", length: 1_000_000))
        #expect(answer.hasSuffix("connection: close\r\n\r\nno"))
        #expect(bench.end.isOutputClosed)
        #expect(bench.isOpen)
        for _ in 0..<15 { try bench.send(String(repeating: "x", count: 1 << 20)) }
        #expect(bench.isOpen)
        try bench.send(String(repeating: "x", count: 1 << 20))
        #expect(!bench.isOpen)
        #expect(bench.receiver.story == [.head("POST /p"), .closed])
    }

    @Test("what lingers is closed after two seconds, or when the client closes")
    func lingerTime() throws {
        for closes in [false, true] {
            let bench = try ServerBench()
            bench.receiver.onHead = { _ in bench.receiver.answer(401, "no") }
            defer { bench.receiver.onHead = nil }
            try bench.send(ServerBench.post("abc", length: 1_000_000))
            bench.pass(.milliseconds(500))
            #expect(bench.isOpen)
            if closes {
                bench.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
            } else {
                bench.pass(.milliseconds(2100))
            }
            #expect(!bench.isOpen)
        }
    }

    @Test("a client that goes on sending is heard out, until it slows down")
    func lingerPace() throws {
        let bench = try ServerBench()
        bench.receiver.onHead = { _ in bench.receiver.answer(401, "no") }
        defer { bench.receiver.onHead = nil }
        try bench.send(ServerBench.post("abc", length: 100_000_000))
        for (interval, count) in [262_144, 300_000, 262_144, 262_143].enumerated() {
            #expect(bench.isOpen)
            try bench.send(String(repeating: "x", count: count))
            bench.pass(.milliseconds(Int64(interval + 1) * 2100))
        }
        #expect(!bench.isOpen)
    }

    @Test("an early answer later than the head lingers too")
    func lateEarlyAnswer() throws {
        let bench = try ServerBench()
        try bench.send(ServerBench.post("abc", length: 100))
        #expect(bench.answer(413, "").contains("connection: close\r\n"))
        #expect(bench.end.isOutputClosed)
        #expect(bench.isOpen)
    }

    @Test("an early answer to a request whose body is here keeps the connection")
    func earlyWithBody() throws {
        let bench = try ServerBench()
        bench.receiver.onHead = { _ in bench.receiver.answer() }
        defer { bench.receiver.onHead = nil }
        #expect(
            try bench.send(ServerBench.post("abc") + ServerBench.get) == ServerBench.ok
                + ServerBench.ok)
        #expect(bench.isOpen)
        #expect(!bench.end.isOutputClosed)
    }
}
