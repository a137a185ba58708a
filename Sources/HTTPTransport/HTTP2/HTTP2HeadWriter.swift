internal import NIOCore

// Writes heads as header blocks. Names are lower case there (RFC 9113 8.2).
extension HPACKEncoder {
    /// How many bytes the block of `head` takes at most, whichever it is.
    static func blockBytes(_ head: MessageHead) -> Int {
        // The path stands in the head besides the fields, and may have a slash more.
        self.blockStartBytes + 2 * head.bytes.readableBytes
            + (head.fields.count + self.pseudoFields) * self.fieldBytes + self.pseudoBytes
    }

    /// Writes a response's head.
    func appendResponse(_ head: MessageHead, contentLength: Int?, to output: inout ByteWriter) {
        self.beginBlock(&output)
        self.appendStatus(head.status, to: &output)
        self.appendFields(of: head, except: .hopByHop, to: &output)
        self.appendContentLength(contentLength, to: &output)
    }

    /// Writes a head that is only a status.
    func appendInformational(_ status: Int, to output: inout ByteWriter) {
        self.beginBlock(&output)
        self.appendStatus(status, to: &output)
    }

    /// Writes a request's head, its path without the first `strippedPrefixBytes`.
    func appendRequest(
        _ head: MessageHead, isEncrypted: Bool, contentLength: Int?, strippedPrefixBytes: Int,
        to output: inout ByteWriter
    ) {
        self.beginBlock(&output)
        switch head.method {
        case .get: self.append(static: 2, to: &output)
        case .post: self.append(static: 3, to: &output)
        default: self.append(Self.pseudo(.method, 2), ":method", head.method.name, to: &output)
        }
        self.append(static: isEncrypted ? 7 : 6, to: &output)
        let buffer = head.bytes
        let bytes = buffer.readableBytesUInt8Span
        if let host = head.index(of: .host) {
            let value = bytes.extracting(head.fields[host].valueRange)
            Self.withText(":authority") {
                self.append(Self.pseudo(.authority, 1), $0, value, to: &output)
            }
        }
        self.appendPath(of: head, bytes, strippedPrefixBytes, to: &output)
        self.appendFields(of: head, except: Self.requestExceptions, to: &output)
        self.appendContentLength(contentLength, to: &output)
    }

    /// Writes trailers.
    func appendTrailers(_ head: MessageHead, to output: inout ByteWriter) {
        self.beginBlock(&output)
        self.appendFields(of: head, except: .hopByHop, to: &output)
    }

    private func appendFields(
        of head: MessageHead, except excluded: FieldNameSet, to output: inout ByteWriter
    ) {
        let buffer = head.bytes
        let bytes = buffer.readableBytesUInt8Span
        // By index: the table would be retained for a loop over it.
        for index in 0..<head.fields.count {
            let field = head.fields[index]
            if field.isHopByHop || excluded.contains(field.name) { continue }
            let text = bytes.extracting(field.nameRange)
            let value = bytes.extracting(field.valueRange)
            let isSecret = Self.secrets.contains(field.name) || field.isNeverIndexed
            // A secret has the class of `authorization` and any name (MessageHead.appendSecret).
            if self.exactNames.contains(field.name),
                field.name != .authorization
                    || text.isName("authorization", start: 0, length: text.count)
            {
                unsafe self.append(
                    self.name(field.name),
                    Span(_unsafeElements: self.shared.text(of: field.name)), value,
                    isSecret: isSecret, to: &output)
            } else if text.isLowered {
                self.append(self.name(text), text, value, isSecret: isSecret, to: &output)
            } else {
                let lowered = unsafe Span(_unsafeElements: self.lowered(text))
                self.append(self.name(lowered), lowered, value, isSecret: isSecret, to: &output)
            }
        }
    }

    /// The name in lower case, in what is shared.
    @unsafe private func lowered(_ text: Span<UInt8>) -> UnsafeBufferPointer<UInt8> {
        precondition(text.count <= HPACKShared.scratchBytes, "a name longer than a head")
        for index in text.indices {
            unsafe self.shared.name[index] = ASCII.lowered(text[index])
        }
        return unsafe UnsafeBufferPointer(start: self.shared.name, count: text.count)
    }

    private func appendStatus(_ status: Int, to output: inout ByteWriter) {
        switch status {
        case 200: self.append(static: 8, to: &output)
        case 204: self.append(static: 9, to: &output)
        case 206: self.append(static: 10, to: &output)
        case 304: self.append(static: 11, to: &output)
        case 400: self.append(static: 12, to: &output)
        case 404: self.append(static: 13, to: &output)
        case 500: self.append(static: 14, to: &output)
        default: self.append(Self.pseudo(.status, 8), ":status", decimal: status, to: &output)
        }
    }

    private func appendContentLength(_ count: Int?, to output: inout ByteWriter) {
        guard let count else { return }
        self.append(self.name(.contentLength), "content-length", decimal: count, to: &output)
    }

    private func appendPath(
        of head: MessageHead, _ bytes: Span<UInt8>, _ strippedPrefixBytes: Int,
        to output: inout ByteWriter
    ) {
        let path = (head.pathRange.lowerBound + strippedPrefixBytes)..<head.pathRange.upperBound
        let isAsterisk = head.method == .options && path.count == 1
        let needsSlash =
            !isAsterisk && (path.isEmpty || bytes[path.lowerBound] != ASCII.slash)
        let name = Self.pseudo(.path, 4)
        if !needsSlash, head.queryRange == nil || head.queryRange?.lowerBound == path.upperBound + 1
        {
            // As it came: path, `?` and query in a row.
            let end = head.queryRange?.upperBound ?? path.upperBound
            let value = bytes.extracting(path.lowerBound..<end)
            return Self.withText(":path") { self.append(name, $0, value, to: &output) }
        }
        var writer = unsafe ByteWriter(self.shared.value, room: HPACKShared.scratchBytes)
        if needsSlash { writer.append(ASCII.slash) }
        writer.append(bytes.extracting(path))
        if let query = head.queryRange {
            writer.append(ASCII.question)
            writer.append(bytes.extracting(query))
        }
        let value = unsafe UnsafeBufferPointer(start: self.shared.value, count: writer.count)
        Self.withText(":path") {
            self.append(name, $0, unsafe Span(_unsafeElements: value), to: &output)
        }
    }

    private func append(
        _ name: Name, _ text: StaticString, decimal number: Int, to output: inout ByteWriter
    ) {
        var writer = unsafe ByteWriter(self.shared.value, room: 20)
        writer.append(decimal: number)
        let value = unsafe UnsafeBufferPointer(start: self.shared.value, count: writer.count)
        Self.withText(text) {
            self.append(name, $0, unsafe Span(_unsafeElements: value), to: &output)
        }
    }

    private func append(
        _ name: Name, _ text: StaticString, _ value: StaticString, to output: inout ByteWriter
    ) {
        Self.withText(text) { text in
            Self.withText(value) { self.append(name, text, $0, to: &output) }
        }
    }

    @inline(__always)
    private static func withText(_ text: StaticString, _ body: (Span<UInt8>) -> Void) {
        let bytes = unsafe UnsafeBufferPointer(
            start: text.utf8Start, count: text.utf8CodeUnitCount)
        body(unsafe Span(_unsafeElements: bytes))
    }

    @inline(__always)
    private static func pseudo(_ field: HTTP2FieldFacts.Pseudo, _ number: Int) -> Name {
        Name(key: UInt32(FieldNameSet.capacity) + UInt32(field.rawValue), number: number)
    }

    private static let requestExceptions = FieldNameSet.hopByHop.union([.host])
    /// What no table may have, nor a proxy's behind us.
    private static let secrets: FieldNameSet = [.authorization, .cookie, .setCookie]
    /// Four of a request, and content-length.
    private static let pseudoFields = 5
    /// 96 bytes: their names, and what of their values is in no head.
    private static let pseudoBytes = 96
}
