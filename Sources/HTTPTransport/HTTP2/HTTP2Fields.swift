internal import CNghttp2
internal import NIOCore

/// The fields of one head on their way to nghttp2, which copies them and lowers the names' case.
///
/// One for a loop: filled, given to a session and forgotten within one call.
@safe final class HTTP2Fields {
    let pairs: UnsafeMutablePointer<nghttp2_nv>
    private(set) var count = 0
    /// Bytes that stand in no head: digits, and paths put together.
    private let scratch: UnsafeMutablePointer<UInt8>
    private var scratchCount = 0

    init() {
        unsafe self.pairs = .allocate(capacity: Self.capacity)
        unsafe self.scratch = .allocate(capacity: Self.scratchBytes)
    }

    deinit {
        unsafe self.pairs.deallocate()
        unsafe self.scratch.deallocate()
    }

    /// Fills in a response's head and gives it to `body` while the pointers hold.
    func withResponse(
        _ head: MessageHead, contentLength: Int?, _ body: () -> Void
    ) {
        self.withFields(of: head, except: .hopByHop) {
            unsafe self.add(":status", self.decimal(head.status))
        } last: {
            if let contentLength {
                unsafe self.add("content-length", self.decimal(contentLength), .noIndex)
            }
            body()
        }
    }

    /// Fills in a request's head and gives it to `body` while the pointers hold.
    func withRequest(
        _ head: MessageHead, isEncrypted: Bool, contentLength: Int?, strippedPrefixBytes: Int,
        _ body: () -> Void
    ) {
        let bytes = head.bytes
        unsafe bytes.withUnsafeReadableBytes { bytes in
            self.withFields(of: head, except: Self.requestExceptions) {
                unsafe self.add(":method", Self.bytes(head.method.name))
                unsafe self.add(":scheme", Self.bytes(isEncrypted ? "https" : "http"))
                if let host = head.index(of: .host) {
                    let range = head.fields[host].valueRange
                    unsafe self.add(":authority", UnsafeRawBufferPointer(rebasing: bytes[range]))
                }
                unsafe self.add(
                    ":path", self.path(head, bytes, strippedPrefixBytes), .noIndex)
            } last: {
                if let contentLength {
                    unsafe self.add("content-length", self.decimal(contentLength), .noIndex)
                }
                body()
            }
        }
    }

    /// Fills in trailers and gives them to `body` while the pointers hold.
    func withTrailers(_ head: MessageHead, _ body: () -> Void) {
        self.withFields(of: head, except: .hopByHop, first: {}, last: body)
    }

    /// Fills in a head that is only a status.
    func withStatus(_ status: Int, _ body: () -> Void) {
        self.count = 0
        self.scratchCount = 0
        unsafe self.add(":status", self.decimal(status))
        body()
    }

    private enum Indexing {
        case usual
        /// Different in each message: not worth a place in HPACK's table (RFC 7541 6.2.3).
        case noIndex
    }

    private func withFields(
        of head: MessageHead, except excluded: FieldNameSet, first: () -> Void, last: () -> Void
    ) {
        self.count = 0
        self.scratchCount = 0
        first()
        let buffer = head.bytes
        unsafe buffer.withUnsafeReadableBytes { bytes in
            let table = head.fields
            let fields = table.span
            for index in fields.indices {
                let field = fields[index]
                if field.isHopByHop || excluded.contains(field.name) { continue }
                guard self.count < Self.capacity - 1 else { break }
                unsafe self.add(
                    UnsafeRawBufferPointer(rebasing: bytes[field.nameRange]),
                    UnsafeRawBufferPointer(rebasing: bytes[field.valueRange]),
                    Self.unindexed.contains(field.name) ? .noIndex : .usual)
            }
            last()
        }
    }

    private func path(
        _ head: MessageHead, _ bytes: UnsafeRawBufferPointer, _ strippedPrefixBytes: Int
    ) -> UnsafeRawBufferPointer {
        let path = (head.pathRange.lowerBound + strippedPrefixBytes)..<head.pathRange.upperBound
        let needsSlash = unsafe path.isEmpty || bytes[path.lowerBound] != ASCII.slash
        let isPlain = head.method == .options && path.count == 1
        if !needsSlash || isPlain {
            guard let query = head.queryRange else {
                return unsafe UnsafeRawBufferPointer(rebasing: bytes[path])
            }
            // As it came: path, `?` and query in a row.
            if query.lowerBound == path.upperBound + 1 {
                return unsafe UnsafeRawBufferPointer(
                    rebasing: bytes[path.lowerBound..<query.upperBound])
            }
        }
        let start = self.scratchCount
        if needsSlash && !isPlain { self.append(ASCII.slash) }
        for index in path { unsafe self.append(bytes[index]) }
        if let query = head.queryRange {
            self.append(ASCII.question)
            for index in query { unsafe self.append(bytes[index]) }
        }
        return unsafe UnsafeRawBufferPointer(
            start: self.scratch + start, count: self.scratchCount - start)
    }

    private func decimal(_ number: Int) -> UnsafeRawBufferPointer {
        let start = self.scratchCount
        var divisor = 1
        while number / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            self.append(ASCII.zero + UInt8(truncatingIfNeeded: number / divisor % 10))
            divisor /= 10
        }
        return unsafe UnsafeRawBufferPointer(
            start: self.scratch + start, count: self.scratchCount - start)
    }

    private func append(_ byte: UInt8) {
        precondition(self.scratchCount < Self.scratchBytes, "a path longer than a head")
        unsafe self.scratch[self.scratchCount] = byte
        self.scratchCount += 1
    }

    @unsafe private func add(
        _ name: StaticString, _ value: UnsafeRawBufferPointer, _ indexing: Indexing = .usual
    ) {
        unsafe self.add(Self.bytes(name), value, indexing)
    }

    @unsafe private func add(
        _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ indexing: Indexing
    ) {
        // nghttp2 takes pointers to what it may change and does not (nghttp2_nv).
        unsafe self.pairs[self.count] = unsafe nghttp2_nv(
            name: UnsafeMutablePointer(
                mutating: name.baseAddress?.assumingMemoryBound(to: UInt8.self)),
            value: UnsafeMutablePointer(
                mutating: value.baseAddress?.assumingMemoryBound(to: UInt8.self)),
            namelen: name.count, valuelen: value.count,
            flags: indexing == .noIndex ? UInt8(NGHTTP2_NV_FLAG_NO_INDEX.rawValue) : 0)
        self.count += 1
    }

    private static func bytes(_ text: StaticString) -> UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
    }

    private static let requestExceptions = FieldNameSet.hopByHop.union([.host])
    private static let unindexed: FieldNameSet = [
        .xRequestID, .xMSRequestID, .xMSClientRequestID, .traceparent,
    ]
    /// 160 fields: a head's 100 and what we add.
    private static let capacity = 160
    /// 72 KiB: a path as long as a head, and some digits.
    private static let scratchBytes = 73_728
}
