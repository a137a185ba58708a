package import NIOCore

/// Takes the body of one message out of the bytes of its connection.
///
/// Bytes come out as slices of the input, without a copy. Chunked framing is read strictly (RFC 9112, 7):
/// no white space around sizes, no bare LF, extensions well-formed and few.
package struct HTTP1BodyDecoder {
    /// What ``next(_:)`` found.
    package enum Part {
        /// Nothing until more input comes.
        case needMore
        /// Bytes of the body, at least one.
        case bytes(ByteBuffer)
        /// The body is over; what is left in the input is the next message's.
        case end
    }

    private enum State {
        /// So many bytes of the body are left, at least one.
        case length(Int)
        /// At the start of a chunk's size line.
        case size
        /// So many bytes of the chunk are left, at least one.
        case chunk(Int)
        /// At the CRLF after a chunk's bytes.
        case chunkEnd
        /// In the trailers.
        case trailers
        /// So many bytes came; there may be any number.
        case untilClose(Int)
        case ended
    }

    private var state: State
    private let limits: HTTPLimits
    private var chunkedState = ChunkedState()
    private var section = FieldSection(start: 0)
    /// Takes a response's trailer fields; a request's, without it, are checked and dropped.
    package var trailers: MessageHead?

    /// A decoder for one body.
    package init(framing: BodyFraming, limits: HTTPLimits) {
        self.limits = limits
        self.state =
            switch framing {
            case .none, .length(0): .ended
            case .length(let length): .length(length)
            case .chunked: .size
            case .untilClose: .untilClose(0)
            }
    }

    /// Whether the whole body was taken.
    package var isEnded: Bool {
        if case .ended = self.state { return true }
        return false
    }

    /// Takes the next part of the body out of `input`.
    ///
    /// Call until it says `.needMore` or `.end`. After `.needMore`, `input` must keep its readable bytes
    /// and only grow.
    ///
    /// - Throws: `.malformedChunk`, `.excessiveChunkOverhead`, `.bodyTooLarge`, or what the trailers break
    ///   of the rules for fields (`.fieldsTooLarge` above 8 KiB). The connection cannot be read any further.
    package mutating func next(_ input: inout ByteBuffer) throws(HTTPError) -> Part {
        while true {
            switch self.state {
            case .length(let remaining):
                let count = min(remaining, input.readableBytes)
                guard count > 0, let slice = input.readSlice(length: count) else {
                    return .needMore
                }
                self.state = count == remaining ? .ended : .length(remaining - count)
                return .bytes(slice)
            case .size:
                guard
                    let size = try self.chunkedState.parseSizeLine(&input, limits: self.limits)
                else { return .needMore }
                self.state = size == 0 ? .trailers : .chunk(size)
                if size == 0 { self.section = FieldSection(start: 0) }
            case .chunk(let remaining):
                let count = min(remaining, input.readableBytes)
                guard count > 0, let slice = input.readSlice(length: count) else {
                    return .needMore
                }
                self.state = count == remaining ? .chunkEnd : .chunk(remaining - count)
                return .bytes(slice)
            case .chunkEnd:
                guard try ChunkedState.takeChunkEnd(&input) else { return .needMore }
                self.state = .size
            case .trailers:
                guard try self.takeTrailers(&input) else { return .needMore }
                self.state = .ended
            case .untilClose(let taken):
                let count = input.readableBytes
                guard count <= self.limits.bodyBytes - taken else { throw .bodyTooLarge }
                guard count > 0, let slice = input.readSlice(length: count) else {
                    return .needMore
                }
                self.state = .untilClose(taken + count)
                return .bytes(slice)
            case .ended:
                return .end
            }
        }
    }

    /// Tells that no more input will come, after all of it was taken.
    ///
    /// - Throws: `.truncated` unless the body is over or was to end with the connection. The caller of a
    ///   body that ends with the connection must know by TLS that the end is the peer's.
    package mutating func inputClosed() throws(HTTPError) {
        switch self.state {
        case .ended: break
        case .untilClose: self.state = .ended
        default: throw .truncated
        }
    }

    private mutating func takeTrailers(_ input: inout ByteBuffer) throws(HTTPError) -> Bool {
        var fields: [HeadField] = []
        if let trailers = self.trailers { swap(&fields, &trailers.fields) }
        let isComplete = try self.section.parse(
            input.readableBytesUInt8Span, into: &fields,
            kind: self.trailers == nil ? .requestTrailers : .responseTrailers,
            limits: self.limits, maximumBytes: self.limits.trailerBytes)
        if let trailers = self.trailers {
            swap(&fields, &trailers.fields)
            if isComplete { trailers.adoptBytes(of: &input, count: self.section.lineStart) }
        } else if isComplete {
            input.moveReaderIndex(forwardBy: self.section.lineStart)
        }
        return isComplete
    }
}
