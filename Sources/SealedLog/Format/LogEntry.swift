internal import Cryptography

/// One entry of the log.
///
/// | offset | bytes | meaning |
/// |---|---|---|
/// | 0 | 4 | bytes that follow |
/// | 4 | 1 | kind |
/// | 5 | 3 | zero |
/// | 8 | 8 | sequence number |
/// | 16 | 8 | time, Unix nanoseconds |
/// | 24 | 16 | request id |
/// | 40 | … | fields: tag (2), bytes of the value (4), value; tags ascending |
@usableFromInline package struct LogEntry: Equatable, Sendable {
    /// What an entry is about.
    package enum Kind: UInt8, Sendable {
        case request = 1
        case response = 2
        case event = 3
    }

    /// What a field says.
    ///
    /// Numbers are big-endian.
    @usableFromInline
    package enum Tag: UInt16, Sendable, CaseIterable {
        case endpoint = 1
        case deployment = 2
        case method = 3
        /// Without the query.
        case path = 4
        /// u16.
        case status = 5
        /// Lines `name: value CRLF`, secrets removed.
        case headers = 6
        /// Up to the endpoint's cap.
        case body = 7
        /// u64.
        case bodyBytes = 8
        /// SHA-256 of the whole body.
        case bodyDigest = 9
        case requestIDText = 10
        case clientRequestIDText = 11
        case endpointKeyID = 12
        /// u8, an ``Outcome``.
        case outcome = 13
        case backend = 14
        /// u64, nanoseconds.
        case duration = 15
        /// JSON.
        case event = 16
    }

    /// How an exchange ended.
    package enum Outcome: UInt8, Sendable {
        case complete = 1
        case cut = 2
        case clientCancelled = 3
        case timedOut = 4
        case backendFailed = 5
    }

    /// One field; a tag that is not known is kept by its number.
    package struct Field: Equatable, Sendable {
        package let tag: UInt16
        package let value: [UInt8]
    }

    /// What it is about.
    package let kind: Kind
    /// Its number in the stream.
    package let sequence: UInt64
    /// When, Unix nanoseconds; 0 where a time would betray.
    package let nanoseconds: UInt64
    /// Joins the request's and the response's entry.
    package let requestID: LogIdentifier
    /// By ascending tag.
    package internal(set) var fields: [Field]

    /// How many bytes an entry without fields has.
    package static let smallestBytes = 40
    static let sequenceOffset = 8
    static let timeOffset = 16
    static let requestIDOffset = 24

    /// The value of a field; nil where there is none.
    package subscript(tag: Tag) -> [UInt8]? {
        self.fields.first { $0.tag == tag.rawValue }?.value
    }
}

extension LogEntry {
    /// Reads the 40 bytes an entry begins with, and no fields; nil if they are none.
    ///
    /// The first four, how long the entry is, are not looked at.
    init?(decodingHead bytes: RawSpan) {
        guard let kind = Kind(rawValue: bytes[byte: 4]),
            bytes.bigEndian(UInt32.self, at: 4) << 8 == 0
        else { return nil }
        self.init(
            kind: kind, sequence: bytes.bigEndian(UInt64.self, at: Self.sequenceOffset),
            nanoseconds: bytes.bigEndian(UInt64.self, at: Self.timeOffset),
            requestID: LogIdentifier(bytes, at: Self.requestIDOffset), fields: [])
    }
}

/// Entries in their encoded form, one after another; the sequence numbers are still to come.
///
/// A worker fills one and hands it over whole; the log's writer gives the numbers.
@usableFromInline package struct EntryBatch: Sendable {
    /// The entries, and zeros, or what stood there before, as far as there is room.
    ///
    /// An entry has some ten fields: each is written into memory that is there, and asks no array to
    /// grow.
    private var memory: [UInt8]
    /// How many bytes the entries have.
    package private(set) var byteCount = 0
    /// How many entries there are.
    package private(set) var entries = 0

    private var start = 0
    private var lastTag: UInt16 = 0

    /// Makes an empty one with room for so many bytes.
    package init(reserving capacity: Int = 0) {
        self.memory = [UInt8](repeating: 0, count: capacity)
    }

    /// The encoded entries.
    package var bytes: RawSpan {
        @_lifetime(borrow self)
        get {
            let bytes = self.memory.rawSpan.extracting(first: self.byteCount)
            // All of it is the array's, which is part of this.
            return unsafe _overrideLifetime(bytes, borrowing: self)
        }
    }

    /// How many bytes there is room for without asking for more memory.
    package var capacity: Int { self.memory.count }

    /// Begins an entry; its fields follow, by ascending tag, and then ``end()``.
    package mutating func begin(
        _ kind: LogEntry.Kind, nanoseconds: UInt64, requestID: LogIdentifier
    ) {
        self.start = self.byteCount
        self.lastTag = 0
        unsafe self.extend(by: LogEntry.smallestBytes) { entry in
            // The length and the sequence number come later.
            unsafe entry.storeBytes(of: UInt32(0), as: UInt32.self)
            unsafe entry.storeBytes(
                of: (UInt32(kind.rawValue) << 24).bigEndian, toByteOffset: 4, as: UInt32.self)
            let numbers: [4 of UInt64] = [0, nanoseconds, requestID.high, requestID.low]
            for index in numbers.indices {
                unsafe entry.storeBytes(
                    of: numbers[index].bigEndian,
                    toByteOffset: LogEntry.sequenceOffset + 8 * index, as: UInt64.self)
            }
        }
    }

    /// Appends a field with the bytes of `value`.
    package mutating func append(_ tag: LogEntry.Tag, _ value: RawSpan) {
        unsafe value.withUnsafeBytes { unsafe self.append(tag, $0) }
    }

    /// Appends a field with the bytes of `value`.
    package mutating func append(_ tag: LogEntry.Tag, _ value: StaticString) {
        unsafe self.append(
            tag,
            UnsafeRawBufferPointer(start: value.utf8Start, count: value.utf8CodeUnitCount))
    }

    /// Appends a field with the UTF-8 bytes of `value`; named, so that a literal is never taken for a
    /// String.
    package mutating func append(_ tag: LogEntry.Tag, utf8 value: String) {
        self.append(tag, Array(value.utf8).rawSpan)
    }

    /// Appends a field with a number; its width must be the one the tag has.
    @inlinable
    package mutating func append(
        _ tag: LogEntry.Tag, _ value: some FixedWidthInteger & BitwiseCopyable
    ) {
        self.append(
            tag, UInt64(truncatingIfNeeded: value), 0, byteCount: value.bitWidth / 8)
    }

    /// Appends a field with the lowest `byteCount` bytes of two numbers, each big-endian, of which
    /// `first` has at most 8.
    @usableFromInline
    package mutating func append(
        _ tag: LogEntry.Tag, _ first: UInt64, _ second: UInt64, byteCount: Int
    ) {
        precondition(0...16 ~= byteCount, "two numbers have at most 16 bytes")
        let (firstBits, secondBits) = (8 * min(byteCount, 8), 8 * max(byteCount - 8, 0))
        // The highest of the bytes that count comes first.
        let numbers: [2 of UInt64] = [
            (first << (64 - firstBits)).bigEndian, (second << (64 - secondBits)).bigEndian,
        ]
        unsafe numbers.span.withUnsafeBytes {
            unsafe self.append(tag, UnsafeRawBufferPointer(rebasing: $0[..<byteCount]))
        }
    }

    @unsafe private mutating func append(_ tag: LogEntry.Tag, _ value: UnsafeRawBufferPointer) {
        precondition(tag.rawValue > self.lastTag, "tags ascend")
        self.lastTag = tag.rawValue
        unsafe self.extend(by: 6 + value.count) { field in
            unsafe field.storeBytes(of: tag.rawValue.bigEndian, as: UInt16.self)
            unsafe field.storeBytes(
                of: UInt32(value.count).bigEndian, toByteOffset: 2, as: UInt32.self)
            guard let source = value.baseAddress else { return }
            unsafe (field + 6).copyMemory(from: source, byteCount: value.count)
        }
    }

    /// Gives `body` the next `count` bytes, all of which it must write.
    @inline(__always)
    private mutating func extend(by count: Int, _ body: (UnsafeMutableRawPointer) -> Void) {
        let end = self.byteCount + count
        if end > self.memory.count { self.memory.setCount(max(end, 2 * self.memory.count)) }
        unsafe self.memory.withUnsafeMutableBytes { memory in
            guard let base = memory.baseAddress else { return }
            unsafe body(base + self.byteCount)
        }
        self.byteCount = end
    }

    /// Ends the entry.
    package mutating func end() {
        let count = self.byteCount - self.start
        precondition(count <= SegmentLimits.entryBytes, "an entry has at most 64 MiB")
        self.memory.replace(at: self.start, withBigEndian: UInt32(count - 4))
        self.entries += 1
    }

    /// Forgets all, and keeps the memory.
    package mutating func removeAll() {
        self.byteCount = 0
        self.entries = 0
    }
}

extension EntryBatch {
    /// Gives the entries the numbers from `first` on.
    mutating func setSequence(from first: UInt64) {
        var offset = 0
        for number in first..<first + UInt64(self.entries) {
            self.memory.replace(at: offset + LogEntry.sequenceOffset, withBigEndian: number)
            offset += 4 + Int(self.memory.rawSpan.bigEndian(UInt32.self, at: offset))
        }
    }

    /// The encoded entries; the batch is empty then and has the memory of `spare`.
    mutating func exchange(for spare: [UInt8]) -> [UInt8] {
        var bytes = spare
        swap(&bytes, &self.memory)
        bytes.setCount(self.byteCount)
        self.memory.setCount(self.memory.capacity)
        self.removeAll()
        return bytes
    }
}
