/// A table of HPACK (RFC 7541, 2.3): fields by number, the newest first, the oldest evicted.
///
/// `Note` is what the owner knows of an entry besides its bytes. Bytes are only ever added behind
/// those there are, in new memory where there is no room; so a name may be one of the table's own.
@safe final class HPACKTable<Note: BitwiseCopyable> {
    /// One field: where its name is, with its value after it.
    struct Entry: BitwiseCopyable {
        fileprivate let start: UInt32
        let nameLength: UInt16
        let valueLength: UInt16
        let note: Note

        /// As the table's size counts it (RFC 7541, 4.1).
        fileprivate var size: Int { Int(self.nameLength) &+ Int(self.valueLength) &+ 32 }
    }

    /// How large ``size`` may be now.
    private(set) var maximumSize: Int
    /// Of the entries there are, as RFC 7541, 4.1 counts: 32 bytes more than the bytes of each.
    private(set) var size = 0
    /// Entries added so far.
    ///
    /// Entry 1 is the one with this ordinal, entry 2 the one before it.
    private(set) var ordinal = 0
    /// How many entries there are.
    private(set) var count = 0
    /// By the lowest bits of ordinals; nil as long as nothing was added.
    private var entries: UnsafeMutablePointer<Entry>?
    /// The bytes of all entries, in the order they were added.
    private var bytes: UnsafeMutablePointer<UInt8>?
    private var capacity = 0
    /// Where in ``bytes`` the next entry goes.
    private var end = 0

    /// An empty table; `maximumSize` is at most ``HPACK/tableBytes``.
    init(maximumSize: Int = HPACK.tableBytes) {
        precondition(maximumSize <= HPACK.tableBytes, "more entries than places")
        self.maximumSize = maximumSize
    }

    deinit {
        unsafe self.entries?.deallocate()
        unsafe self.bytes?.deallocate()
    }

    /// Sets how large the table may be, at most ``HPACK/tableBytes``; evicts what is too much.
    func setMaximumSize(_ size: Int) {
        precondition(size <= HPACK.tableBytes, "more entries than places")
        self.maximumSize = size
        self.evict(to: size)
    }

    /// Entry `number`, which is 1 for the newest; nil if there is none.
    @inline(__always)
    func entry(_ number: Int) -> Entry? {
        guard number > 0, number <= self.count, let entries = unsafe self.entries else {
            return nil
        }
        return unsafe entries[(self.ordinal &- number &+ 1) & Self.mask]
    }

    /// The number now of the entry that was added as the `ordinal`th; nil if it is gone.
    @inline(__always)
    func number(ofOrdinal ordinal: Int) -> Int? {
        let number = self.ordinal &- ordinal &+ 1
        return number > 0 && number <= self.count ? number : nil
    }

    /// Gives `body` name and value of an entry that is in the table; nothing may be added meanwhile.
    @inline(__always)
    func withBytes<Result>(
        of entry: Entry, _ body: (_ name: Span<UInt8>, _ value: Span<UInt8>) -> Result
    ) -> Result {
        let (name, value) = unsafe self.pointers(to: entry)
        return body(unsafe Span(_unsafeElements: name), unsafe Span(_unsafeElements: value))
    }

    /// Name and value of an entry that is in the table, until another is added.
    @unsafe @inline(__always)
    func pointers(
        to entry: Entry
    ) -> (name: UnsafeBufferPointer<UInt8>, value: UnsafeBufferPointer<UInt8>) {
        let nameLength = Int(entry.nameLength)
        let valueLength = Int(entry.valueLength)
        let start = Int(entry.start)
        precondition(start &+ nameLength &+ valueLength <= self.end, "an entry of another table")
        let name = unsafe self.bytes.map { unsafe $0 + start }
        return unsafe (
            UnsafeBufferPointer(start: name, count: nameLength),
            UnsafeBufferPointer(start: name.map { unsafe $0 + nameLength }, count: valueLength)
        )
    }

    /// Adds a field; one that is larger than the table empties it (RFC 7541, 4.4).
    ///
    /// - Returns: Whether it was added.
    @discardableResult
    func insert(_ name: Span<UInt8>, _ value: Span<UInt8>, _ note: Note) -> Bool {
        let added = name.count &+ value.count
        guard added &+ 32 <= self.maximumSize else {
            self.evict(to: 0)
            return false
        }
        // The name may be that of an entry which is evicted: its bytes stay where they are.
        self.evict(to: self.maximumSize &- added &- 32)
        let entry = Entry(
            start: UInt32(self.write(name, value)), nameLength: UInt16(name.count),
            valueLength: UInt16(value.count), note: note)
        let entries = unsafe self.entries ?? .allocate(capacity: Self.mask + 1)
        unsafe self.entries = unsafe entries
        self.ordinal &+= 1
        self.count &+= 1
        self.size &+= added &+ 32
        unsafe entries[self.ordinal & Self.mask] = entry
        return true
    }

    /// Puts name and value behind the last entry's; where they begin.
    private func write(_ name: Span<UInt8>, _ value: Span<UInt8>) -> Int {
        let added = name.count &+ value.count
        guard self.end &+ added <= self.capacity, let bytes = unsafe self.bytes else {
            return self.move(adding: name, value)
        }
        let start = self.end
        unsafe Self.copy(name, to: bytes + start)
        unsafe Self.copy(value, to: bytes + start + name.count)
        self.end &+= added
        return start
    }

    /// Puts what entries still have, and the new bytes, into new memory: twice what that is.
    ///
    /// So a table that is small stays small, and moves once for as many bytes as it has.
    private func move(adding name: Span<UInt8>, _ value: Span<UInt8>) -> Int {
        let added = name.count + value.count
        let first = self.entry(self.count).map { Int($0.start) } ?? self.end
        let kept = self.end - first
        self.capacity = max(256, 2 * (kept + added))
        let bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: self.capacity)
        let old = unsafe self.bytes
        if let old = unsafe old { unsafe bytes.update(from: old + first, count: kept) }
        unsafe Self.copy(name, to: bytes + kept)
        unsafe Self.copy(value, to: bytes + kept + name.count)
        if let entries = unsafe self.entries {
            for number in 0..<self.count {
                let place = (self.ordinal - number) & Self.mask
                let entry = unsafe entries[place]
                unsafe entries[place] = Entry(
                    start: entry.start - UInt32(first), nameLength: entry.nameLength,
                    valueLength: entry.valueLength, note: entry.note)
            }
        }
        unsafe self.bytes = unsafe bytes
        unsafe old?.deallocate()
        self.end = kept + added
        return kept
    }

    private func evict(to size: Int) {
        while self.size > size, let oldest = self.entry(self.count) {
            self.size &-= oldest.size
            self.count &-= 1
        }
    }

    @unsafe private static func copy(
        _ bytes: Span<UInt8>, to target: UnsafeMutablePointer<UInt8>
    ) {
        unsafe bytes.withUnsafeBufferPointer { source in
            guard let start = source.baseAddress else { return }
            unsafe target.update(from: start, count: source.count)
        }
    }

    /// 128 places: no entry has fewer than 32 of a table's 4,096 bytes.
    private static var mask: Int { HPACK.tableBytes / 32 - 1 }
}

/// What HPACK leaves to agree on, and the table both sides have from the start.
enum HPACK {
    /// 4 KiB: how large a dynamic table is at most, ours and the peer's; the default (RFC 7541, 4.2).
    static var tableBytes: Int { 4096 }

    /// The static table (RFC 7541, appendix A), numbered like a dynamic one.
    static func staticTable() -> HPACKTable<HTTP2FieldFacts> {
        let table = HPACKTable<HTTP2FieldFacts>()
        for (name, value) in self.staticFields.reversed() {
            let name = Array("\(name)".utf8)
            let value = Array("\(value)".utf8)
            table.insert(name.span, value.span, HTTP2FieldFacts(name.span, value: value.span))
        }
        return table
    }

    /// How many entries the static table has; those of the dynamic one follow them.
    static var staticCount: Int { 61 }

    private static let staticFields: KeyValuePairs<StaticString, StaticString> = [
        ":authority": "", ":method": "GET", ":method": "POST", ":path": "/",
        ":path": "/index.html", ":scheme": "http", ":scheme": "https", ":status": "200",
        ":status": "204", ":status": "206", ":status": "304", ":status": "400",
        ":status": "404", ":status": "500", "accept-charset": "",
        "accept-encoding": "gzip, deflate", "accept-language": "", "accept-ranges": "",
        "accept": "", "access-control-allow-origin": "", "age": "", "allow": "",
        "authorization": "", "cache-control": "", "content-disposition": "",
        "content-encoding": "", "content-language": "", "content-length": "",
        "content-location": "", "content-range": "", "content-type": "", "cookie": "",
        "date": "", "etag": "", "expect": "", "expires": "", "from": "", "host": "",
        "if-match": "", "if-modified-since": "", "if-none-match": "", "if-range": "",
        "if-unmodified-since": "", "last-modified": "", "link": "", "location": "",
        "max-forwards": "", "proxy-authenticate": "", "proxy-authorization": "", "range": "",
        "referer": "", "refresh": "", "retry-after": "", "server": "", "set-cookie": "",
        "strict-transport-security": "", "transfer-encoding": "", "user-agent": "", "vary": "",
        "via": "", "www-authenticate": "",
    ]
}
