import HTTPTransport
import NIOCore
import RefusedRequests
import Testing

@Suite("Requests that must be refused")
struct NegativeTableTests {
    @Test("gets its status at once", arguments: RefusedRequest.all)
    func refused(_ request: RefusedRequest) {
        #expect(RequestFeeder().feed(request.bytes(key: "")) == .refused(request.status))
    }

    @Test("gets the same status byte by byte", arguments: RefusedRequest.all)
    func refusedByteByByte(_ request: RefusedRequest) {
        let feeder = RequestFeeder(pieceBytes: 1)
        #expect(feeder.feed(request.bytes(key: "")) == .refused(request.status))
    }

    @Test(
        "cut short is waiting or refused, never accepted",
        arguments: RefusedRequest.framing + RefusedRequest.lines + RefusedRequest.fields)
    func cutShort(_ request: RefusedRequest) {
        let bytes = request.bytes(key: "")
        for count in 0..<bytes.count {
            if case .complete = RequestFeeder().feed(Array(bytes.prefix(count))) {
                Issue.record("accepted \(count) bytes")
            }
        }
    }

    @Test("the preface of HTTP/2 is a request of another version")
    func otherVersion() {
        let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
        #expect(RequestFeeder().feed(preface) == .refused(505))
        #expect(RequestFeeder(pieceBytes: 1).feed(preface) == .refused(505))
    }

    @Test("a body of 200,000 chunks of one byte is refused after 65,536 of them")
    func tinyChunks() {
        let body = String(repeating: "1\r\na\r\n", count: 200_000)
        let request = RefusedRequest.chunked(62, body)
        #expect(RequestFeeder().feed(request.bytes(key: "")) == .refused(400))
        let fewer = RefusedRequest.chunked(
            62, String(repeating: "1\r\na\r\n", count: 65_535) + "0\r\n\r\n")
        guard case .complete = RequestFeeder().feed(fewer.bytes(key: "")) else {
            Issue.record("refused what is within the budget")
            return
        }
    }
}
