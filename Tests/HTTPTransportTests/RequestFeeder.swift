import HTTPTransport
import NIOCore

/// What became of one request that was fed to the parser and the body decoder.
enum Outcome: Equatable {
    case complete(body: String, rest: String)
    case incomplete
    case refused(Int)
}

/// Feeds bytes to a parser in pieces, as a connection would.
struct RequestFeeder {
    var limits = HTTPLimits()
    /// How many bytes arrive at once.
    var pieceBytes = Int.max

    /// Parses one request; its head stays in `head`.
    func feed(_ bytes: [UInt8], into head: MessageHead = MessageHead()) -> Outcome {
        var parser = HTTP1RequestParser(limits: self.limits)
        var decoder: HTTP1BodyDecoder?
        var input = ByteBuffer()
        var body: [UInt8] = []
        var position = 0
        do throws(HTTPError) {
            while position < bytes.count {
                let count = min(self.pieceBytes, bytes.count - position)
                input.writeBytes(bytes[position..<(position + count)])
                position += count
                if decoder == nil, try parser.parse(&input, into: head) {
                    decoder = HTTP1BodyDecoder(framing: head.framing, limits: self.limits)
                }
                while decoder != nil {
                    switch try decoder?.next(&input) {
                    case .bytes(let part):
                        body += Array(part.readableBytesView)
                        continue
                    case .end:
                        return .complete(
                            body: String(decoding: body, as: UTF8.self),
                            rest: String(decoding: input.readableBytesView, as: UTF8.self)
                                + String(decoding: bytes[position...], as: UTF8.self))
                    case .needMore, nil: break
                    }
                    break
                }
            }
        } catch {
            return .refused(error.status)
        }
        return .incomplete
    }
}
