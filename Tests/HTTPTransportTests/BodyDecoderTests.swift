import HTTPTransport
import NIOCore
import Testing

@Suite("Bodies")
struct BodyDecoderTests {
    /// Decodes `text`, which arrives in two parts, and gives body and what is left.
    private func decode(
        _ text: String, framing: BodyFraming, splitAt split: Int, trailers: MessageHead? = nil
    ) throws(HTTPError) -> (body: String, rest: String, isEnded: Bool) {
        var decoder = HTTP1BodyDecoder(framing: framing, limits: HTTPLimits())
        decoder.trailers = trailers
        var input = ByteBuffer()
        var body = ""
        let bytes = Array(text.utf8)
        for part in [bytes[..<split], bytes[split...]] {
            input.writeBytes(part)
            reading: while true {
                switch try decoder.next(&input) {
                case .bytes(let slice):
                    #expect(slice.readableBytes > 0)
                    body += String(buffer: slice)
                case .needMore, .end: break reading
                }
            }
        }
        return (body, String(buffer: input), decoder.isEnded)
    }

    @Test("a body that ends with the connection is bounded as others are")
    func untilCloseLimit() throws {
        var limits = HTTPLimits()
        limits.bodyBytes = 5
        var decoder = HTTP1BodyDecoder(framing: .untilClose, limits: limits)
        var input = ByteBuffer(string: "abc")
        guard case .bytes = try decoder.next(&input) else { return #expect(Bool(false)) }
        input.writeString("de")
        guard case .bytes = try decoder.next(&input) else { return #expect(Bool(false)) }
        input.writeString("f")
        #expect(throws: HTTPError.bodyTooLarge) { _ = try decoder.next(&input) }
    }

    @Test(
        "a body is the same wherever its bytes are split",
        arguments: [
            ("5\r\nhello\r\n0\r\n\r\nREST", BodyFraming.chunked, "hello"),
            ("0\r\n\r\nREST", .chunked, ""),
            ("000\r\n\r\nREST", .chunked, ""),
            (
                "005;a;b=c;d=\"e\\\"; f\"\r\nhello\r\nA\r\n0123456789\r\n0;z\r\nT: u\r\nV: w\r\n\r\nREST",
                .chunked, "hello0123456789"
            ),
            ("5\r\n\r\n0\r\n\r\n0\r\n\r\nREST", .chunked, "\r\n0\r\n"),
            ("helloREST", .length(5), "hello"),
            ("REST", .none, ""),
        ])
    func splits(_ text: String, _ framing: BodyFraming, _ body: String) throws {
        for split in 0...text.utf8.count {
            let decoded = try self.decode(text, framing: framing, splitAt: split)
            #expect(decoded == (body, "REST", true))
        }
    }

    @Test("trailers are given to who asks for them")
    func trailers() throws {
        // Names are those of a response, and what has a meaning in a head has none here.
        let text = """
            1\r\na\r\n0\r\ngrpc-status: 0\r\nContent-Type: a/b\r\nX_y: z\r\nSet-Cookie: c\r\n\
            Connection: X_y\r\nExpect: none\r\n\r\nREST
            """
        for split in 0...text.utf8.count {
            let trailers = MessageHead()
            let decoded = try self.decode(
                text, framing: .chunked, splitAt: split, trailers: trailers)
            #expect(decoded == ("a", "REST", true))
            #expect(
                trailers.fields.map { trailers.string($0.nameRange) } == ["grpc-status", "X_y"])
            #expect(trailers.fields.map { trailers.string($0.valueRange) } == ["0", "z"])
        }
    }

    @Test(
        "trailers that frame or route the message are refused, wherever they stand",
        arguments: ["Content-Length: 1", "Transfer-Encoding: chunked", "Host: a"])
    func forbiddenTrailers(_ line: String) {
        for trailers in [nil, MessageHead()] {
            #expect(throws: HTTPError.self) {
                () throws in
                _ = try self.decode(
                    "0\r\nx: y\r\n\(line)\r\n\r\n", framing: .chunked, splitAt: 0,
                    trailers: trailers)
            }
        }
    }

    @Test(
        "a body over the limit is refused",
        arguments: [
            ("3\r\nabc\r\n3\r\nabc\r\n", 5), ("6\r\nabc", 5),
        ])
    func limit(_ text: String, _ maximum: Int) {
        var limits = HTTPLimits()
        limits.bodyBytes = maximum
        var decoder = HTTP1BodyDecoder(framing: .chunked, limits: limits)
        var input = ByteBuffer(string: text)
        #expect(throws: HTTPError.bodyTooLarge) {
            for _ in 0..<4 { _ = try decoder.next(&input) }
        }
    }

    @Test(
        "the end of the connection ends only a body that has no other end",
        arguments: [
            (BodyFraming.length(9), HTTPError?.some(.truncated)), (.length(5), nil),
            (.untilClose, nil), (.none, nil), (.chunked, .truncated),
        ])
    func inputClosed(_ framing: BodyFraming, _ error: HTTPError?) throws {
        var decoder = HTTP1BodyDecoder(framing: framing, limits: HTTPLimits())
        var input = ByteBuffer(string: framing == .chunked ? "5\r\nhello\r\n" : "hello")
        reading: while true {
            switch try decoder.next(&input) {
            case .bytes: continue
            case .needMore, .end: break reading
            }
        }
        do throws(HTTPError) {
            try decoder.inputClosed()
            #expect(error == nil)
            #expect(decoder.isEnded)
        } catch let thrown {
            #expect(thrown == error)
        }
    }

    @Test("bytes come out without a copy")
    func slices() throws {
        var decoder = HTTP1BodyDecoder(framing: .length(5), limits: HTTPLimits())
        var input = ByteBuffer(string: "hello")
        let address = unsafe input.withUnsafeReadableBytes {
            UInt(bitPattern: $0.baseAddress)
        }
        guard case .bytes(let slice) = try decoder.next(&input) else {
            Issue.record("no bytes")
            return
        }
        let sliceAddress = unsafe slice.withUnsafeReadableBytes {
            UInt(bitPattern: $0.baseAddress)
        }
        #expect(sliceAddress == address)
    }
}
