import Foundation
import HTTPTransport
import NIOCore
import Testing

/// Long runs of the parsers over damaged messages; `SCOREGATE_SOAK` says how many thousand of each.
@Suite("Parser soak")
struct ParserSoak {
    static let thousands =
        ProcessInfo.processInfo.environment["SCOREGATE_SOAK"].flatMap { Int($0) } ?? 1

    @Test("damaged requests are parsed or refused alike, whole and byte by byte")
    func requests() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<Self.thousands * 1000 {
            let bytes = Self.damaged(Self.request, &random)
            #expect(Self.outcome(bytes, step: bytes.count) == Self.outcome(bytes, step: 1))
        }
    }

    @Test("damaged responses are parsed or refused, never more than they are long")
    func responses() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<Self.thousands * 1000 {
            var input = ByteBuffer(bytes: Self.damaged(Self.response, &random))
            let before = input.readableBytes
            var parser = HTTP1ResponseParser(limits: .response)
            let head = MessageHead()
            let isComplete = try? parser.parse(&input, into: head, requestMethod: .post)
            #expect(input.readableBytes <= before)
            if isComplete == true { #expect(100..<600 ~= head.status) }
        }
    }

    private static func outcome(_ bytes: [UInt8], step: Int) -> String {
        var parser = HTTP1RequestParser(limits: HTTPLimits())
        let head = MessageHead()
        var input = ByteBuffer()
        var rest = bytes[...]
        while !rest.isEmpty {
            input.writeBytes(rest.prefix(step))
            rest = rest.dropFirst(step)
            do {
                guard try parser.parse(&input, into: head) else { continue }
                return "\(head.method) \(head.string(head.pathRange)) \(head.framing)"
            } catch {
                return "refused"
            }
        }
        return "incomplete"
    }

    private static func damaged(
        _ message: String, _ random: inout SystemRandomNumberGenerator
    ) -> [UInt8] {
        var bytes = Array(message.utf8)
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            let place = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<3, using: &random) {
            case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes.remove(at: place)
            default: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
            }
        }
        return bytes
    }

    private static let request = """
        POST /score?x=1 HTTP/1.1\r\nHost: iris.example.com\r\nAuthorization: Bearer x\r\n\
        Content-Type: application/json\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello
        """
    private static let response = """
        HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\
        Connection: keep-alive\r\n\r\n5\r\nhello\r\n0\r\n\r\n
        """
}
