internal import CNghttp2
internal import NIOCore

/// The fields of one head on their way to nghttp2, which copies values and such names as are only
/// in the head, and lowers the case of these.
///
/// One for a loop: filled, given to a session and forgotten within one call.
@safe final class HTTP2Fields {
    let pairs: UnsafeMutablePointer<nghttp2_nv>
    private(set) var count = 0
    /// Bytes that stand in no head: digits, and paths put together.
    private let scratch: UnsafeMutablePointer<UInt8>
    private var scratchCount = 0
    /// By ``FieldName``, what nghttp2 need not copy: its text in lower case, a literal; empty where
    /// the head has the only text.
    private let names: UnsafeMutablePointer<StaticString>

    init() {
        unsafe self.pairs = .allocate(capacity: Self.capacity)
        unsafe self.scratch = .allocate(capacity: Self.scratchBytes)
        unsafe self.names = .allocate(capacity: FieldNameSet.capacity)
        unsafe self.names.initialize(repeating: "", count: FieldNameSet.capacity)
        for name in FieldName.allCases {
            unsafe self.names[Int(name.rawValue)] = name.text ?? ""
        }
    }

    deinit {
        unsafe self.pairs.deallocate()
        unsafe self.scratch.deallocate()
        unsafe self.names.deallocate()
    }

    /// Fills in a response's head and gives it to `body` while the pointers hold.
    func withResponse(
        _ head: MessageHead, for session: HTTP2Session, contentLength: Int?, _ body: () -> Void
    ) {
        self.withFields(of: head, for: session, except: .hopByHop) {
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
        _ head: MessageHead, for session: HTTP2Session, isEncrypted: Bool, contentLength: Int?,
        strippedPrefixBytes: Int, _ body: () -> Void
    ) {
        let bytes = head.bytes
        unsafe bytes.withUnsafeReadableBytes { bytes in
            self.withFields(of: head, for: session, except: Self.requestExceptions) {
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
    func withTrailers(_ head: MessageHead, for session: HTTP2Session, _ body: () -> Void) {
        self.withFields(of: head, for: session, except: .hopByHop, first: {}, last: body)
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
        of head: MessageHead, for session: HTTP2Session, except excluded: FieldNameSet,
        first: () -> Void, last: () -> Void
    ) {
        self.count = 0
        self.scratchCount = 0
        session.beginHead()
        first()
        let buffer = head.bytes
        unsafe buffer.withUnsafeReadableBytes { bytes in
            // By index: the table would be retained for a loop over it.
            for index in 0..<head.fields.count {
                let field = head.fields[index]
                if field.isHopByHop || excluded.contains(field.name) { continue }
                guard self.count < Self.capacity - 1 else { break }
                let isIndexed =
                    !Self.unindexed.contains(field.name) || session.indexesName(field.name)
                let value = unsafe UnsafeRawBufferPointer(rebasing: bytes[field.valueRange])
                let name = unsafe self.names[Int(field.name.rawValue)]
                if name.utf8CodeUnitCount > 0 {
                    unsafe self.add(name, value, isIndexed ? .usual : .noIndex)
                } else {
                    unsafe self.add(
                        UnsafeRawBufferPointer(rebasing: bytes[field.nameRange]), value,
                        NGHTTP2_NV_FLAG_NONE)
                }
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
        precondition(self.scratchCount <= Self.scratchBytes - 20, "a path longer than a head")
        let start = unsafe self.scratch + self.scratchCount
        var writer = unsafe ByteWriter(start, room: 20)
        writer.append(decimal: number)
        self.scratchCount += writer.count
        return unsafe UnsafeRawBufferPointer(start: start, count: writer.count)
    }

    private func append(_ byte: UInt8) {
        precondition(self.scratchCount < Self.scratchBytes, "a path longer than a head")
        unsafe self.scratch[self.scratchCount] = byte
        self.scratchCount += 1
    }

    @unsafe private func add(
        _ name: StaticString, _ value: UnsafeRawBufferPointer, _ indexing: Indexing = .usual
    ) {
        let indexing = indexing == .noIndex ? NGHTTP2_NV_FLAG_NO_INDEX.rawValue : 0
        unsafe self.add(
            Self.bytes(name), value,
            nghttp2_nv_flag(NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue | indexing))
    }

    @unsafe private func add(
        _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ flags: nghttp2_nv_flag
    ) {
        // nghttp2 takes pointers to what it may change and does not (nghttp2_nv).
        unsafe self.pairs[self.count] = unsafe nghttp2_nv(
            name: UnsafeMutablePointer(
                mutating: name.baseAddress?.assumingMemoryBound(to: UInt8.self)),
            value: UnsafeMutablePointer(
                mutating: value.baseAddress?.assumingMemoryBound(to: UInt8.self)),
            namelen: name.count, valuelen: value.count,
            flags: UInt8(truncatingIfNeeded: flags.rawValue))
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
