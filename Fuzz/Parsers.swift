internal import HTTPTransport
internal import NIOCore

/// What one message came to.
private enum Outcome: Equatable {
    case complete(head: String, body: [UInt8], rest: Int)
    case incomplete
    case refused(Int)
}

/// A request is understood alike whole, byte by byte, and in two pieces cut anywhere.
func fuzzRequest(_ input: [UInt8]) {
    let whole = request(input, pieces: [input.count])
    require(whole == request(input, pieces: []), "byte by byte it is another request")
    let cut = input.isEmpty ? 0 : Int(input[0]) % input.count
    require(
        whole == request(input, pieces: [cut, input.count]), "cut in two it is another request")
}

/// A response is understood alike however it is cut.
func fuzzResponse(_ input: [UInt8]) {
    for method in [HTTPMethod.post, .head] {
        let whole = response(input, method, pieces: [input.count])
        require(
            whole == response(input, method, pieces: []), "byte by byte it is another response")
    }
}

private func request(_ bytes: [UInt8], pieces: [Int]) -> Outcome {
    var parser = HTTP1RequestParser(limits: HTTPLimits())
    let head = MessageHead()
    return read(bytes, pieces, limits: HTTPLimits()) { input throws(HTTPError) in
        guard try parser.parse(&input, into: head) else { return nil }
        require(!head.pathRange.isEmpty, "a request has a path")
        return head
    }
}

private func response(_ bytes: [UInt8], _ method: HTTPMethod, pieces: [Int]) -> Outcome {
    var parser = HTTP1ResponseParser(limits: .response)
    let head = MessageHead()
    return read(bytes, pieces, limits: .response) { input throws(HTTPError) in
        guard try parser.parse(&input, into: head, requestMethod: method) else { return nil }
        require(100..<600 ~= head.status, "a response has a status")
        return head
    }
}

/// Feeds a head's parser and then the body's decoder; `pieces` are ends, single bytes if empty.
private func read(
    _ bytes: [UInt8], _ pieces: [Int], limits: HTTPLimits,
    _ parse: (inout ByteBuffer) throws(HTTPError) -> MessageHead?
) -> Outcome {
    var decoder: HTTP1BodyDecoder?
    var described = ""
    var body: [UInt8] = []
    var input = ByteBuffer()
    var start = 0
    do throws(HTTPError) {
        for end in pieces.isEmpty ? Array(1...max(1, bytes.count)) : pieces {
            guard end <= bytes.count else { break }
            input.writeBytes(bytes[start..<end])
            start = end
            if decoder == nil, let head = try parse(&input) {
                described = describe(head)
                decoder = HTTP1BodyDecoder(framing: head.framing, limits: limits)
            }
            while decoder != nil {
                switch try decoder?.next(&input) {
                case .bytes(let part):
                    body += Array(part.readableBytesView)
                    continue
                case .end:
                    let rest = input.readableBytes + bytes.count - start
                    return .complete(head: described, body: body, rest: rest)
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

/// All that the gateway goes by.
private func describe(_ head: MessageHead) -> String {
    var text = "\(head.method) \(head.status) \(head.framing) \(head.keepAlive) \(head.version)"
    text +=
        " " + head.string(head.pathRange) + "?" + (head.queryRange.map { head.string($0) } ?? "")
    for field in head.fields {
        text += "\n" + head.string(field.nameRange) + ":" + head.string(field.valueRange)
    }
    return text
}
