/// Writes the header blocks of one connection (RFC 7541).
///
/// A value gets a place in the table when it comes for the second time in a row of recent ones, and
/// when its name has none yet: ids, which come once, neither fill the table nor spell their name each
/// time. Secrets get no place and are marked so (RFC 7541, 7.1.3). Strings are written as they are:
/// Huffman's code would save a quarter of the few that are not in the table.
final class HPACKEncoder {
    /// A name, with its number in the static table.
    struct Name {
        /// Less than ``Name/firstHash``: exactly one name, a ``FieldName`` or, from 64 on, a
        /// pseudo-field.
        let key: UInt32
        /// Zero if it has none.
        let number: Int

        /// The key of a name that is told by its bytes: this, or more.
        static var firstHash: UInt32 { 1 << 31 }
    }

    private struct Note: BitwiseCopyable {
        let key: UInt32
        let hash: UInt32
    }

    let shared: HPACKShared
    /// Kept here, since a global is asked for each time.
    let exactNames = FieldNameSet.exact
    private let table = HPACKTable<Note>()
    /// By hash, two places for each: the ordinal of a field in the table.
    private var ordinals = InlineArray<128, Int>(repeating: 0)
    /// By key, of which there are 64 and eight: the ordinal of a field of this name in the table.
    private var names = InlineArray<72, Int>(repeating: 0)
    /// By hash: the ordinal of a field of this name in the table.
    private var otherNames = InlineArray<32, Int>(repeating: 0)
    /// By hash, two places for each, the later first: those of fields that were written lately.
    ///
    /// With one place, two fields of all messages that meet there would hide each other for good.
    private var recent = InlineArray<128, UInt32>(repeating: 0)
    /// The smallest table since the last block, if its size changed (RFC 7541, 4.2).
    private var smallestSize: Int?

    init(shared: HPACKShared) {
        self.shared = shared
    }

    /// The peer keeps a table of so many bytes for us.
    func setTableBytes(_ bytes: Int) {
        let size = min(bytes, HPACK.tableBytes)
        guard size != self.table.maximumSize else { return }
        self.smallestSize = min(self.smallestSize ?? size, size)
        self.table.setMaximumSize(size)
    }

    /// Another block begins; up to ``blockStartBytes``.
    func beginBlock(_ output: inout ByteWriter) {
        guard let smallest = self.smallestSize.take() else { return }
        if smallest < self.table.maximumSize {
            Self.write(smallest, prefix: 5, 0x20, to: &output)
        }
        Self.write(self.table.maximumSize, prefix: 5, 0x20, to: &output)
    }

    /// 8 bytes: two changes of the table's size.
    static var blockStartBytes: Int { 8 }
    /// 16 bytes: what a field takes at most besides name and value.
    static var fieldBytes: Int { 16 }

    /// Writes entry `number` of the static table.
    @inline(__always)
    func append(static number: UInt8, to output: inout ByteWriter) { output.append(0x80 | number) }

    /// Writes a field.
    ///
    /// - Parameters:
    ///   - name: What ``name(_:)`` and its like say of it.
    ///   - text: The name in lower case.
    ///   - value: Its value.
    ///   - isSecret: Whether no table may have it.
    ///   - output: Has room for both and ``fieldBytes``.
    func append(
        _ name: Name, _ text: Span<UInt8>, _ value: Span<UInt8>, isSecret: Bool = false,
        to output: inout ByteWriter
    ) {
        if isSecret {
            let number = name.number > 0 ? name.number : self.number(of: name, text) ?? 0
            return Self.write(number, prefix: 4, 0x10, text, value, to: &output)
        }
        let hash = Self.hash(value, seed: name.key)
        let place = Int(hash & 63) &* 2
        if let number = self.number(at: place, hash, name, text, value)
            ?? self.number(at: place &+ 1, hash, name, text, value)
        {
            return Self.write(number &+ HPACK.staticCount, prefix: 7, 0x80, to: &output)
        }
        let number = name.number > 0 ? name.number : self.number(of: name, text)
        guard number == nil || self.isRepeated(hash),
            text.count &+ value.count &+ 32 <= min(Self.largestEntry, self.table.maximumSize)
        else { return Self.write(number ?? 0, prefix: 4, 0, text, value, to: &output) }
        Self.write(number ?? 0, prefix: 6, 0x40, text, value, to: &output)
        self.table.insert(text, value, Note(key: name.key, hash: hash))
        self.ordinals[place &+ (self.ordinals[place] > self.ordinals[place &+ 1] ? 1 : 0)] =
            self.table.ordinal
        if name.key < Name.firstHash {
            self.names[Int(name.key)] = self.table.ordinal
        } else {
            self.otherNames[Int(name.key & 31)] = self.table.ordinal
        }
    }

    /// The number of the field whose ordinal is at this place, if it is the one with this value.
    @inline(__always)
    private func number(
        at place: Int, _ hash: UInt32, _ name: Name, _ text: Span<UInt8>, _ value: Span<UInt8>
    ) -> Int? {
        guard let number = self.table.number(ofOrdinal: self.ordinals[place]),
            let entry = self.table.entry(number), entry.note.hash == hash,
            self.table.withBytes(
                of: entry,
                {
                    Self.isSame($1, value)
                        && (entry.note.key == name.key && name.key < Name.firstHash
                            || Self.isSame($0, text))
                })
        else { return nil }
        return number
    }

    /// Whether a field was written lately; remembers that it is.
    private func isRepeated(_ hash: UInt32) -> Bool {
        let place = Int(hash &>> 6 & 63) &* 2
        if self.recent[place] == hash || self.recent[place &+ 1] == hash { return true }
        self.recent[place &+ 1] = self.recent[place]
        self.recent[place] = hash
        return false
    }

    /// The name of a field that has one text.
    @inline(__always)
    func name(_ field: FieldName) -> Name {
        Name(
            key: UInt32(field.rawValue),
            number: Int(self.shared.staticNumbers[Int(field.rawValue)]))
    }

    /// A name of any other text, which is in lower case.
    func name(_ text: Span<UInt8>) -> Name {
        Name(key: Self.hash(text, seed: 0) | Name.firstHash, number: 0)
    }

    /// The number of an entry of the dynamic table with this name.
    private func number(of name: Name, _ text: Span<UInt8>) -> Int? {
        let isOther = name.key >= Name.firstHash
        let ordinal =
            isOther ? self.otherNames[Int(name.key & 31)] : self.names[Int(name.key)]
        guard let number = self.table.number(ofOrdinal: ordinal) else { return nil }
        if isOther {
            guard let entry = self.table.entry(number),
                self.table.withBytes(of: entry, { name, _ in Self.isSame(name, text) })
            else { return nil }
        }
        return number &+ HPACK.staticCount
    }

    @inline(__always)
    private static func write(
        _ number: Int, prefix: Int, _ pattern: UInt8, to output: inout ByteWriter
    ) {
        let mask = 1 &<< prefix &- 1
        if number < mask { return output.append(pattern | UInt8(truncatingIfNeeded: number)) }
        output.append(pattern | UInt8(truncatingIfNeeded: mask))
        var rest = number &- mask
        while rest > 127 {
            output.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest &>>= 7
        }
        output.append(UInt8(truncatingIfNeeded: rest))
    }

    /// A literal field, its name by number unless that is zero.
    private static func write(
        _ number: Int, prefix: Int, _ pattern: UInt8, _ text: Span<UInt8>, _ value: Span<UInt8>,
        to output: inout ByteWriter
    ) {
        self.write(number, prefix: prefix, pattern, to: &output)
        if number == 0 {
            self.write(text.count, prefix: 7, 0, to: &output)
            output.append(text)
        }
        self.write(value.count, prefix: 7, 0, to: &output)
        output.append(value)
    }

    /// Spreads well over the lowest bits; whoever makes two fields collide gets longer blocks.
    @inline(__always)
    private static func hash(_ bytes: Span<UInt8>, seed: UInt32) -> UInt32 {
        var hash = UInt64(seed) ^ UInt64(truncatingIfNeeded: bytes.count) &<< 32
        var index = 0
        while index < bytes.count {
            let length = min(8, bytes.count &- index)
            hash = (hash ^ bytes.word(at: index, length: length)) &* 0x9e37_79b9_7f4a_7c15
            hash ^= hash &>> 32
            index &+= 8
        }
        return UInt32(truncatingIfNeeded: hash)
    }

    @inline(__always)
    private static func isSame(_ one: Span<UInt8>, _ other: Span<UInt8>) -> Bool {
        guard one.count == other.count else { return false }
        var index = 0
        while index < one.count {
            let length = min(8, one.count &- index)
            guard one.word(at: index, length: length) == other.word(at: index, length: length)
            else { return false }
            index &+= 8
        }
        return true
    }

    /// 1 KiB: a larger field would push out too many others.
    private static let largestEntry = 1024
}
