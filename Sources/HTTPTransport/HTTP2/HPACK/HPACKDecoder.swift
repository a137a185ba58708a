/// Reads the header blocks of one connection (RFC 7541, 3 and 6).
final class HPACKDecoder {
    /// Why a block is none.
    enum Failure: Error {
        /// Not HPACK: nothing more of the connection can be read (RFC 9113 4.3).
        case malformed
        /// One name or value of more than 64 KiB.
        case tooLong
    }

    private let shared: HPACKShared
    private let table = HPACKTable<HTTP2FieldFacts>()
    /// Whether the block has had no field yet, so that the table's size may change.
    private var isAtStart = true

    init(shared: HPACKShared) {
        self.shared = shared
    }

    /// What becomes of a literal field (RFC 7541, 6.2).
    private enum Literal {
        /// The table gets it.
        case added
        case plain
        /// No table may get it.
        case neverIndexed

        init(_ first: UInt8) {
            self = first & 0x40 != 0 ? .added : first & 0x10 != 0 ? .neverIndexed : .plain
        }
    }

    /// Another block begins.
    func beginBlock() { self.isAtStart = true }

    /// Gives `take` the whole fields that `bytes` begins with.
    ///
    /// - Returns: How many bytes these took. The rest is the beginning of a field, to be given again
    ///   with what follows.
    func decode(
        _ bytes: Span<UInt8>,
        _ take: (_ name: Span<UInt8>, _ value: Span<UInt8>, HTTP2FieldFacts) -> Void
    ) throws(Failure) -> Int {
        var index = 0
        while index < bytes.count {
            let start = index
            let first = bytes[index]
            if first & 0x80 != 0 {
                guard let number = try Self.integer(bytes, &index, prefix: 7) else { return start }
                self.isAtStart = false
                let (name, value, facts) = unsafe try self.find(number)
                take(
                    unsafe Span(_unsafeElements: name), unsafe Span(_unsafeElements: value), facts)
            } else if first & 0xe0 == 0x20 {
                guard let size = try Self.integer(bytes, &index, prefix: 5) else { return start }
                guard self.isAtStart, size <= HPACK.tableBytes else { throw .malformed }
                self.table.setMaximumSize(size)
            } else {
                let literal = Literal(first)
                let number = try Self.integer(bytes, &index, prefix: literal == .added ? 6 : 4)
                guard let number,
                    try self.takeLiteral(bytes, &index, name: number, literal, take)
                else { return start }
                self.isAtStart = false
            }
        }
        return index
    }

    /// An integer with a prefix of so many bits (RFC 7541, 5.1); nil if not all of it is there.
    @inline(__always)
    private static func integer(
        _ bytes: Span<UInt8>, _ index: inout Int, prefix: Int
    ) throws(Failure) -> Int? {
        let mask = 1 &<< prefix &- 1
        let value = Int(bytes[index]) & mask
        index &+= 1
        return value < mask ? value : try self.longInteger(bytes, &index, value)
    }

    private static func longInteger(
        _ bytes: Span<UInt8>, _ index: inout Int, _ prefix: Int
    ) throws(Failure) -> Int? {
        var value = prefix
        // Up to 2^28: nothing here is as large.
        for shift in stride(from: 0, to: 28, by: 7) {
            guard index < bytes.count else { return nil }
            let byte = bytes[index]
            index += 1
            value += Int(byte & 0x7f) << shift
            if byte & 0x80 == 0 { return value }
        }
        throw .malformed
    }

    /// Name, value and facts of entry `number` of both tables (RFC 7541, 2.3.3), until one is added.
    @unsafe @inline(__always)
    private func find(
        _ number: Int
    ) throws(Failure) -> (
        name: UnsafeBufferPointer<UInt8>, value: UnsafeBufferPointer<UInt8>, facts: HTTP2FieldFacts
    ) {
        // Two branches, and not one table or the other: that would be counted as a reference.
        if number <= HPACK.staticCount {
            guard let entry = self.shared.staticTable.entry(number) else { throw .malformed }
            let (name, value) = unsafe self.shared.staticTable.pointers(to: entry)
            return unsafe (name, value, entry.note)
        }
        guard let entry = self.table.entry(number &- HPACK.staticCount) else { throw .malformed }
        let (name, value) = unsafe self.table.pointers(to: entry)
        return unsafe (name, value, entry.note)
    }

    /// Reads a literal field whose name is that of entry `name`, or follows where that is zero.
    ///
    /// - Returns: False if not all of it is there.
    private func takeLiteral(
        _ bytes: Span<UInt8>, _ index: inout Int, name number: Int, _ literal: Literal,
        _ take: (_ name: Span<UInt8>, _ value: Span<UInt8>, HTTP2FieldFacts) -> Void
    ) throws(Failure) -> Bool {
        if number > 0 {
            let (name, _, facts) = unsafe try self.find(number)
            return try self.takeValue(
                bytes, &index, name: unsafe Span(_unsafeElements: name), facts, literal, take)
        }
        guard let text = try Self.text(bytes, &index) else { return false }
        let source = bytes.extracting(text.range)
        guard text.isHuffman else {
            return try self.takeValue(
                bytes, &index, name: source, HTTP2FieldFacts(source), literal, take)
        }
        let name = unsafe try self.decode(source, to: self.shared.name)
        let decoded = unsafe Span(_unsafeElements: name)
        return try self.takeValue(
            bytes, &index, name: decoded, HTTP2FieldFacts(decoded), literal, take)
    }

    private func takeValue(
        _ bytes: Span<UInt8>, _ index: inout Int, name: Span<UInt8>, _ facts: HTTP2FieldFacts,
        _ literal: Literal,
        _ take: (_ name: Span<UInt8>, _ value: Span<UInt8>, HTTP2FieldFacts) -> Void
    ) throws(Failure) -> Bool {
        guard let text = try Self.text(bytes, &index) else { return false }
        let source = bytes.extracting(text.range)
        if text.isHuffman {
            let value = unsafe try self.decode(source, to: self.shared.value)
            self.takeField(name, unsafe Span(_unsafeElements: value), facts, literal, take)
        } else {
            self.takeField(name, source, facts, literal, take)
        }
        return true
    }

    @inline(__always)
    private func takeField(
        _ name: Span<UInt8>, _ value: Span<UInt8>, _ facts: HTTP2FieldFacts,
        _ literal: Literal,
        _ take: (_ name: Span<UInt8>, _ value: Span<UInt8>, HTTP2FieldFacts) -> Void
    ) {
        let facts = facts.withValue(value, isNeverIndexed: literal == .neverIndexed)
        take(name, value, facts)
        if literal == .added { self.table.insert(name, value, facts) }
    }

    /// Where the bytes of a string are (RFC 7541, 5.2); nil if they are not all there.
    @inline(__always)
    private static func text(
        _ bytes: Span<UInt8>, _ index: inout Int
    ) throws(Failure) -> (range: Range<Int>, isHuffman: Bool)? {
        guard index < bytes.count else { return nil }
        let isHuffman = bytes[index] & 0x80 != 0
        guard let length = try self.integer(bytes, &index, prefix: 7) else { return nil }
        guard length <= HPACKShared.textBytes else { throw .tooLong }
        guard length <= bytes.count &- index else { return nil }
        let start = index
        index &+= length
        return (start..<index, isHuffman)
    }

    @unsafe private func decode(
        _ source: Span<UInt8>, to target: UnsafeMutablePointer<UInt8>
    ) throws(Failure) -> UnsafeBufferPointer<UInt8> {
        guard let count = unsafe self.shared.huffman.decode(source, to: target) else {
            throw .malformed
        }
        return unsafe UnsafeBufferPointer(start: target, count: count)
    }
}

/// What the connections of one loop share to read and write header blocks.
@safe final class HPACKShared {
    let huffman = HPACKHuffman.standard
    let staticTable = HPACK.staticTable()
    /// By ``FieldName``: the first entry of the static table with this name; zero if there is none.
    let staticNumbers: [UInt8]
    /// By ``FieldName``: its text, a literal; empty where a class has many.
    private let texts: [StaticString]
    /// Where a name and a value are decoded to, or put together, one field at a time; each has room
    /// for ``scratchBytes``.
    let name: UnsafeMutablePointer<UInt8>
    let value: UnsafeMutablePointer<UInt8>

    init() {
        unsafe self.name = .allocate(capacity: Self.scratchBytes)
        unsafe self.value = .allocate(capacity: Self.scratchBytes)
        var numbers = [UInt8](repeating: 0, count: FieldNameSet.capacity)
        for number in 1...HPACK.staticCount {
            guard let known = self.staticTable.entry(number)?.note.known,
                FieldNameSet.exact.contains(known), numbers[Int(known.rawValue)] == 0
            else { continue }
            numbers[Int(known.rawValue)] = UInt8(number)
        }
        self.staticNumbers = numbers
        self.texts = FieldName.allCases.map { $0.text ?? "" }
    }

    /// The text of a name that has one.
    @unsafe @inline(__always)
    func text(of name: FieldName) -> UnsafeBufferPointer<UInt8> {
        let text = self.texts[Int(name.rawValue)]
        return unsafe UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
    }

    deinit {
        unsafe self.name.deallocate()
        unsafe self.value.deallocate()
    }

    /// 64 KiB: how long a name or value may be as it is sent; a head has no more in all.
    static var textBytes: Int { 65_536 }
    /// Of such a text, decoded; more than any head has.
    static var scratchBytes: Int { HPACKHuffman.decodedBytes(self.textBytes) }
}
