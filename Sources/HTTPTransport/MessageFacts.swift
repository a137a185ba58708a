internal import NIOCore

/// What a head says, once it is parsed, besides its fields.
///
/// One value, so that a parser fills it outside the ``MessageHead`` and gives it over in one access.
struct MessageFacts {
    var version: HTTPVersion = .http11
    var framing: BodyFraming = .none
    var contentLength: Int?
    var keepAlive = true
    var expectsContinue = false
    var method: HTTPMethod = .get
    var isUpgrade = false
    var isAbsoluteForm = false
    var targetRange = 0..<0
    var pathRange = 0..<0
    var queryRange: Range<Int>?
    var status = 0
    var reasonRange = 0..<0

    /// Finds path and query in the origin form at `range` of `bytes`, normalising the path.
    mutating func locatePath(
        _ range: Range<Int>, in bytes: inout ByteBuffer
    ) throws(HTTPError) {
        let target = try RequestTarget.scan(
            bytes.readableBytesUInt8Span, start: range.lowerBound, end: range.upperBound)
        self.queryRange =
            target.pathEnd < range.upperBound ? (target.pathEnd + 1)..<range.upperBound : nil
        self.pathRange = range.lowerBound..<target.pathEnd
        guard target.hasDotSegments else { return }
        let start = bytes.writerIndex
        RequestTarget.removeDotSegments(self.pathRange, of: &bytes)
        self.pathRange = start..<bytes.writerIndex
    }

    /// Finds out the form of the request target (RFC 9112, 3.2) and where its path and query are.
    ///
    /// - Parameters:
    ///   - bytes: The head.
    ///   - host: The offsets of the value of Host, nil where there is none.
    /// - Throws: `.malformedTarget`, or `.targetMismatch` where the authority is not that of Host.
    mutating func locateTarget(
        in bytes: inout ByteBuffer, host: Range<Int>?
    ) throws(HTTPError) {
        let target = self.targetRange
        let first = bytes.readableBytesUInt8Span[target.lowerBound]
        if first == ASCII.slash { return try self.locatePath(target, in: &bytes) }
        if first == UInt8(ascii: "*") {
            guard target.count == 1, self.method == .options else { throw .malformedTarget }
            self.pathRange = target
            return
        }
        let path = try Self.absoluteFormPath(bytes.readableBytesUInt8Span, target, host: host)
        self.isAbsoluteForm = true
        if path < target.upperBound, bytes.readableBytesUInt8Span[path] == ASCII.slash {
            return try self.locatePath(path..<target.upperBound, in: &bytes)
        }
        // An empty path is `/`, RFC 9112, 3.2.1. It is put where normalised paths are.
        let start = bytes.writerIndex
        bytes.writeInteger(ASCII.slash)
        if let query = bytes.getSlice(at: path, length: target.upperBound - path) {
            bytes.writeImmutableBuffer(query)
        }
        try self.locatePath(start..<bytes.writerIndex, in: &bytes)
    }

    /// Where the path begins in `https://authority/path`.
    ///
    /// The authority must be that of Host, byte by byte but for case. Only https: the listeners have no
    /// other scheme.
    private static func absoluteFormPath(
        _ bytes: Span<UInt8>, _ target: Range<Int>, host: Range<Int>?
    ) throws(HTTPError) -> Int {
        let scheme: StaticString = "https://"
        let prefix = scheme.utf8CodeUnitCount
        guard target.count > prefix,
            bytes.word(at: target.lowerBound) | 0x0000_0020_2020_2020 == scheme.word(at: 0)
        else { throw .malformedTarget }
        let start = target.lowerBound + prefix
        var end = start
        while end < target.upperBound, bytes[end] != ASCII.slash, bytes[end] != ASCII.question {
            end += 1
        }
        guard let host, host.count == end - start else { throw .targetMismatch }
        for offset in 0..<host.count
        where ASCII.lowered(bytes[host.lowerBound + offset])
            != ASCII.lowered(bytes[start + offset])
        {
            throw .targetMismatch
        }
        return end
    }
}
