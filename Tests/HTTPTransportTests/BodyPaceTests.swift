import NIOCore
import Testing

@testable import HTTPTransport

@Suite("Body pace")
struct BodyPaceTests {
    @Test("a body that began fast and then crawls is answered 408 after ten slow seconds")
    func fastThenSlow() throws {
        let bench = try ServerBench()
        let start = NIODeadline.now()
        try bench.send("POST / HTTP/1.1\r\nHost: e\r\nContent-Length: 1000000\r\n\r\n")
        try bench.send(String(repeating: "x", count: 100_000))
        bench.loop.deadlines.advance(to: start + .seconds(15))
        #expect(bench.isOpen)
        try bench.send(String(repeating: "x", count: 2_000))
        bench.loop.deadlines.advance(to: start + .seconds(26))
        #expect(bench.end.take().hasPrefix("HTTP/1.1 408 "))
    }

    @Test("a body that keeps to 240 bytes a second may take as long as it takes")
    func steady() throws {
        let bench = try ServerBench()
        let start = NIODeadline.now()
        try bench.send("POST / HTTP/1.1\r\nHost: e\r\nContent-Length: 1000000\r\n\r\n")
        for tick in 1...50 {
            try bench.send(String(repeating: "x", count: 2_500))
            bench.loop.deadlines.advance(to: start + .milliseconds(Int64(tick) * 10_100))
            #expect(bench.end.take() == "")
        }
    }
}
