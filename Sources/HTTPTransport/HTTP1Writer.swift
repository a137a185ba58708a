internal import NIOCore

/// Writes messages of HTTP/1.1 into buffers.
///
/// Everything is appended; nothing is checked again: heads come from a parser or from constants.
package enum HTTP1Writer {
    /// How many bytes of HTTP/1.1 a message with this head begins with, at most.
    ///
    /// A line that is not `name: value` grows by two bytes when it is written anew.
    package static func maximumBytes(of head: MessageHead) -> Int {
        head.bytes.readableBytes + 2 * head.fields.count + self.lineBytes
    }

    /// 256 bytes: the first line without the target, framing and connection fields, the empty line.
    private static let lineBytes = 256
    /// What a chunk has around its bytes, at most: a size of 16 digits and two CRLF.
    package static let chunkBytes = 20

    /// Appends `HTTP/1.1 status reason CRLF`; the reason is ours, empty for a status without one here.
    package static func appendStatusLine(_ status: Int, to output: inout ByteWriter) {
        if let line = Self.statusLine(status) {
            output.append(line)
            return
        }
        output.append("HTTP/1.1 ")
        output.append(decimal: status)
        output.append(" \r\n")
    }

    /// Appends the request line for what `head` asks, with its normalised path and its query.
    ///
    /// - Parameters:
    ///   - head: A request.
    ///   - strippedPrefixBytes: How many bytes to leave out at the start of the path; a `/` is put where
    ///     the rest does not begin with one.
    ///   - output: Takes the line.
    package static func appendRequestLine(
        _ head: MessageHead, strippedPrefixBytes: Int = 0, to output: inout ByteWriter
    ) {
        output.append(head.method.name)
        output.append(" ")
        let buffer = head.bytes
        let bytes = buffer.readableBytesUInt8Span
        let path = bytes.extracting(
            (head.pathRange.lowerBound + strippedPrefixBytes)..<head.pathRange.upperBound)
        if path.isEmpty || (strippedPrefixBytes > 0 && path[0] != ASCII.slash) {
            output.append("/")
        }
        output.append(path)
        if let query = head.queryRange {
            output.append("?")
            output.append(bytes.extracting(query))
        }
        output.append(" HTTP/1.1\r\n")
    }

    /// Appends the fields of `head` whose names are not in `excluded` and that do not end at this hop.
    ///
    /// Fields that stand together are copied together; a line that is not exactly `name: value` is
    /// written anew.
    package static func appendFields(
        of head: MessageHead, except excluded: FieldNameSet, to output: inout ByteWriter
    ) {
        self.appendFields(of: head, to: &output) { field, _ in
            field.isHopByHop || excluded.contains(field.name)
        }
    }

    /// Appends the fields of `head` but for those of which `isExcluded`, given a field and the head's
    /// bytes, says so; in runs, as the fields that are forwarded.
    @inline(__always)
    package static func appendFields(
        of head: MessageHead, to output: inout ByteWriter,
        except isExcluded: (HeadField, Span<UInt8>) -> Bool
    ) {
        let buffer = head.bytes
        let bytes = buffer.readableBytesUInt8Span
        let table = head.fields
        let fields = table.span
        // The run of bytes not copied yet; empty while start == end.
        var start = 0
        var end = 0
        for index in fields.indices {
            let field = fields[index]
            if isExcluded(field, bytes) { continue }
            let fieldStart = Int(field.nameStart)
            if field.isCanonical, fieldStart == end {
                end = field.lineEnd
                continue
            }
            if start < end { output.append(bytes.extracting(start..<end)) }
            if field.isCanonical {
                start = fieldStart
                end = field.lineEnd
            } else {
                start = 0
                end = 0
                output.append(bytes.extracting(field.nameRange))
                output.append(": ")
                output.append(bytes.extracting(field.valueRange))
                output.append("\r\n")
            }
        }
        if start < end { output.append(bytes.extracting(start..<end)) }
    }

    /// Appends `name: value CRLF`.
    package static func appendField(
        _ name: StaticString, _ value: Span<UInt8>, to output: inout ByteWriter
    ) {
        output.append(name)
        output.append(": ")
        output.append(value)
        output.append("\r\n")
    }

    /// Appends `name: value CRLF`.
    package static func appendField(
        _ name: StaticString, _ value: StaticString, to output: inout ByteWriter
    ) {
        output.append(name)
        output.append(": ")
        output.append(value)
        output.append("\r\n")
    }

    /// Appends `content-length: length CRLF`.
    package static func appendContentLength(_ length: Int, to output: inout ByteWriter) {
        output.append("content-length: ")
        output.append(decimal: length)
        output.append("\r\n")
    }

    /// Appends the field that frames a body: content-length, or `transfer-encoding: chunked`; nothing
    /// for a body that is not there or that ends with the connection.
    package static func appendFraming(_ framing: BodyFraming, to output: inout ByteWriter) {
        switch framing {
        case .none, .untilClose: break
        case .length(let length): self.appendContentLength(length, to: &output)
        case .chunked: output.append("transfer-encoding: chunked\r\n")
        }
    }

    /// Appends the fields with which a connection becomes one of WebSocket (RFC 6455 4).
    package static func appendUpgrade(to output: inout ByteWriter) {
        output.append("connection: Upgrade\r\nupgrade: websocket\r\n")
    }

    /// Appends the empty line that ends a head.
    package static func appendHeadEnd(to output: inout ByteWriter) {
        output.append("\r\n")
    }

    /// Appends what stands before `length` bytes of a chunk; at least one.
    package static func appendChunkStart(_ length: Int, to output: inout ByteWriter) {
        precondition(length > 0, "a chunk without bytes ends the body")
        var shift = (63 - length.leadingZeroBitCount) & ~3
        while shift >= 0 {
            let digit = UInt8(truncatingIfNeeded: length &>> shift) & 0xf
            output.append(digit < 10 ? digit + ASCII.zero : digit + 0x57)
            shift -= 4
        }
        output.append("\r\n")
    }

    /// Appends what stands after the bytes of a chunk.
    package static func appendChunkEnd(to output: inout ByteWriter) {
        output.append("\r\n")
    }

    /// Appends the last chunk and an empty trailer section.
    package static func appendLastChunk(to output: inout ByteWriter) {
        output.append("0\r\n\r\n")
    }

    private static func statusLine(_ status: Int) -> StaticString? {
        switch status {
        case 100: "HTTP/1.1 100 Continue\r\n"
        case 101: "HTTP/1.1 101 Switching Protocols\r\n"
        case 200: "HTTP/1.1 200 OK\r\n"
        case 201: "HTTP/1.1 201 Created\r\n"
        case 202: "HTTP/1.1 202 Accepted\r\n"
        case 204: "HTTP/1.1 204 No Content\r\n"
        case 206: "HTTP/1.1 206 Partial Content\r\n"
        case 301: "HTTP/1.1 301 Moved Permanently\r\n"
        case 302: "HTTP/1.1 302 Found\r\n"
        case 304: "HTTP/1.1 304 Not Modified\r\n"
        case 307: "HTTP/1.1 307 Temporary Redirect\r\n"
        case 400: "HTTP/1.1 400 Bad Request\r\n"
        case 401: "HTTP/1.1 401 Unauthorized\r\n"
        case 403: "HTTP/1.1 403 Forbidden\r\n"
        case 404: "HTTP/1.1 404 Not Found\r\n"
        case 405: "HTTP/1.1 405 Method Not Allowed\r\n"
        case 408: "HTTP/1.1 408 Request Timeout\r\n"
        case 413: "HTTP/1.1 413 Content Too Large\r\n"
        case 414: "HTTP/1.1 414 URI Too Long\r\n"
        case 415: "HTTP/1.1 415 Unsupported Media Type\r\n"
        case 417: "HTTP/1.1 417 Expectation Failed\r\n"
        case 421: "HTTP/1.1 421 Misdirected Request\r\n"
        case 422: "HTTP/1.1 422 Unprocessable Content\r\n"
        case 424: "HTTP/1.1 424 Failed Dependency\r\n"
        case 429: "HTTP/1.1 429 Too Many Requests\r\n"
        case 431: "HTTP/1.1 431 Request Header Fields Too Large\r\n"
        case 500: "HTTP/1.1 500 Internal Server Error\r\n"
        case 501: "HTTP/1.1 501 Not Implemented\r\n"
        case 502: "HTTP/1.1 502 Bad Gateway\r\n"
        case 503: "HTTP/1.1 503 Service Unavailable\r\n"
        case 504: "HTTP/1.1 504 Gateway Timeout\r\n"
        case 505: "HTTP/1.1 505 HTTP Version Not Supported\r\n"
        default: nil
        }
    }
}
