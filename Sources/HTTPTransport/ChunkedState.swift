internal import NIOCore

/// Reads the size lines of a chunked body and keeps count of what they cost.
struct ChunkedState {
    /// Up to where the size line is known not to end.
    private var scanned = 0
    private var bodyBytes = 0
    private var tinyChunks = 0
    private var extensionBytes = 0

    /// Takes `chunk-size [ chunk-ext ] CRLF` out of `input`.
    ///
    /// - Returns: The size, nil if the line is not complete.
    mutating func parseSizeLine(
        _ input: inout ByteBuffer, limits: HTTPLimits
    ) throws(HTTPError) -> Int? {
        let maximum = HTTPLimits.chunkSizeDigits + HTTPLimits.chunkExtensionBytes
        let end: Int
        let size: Int
        do {
            let bytes = input.readableBytesUInt8Span
            switch bytes.scanLine(from: self.scanned) {
            case .invalid:
                throw .malformedChunk
            case .needMore(let scanned):
                self.scanned = scanned
                guard scanned <= maximum else { throw .excessiveChunkOverhead }
                // What begins wrongly is refused now: its line might never end.
                if scanned > 0 { _ = try Self.size(bytes, end: min(scanned, bytes.count)) }
                return nil
            case .line(let lineEnd):
                end = lineEnd
            }
            guard end > 0 else { throw .malformedChunk }
            let (value, digits) = try Self.size(bytes, end: end)
            size = value
            if digits < end {
                guard end - digits <= HTTPLimits.chunkExtensionBytes else {
                    throw .excessiveChunkOverhead
                }
                self.extensionBytes += end - digits
                guard self.extensionBytes <= HTTPLimits.chunkExtensionTotalBytes else {
                    throw .excessiveChunkOverhead
                }
                try Self.checkExtensions(bytes, start: digits, end: end)
            }
        }
        input.moveReaderIndex(forwardBy: end + 2)
        self.scanned = 0
        let (sum, overflow) = self.bodyBytes.addingReportingOverflow(size)
        guard !overflow, sum <= limits.bodyBytes else { throw .bodyTooLarge }
        self.bodyBytes = sum
        if size < HTTPLimits.tinyChunkBytes {
            self.tinyChunks &+= 1
            guard self.tinyChunks <= limits.tinyChunks else { throw .excessiveChunkOverhead }
        }
        return size
    }

    /// Takes the CRLF after a chunk's bytes.
    ///
    /// - Returns: Whether both bytes were there.
    static func takeChunkEnd(_ input: inout ByteBuffer) throws(HTTPError) -> Bool {
        do {
            let bytes = input.readableBytesUInt8Span
            guard !bytes.isEmpty else { return false }
            guard bytes[0] == ASCII.carriageReturn else { throw .malformedChunk }
            guard bytes.count > 1 else { return false }
            guard bytes[1] == ASCII.lineFeed else { throw .malformedChunk }
        }
        input.moveReaderIndex(forwardBy: 2)
        return true
    }

    /// The size at the start of the line, and how many digits it has; `;` or the end must follow.
    private static func size(
        _ bytes: Span<UInt8>, end: Int
    ) throws(HTTPError) -> (size: Int, digits: Int) {
        var size = 0
        var index = 0
        while index < end, let digit = ASCII.hexadecimalValue(bytes[index]) {
            guard index < HTTPLimits.chunkSizeDigits, size <= Int.max &>> 4 else {
                throw .malformedChunk
            }
            size = size &<< 4 | Int(digit)
            index &+= 1
        }
        guard index > 0, index == end || bytes[index] == ASCII.semicolon else {
            throw .malformedChunk
        }
        return (size, index)
    }

    /// `*( ";" token [ "=" ( token / quoted-string ) ] )`, RFC 9112, 7.1.1, without white space.
    private static func checkExtensions(
        _ bytes: Span<UInt8>, start: Int, end: Int
    ) throws(HTTPError) {
        let token = ByteSet.token
        var index = start
        while index < end {
            guard bytes[index] == ASCII.semicolon else { throw .malformedChunk }
            index += 1
            let name = index
            while index < end, token.contains(bytes[index]) { index += 1 }
            guard index > name else { throw .malformedChunk }
            guard index < end, bytes[index] == UInt8(ascii: "=") else { continue }
            index += 1
            if index < end, bytes[index] == UInt8(ascii: "\"") {
                index = try self.quotedStringEnd(bytes, start: index, end: end)
            } else {
                let value = index
                while index < end, token.contains(bytes[index]) { index += 1 }
                guard index > value else { throw .malformedChunk }
            }
        }
    }

    /// The index after the quoted string that starts at `start`.
    private static func quotedStringEnd(
        _ bytes: Span<UInt8>, start: Int, end: Int
    ) throws(HTTPError) -> Int {
        var index = start + 1
        while index < end {
            switch bytes[index] {
            case UInt8(ascii: "\""): return index + 1
            case UInt8(ascii: "\\"): index += 2
            default: index += 1
            }
        }
        throw .malformedChunk
    }
}
