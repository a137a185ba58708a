internal import NIOCore

/// What an origin form is made of, after one scan.
package struct RequestTarget {
    /// Where the path ends: at the `?`, or at the end of the target.
    let pathEnd: Int
    /// Whether the path has a segment `.` or `..`, so that it is not normal yet.
    let hasDotSegments: Bool

    /// Checks the origin form in `start..<end` and finds its parts.
    ///
    /// The path must begin with one `/` and hold only bytes RFC 3986 allows in paths. Refused are what
    /// servers read in different ways: empty segments (`//`), a backslash, and percent-escapes of `/`,
    /// `\`, control bytes, ill-formed UTF-8, or dots that make a dot segment. In the query escapes must
    /// be well-formed, and `%00` is refused.
    ///
    /// - Throws: `.malformedTarget`.
    static func scan(
        _ bytes: Span<UInt8>, start: Int, end: Int
    ) throws(HTTPError) -> RequestTarget {
        guard start < end, bytes[start] == ASCII.slash else { throw .malformedTarget }
        let plain = ByteSet.path
        var hasDotSegments = false
        var hasEscapes = false
        var previous: UInt8 = 0
        var index = start
        while index < end {
            let byte = bytes[index]
            if !plain.contains(byte) {
                if byte == ASCII.question { break }
                guard byte == ASCII.percent else { throw .malformedTarget }
                hasEscapes = true
            } else if previous == ASCII.slash {
                guard byte != ASCII.slash else { throw .malformedTarget }
                if byte == UInt8(ascii: ".") {
                    hasDotSegments =
                        hasDotSegments || self.isDotSegment(bytes, from: index, end: end)
                }
            }
            previous = byte
            index &+= 1
        }
        if hasEscapes { try self.checkPathEscapes(bytes, start: start, end: index) }
        if index < end { try self.checkQuery(bytes, start: index &+ 1, end: end) }
        return RequestTarget(pathEnd: index, hasDotSegments: hasDotSegments)
    }

    /// Whether the segment that starts with the dot at `start` is `.` or `..`.
    private static func isDotSegment(_ bytes: Span<UInt8>, from start: Int, end: Int) -> Bool {
        var index = start &+ 1
        if index < end, bytes[index] == UInt8(ascii: ".") { index &+= 1 }
        return index == end || bytes[index] == ASCII.slash || bytes[index] == ASCII.question
    }

    /// Refuses escapes in the path that are malformed or that hide something.
    private static func checkPathEscapes(
        _ bytes: Span<UInt8>, start: Int, end: Int
    ) throws(HTTPError) {
        var utf8 = UTF8Check()
        var segment = SegmentDots()
        var index = start
        while index < end {
            var byte = bytes[index]
            index &+= 1
            if byte == ASCII.slash {
                guard !segment.isEscapedDotSegment else { throw .malformedTarget }
                segment = SegmentDots()
                guard utf8.accept(byte) else { throw .malformedTarget }
                continue
            }
            let isEscaped = byte == ASCII.percent
            if isEscaped {
                guard let decoded = self.escape(bytes, at: index, end: end) else {
                    throw .malformedTarget
                }
                byte = decoded
                index &+= 2
                guard byte >= 0x20, byte != 0x7f, byte != ASCII.slash, byte != UInt8(ascii: "\\")
                else { throw .malformedTarget }
            }
            guard utf8.accept(byte) else { throw .malformedTarget }
            segment.add(byte, isEscaped: isEscaped)
        }
        guard utf8.isComplete, !segment.isEscapedDotSegment else { throw .malformedTarget }
    }

    private static func checkQuery(
        _ bytes: Span<UInt8>, start: Int, end: Int
    ) throws(HTTPError) {
        let plain = ByteSet.query
        var index = start
        while index < end {
            let byte = bytes[index]
            index &+= 1
            guard !plain.contains(byte) else { continue }
            guard byte == ASCII.percent, let decoded = self.escape(bytes, at: index, end: end),
                decoded != 0
            else { throw .malformedTarget }
            index &+= 2
        }
    }

    /// The byte that the two hexadecimal digits at `index` stand for.
    fileprivate static func escape(_ bytes: Span<UInt8>, at index: Int, end: Int) -> UInt8? {
        guard index &+ 1 < end, let high = ASCII.hexadecimalValue(bytes[index]),
            let low = ASCII.hexadecimalValue(bytes[index &+ 1])
        else { return nil }
        return high &<< 4 | low
    }

    /// Appends the path at `range` to `bytes` without its dot segments.
    ///
    /// RFC 3986, 5.2.4, for a path that begins with `/` and has no empty segments but a last one.
    /// `..` at the root stays at the root.
    static func removeDotSegments(_ range: Range<Int>, of bytes: inout ByteBuffer) {
        let start = bytes.writerIndex
        // Ends of the segments kept so far are found by looking back for the slash.
        var index = range.lowerBound
        while index < range.upperBound {
            // At a slash: the segment is what follows up to the next one.
            var segmentEnd = index + 1
            while segmentEnd < range.upperBound, bytes.byte(at: segmentEnd) != ASCII.slash {
                segmentEnd += 1
            }
            let isLast = segmentEnd == range.upperBound
            switch bytes.dots(in: (index + 1)..<segmentEnd) {
            case 1:
                if isLast { bytes.writeInteger(ASCII.slash) }
            case 2:
                var end = bytes.writerIndex
                while end > start {
                    end -= 1
                    if bytes.byte(at: end) == ASCII.slash { break }
                }
                bytes.moveWriterIndex(to: end)
                if isLast { bytes.writeInteger(ASCII.slash) }
            default:
                for position in index..<segmentEnd {
                    bytes.writeInteger(bytes.byte(at: position))
                }
            }
            index = segmentEnd
        }
        if bytes.writerIndex == start { bytes.writeInteger(ASCII.slash) }
    }
}

extension ByteBuffer {
    fileprivate func byte(at index: Int) -> UInt8 { self.readableBytesUInt8Span[index] }

    /// 1 or 2 where the bytes in `range` are `.` or `..`, else 0.
    fileprivate func dots(in range: Range<Int>) -> Int {
        guard range.count == 1 || range.count == 2 else { return 0 }
        for index in range where self.byte(at: index) != UInt8(ascii: ".") { return 0 }
        return range.count
    }
}

/// Whether a segment is `.` or `..` once decoded, and an escape had a part in it.
private struct SegmentDots {
    private var dots = 0
    private var others = false
    private var hasEscapedDot = false

    mutating func add(_ byte: UInt8, isEscaped: Bool) {
        guard byte == UInt8(ascii: ".") else {
            self.others = true
            return
        }
        self.dots += 1
        self.hasEscapedDot = self.hasEscapedDot || isEscaped
    }

    var isEscapedDotSegment: Bool {
        self.hasEscapedDot && !self.others && self.dots <= 2
    }
}

/// Checks bytes one by one for well-formed UTF-8 (Unicode, table 3-7).
private struct UTF8Check {
    private var missing = 0
    /// What the next continuation byte may be.
    private var lowest: UInt8 = 0x80
    private var highest: UInt8 = 0xbf

    var isComplete: Bool { self.missing == 0 }

    mutating func accept(_ byte: UInt8) -> Bool {
        if self.missing > 0 {
            guard byte >= self.lowest, byte <= self.highest else { return false }
            self.missing -= 1
            self.lowest = 0x80
            self.highest = 0xbf
            return true
        }
        switch byte {
        case 0..<0x80: return true
        case 0xc2...0xdf: self.missing = 1
        case 0xe0...0xef:
            self.missing = 2
            if byte == 0xe0 { self.lowest = 0xa0 }
            if byte == 0xed { self.highest = 0x9f }
        case 0xf0...0xf4:
            self.missing = 3
            if byte == 0xf0 { self.lowest = 0x90 }
            if byte == 0xf4 { self.highest = 0x8f }
        default: return false
        }
        return true
    }
}

extension Span<UInt8> {
    /// How many bytes of this path are `prefix`; nil unless it is that or lies below it.
    ///
    /// An unreserved character and its percent-encoding are the same (RFC 3986, 6.2.2.2). The path is
    /// one that a parser has accepted; `prefix` has unreserved characters and slashes only.
    package func lengthOfPathPrefix(_ prefix: [UInt8]) -> Int? {
        var position = 0
        for byte in prefix {
            guard position < self.count else { return nil }
            if self[position] == byte {
                position += 1
            } else if self[position] == ASCII.percent,
                RequestTarget.escape(self, at: position + 1, end: self.count) == byte
            {
                position += 3
            } else {
                return nil
            }
        }
        let isWhole =
            position == self.count || prefix.isEmpty || self[position] == ASCII.slash
        return isWhole ? position : nil
    }
}
