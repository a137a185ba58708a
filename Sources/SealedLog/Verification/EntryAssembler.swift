internal import Cryptography

/// Reads the entries in the payloads of a segment's entries frames, as they come.
///
/// An entry may run over any number of frames: what is wanted of it is copied once, into its fields,
/// and what is not wanted is checked and passed over.
struct EntryAssembler {
    /// An entry whose head was read.
    fileprivate struct Partial {
        var entry: LogEntry
        /// Bytes of the entry that are still to come.
        var rest: Int
        let keepsFields: Bool
        /// The tag of the field before; they ascend.
        var lastTag: UInt16?
        /// The field that is being read, and how many bytes of it are still to come.
        var value: [UInt8] = []
        var valueRest = 0
        var isInField = false

        var isComplete: Bool { self.rest == 0 && !self.isInField }
    }

    private let wanted: EntryFilter?
    private var partial: Partial?
    /// The head of an entry or of a field, as far as it was read.
    private var head: [UInt8] = []

    /// Begins a segment.
    ///
    /// - Parameter wanted: Which entries get their fields; nil for none. Events always do.
    init(_ wanted: EntryFilter?) {
        self.wanted = wanted
    }

    /// Takes the next entries frame.
    ///
    /// - Returns: The entries that end in it, those that are not wanted without fields; nil if the
    ///   payload is none of this frame's.
    mutating func entries(of payload: RawSpan, _ frame: FrameHeader) -> [LogEntry]? {
        var (entries, begun, offset): ([LogEntry], Int, Int) = ([], 0, 0)
        var isGood = frame.flags.contains(.continuation) == self.isInside
        while isGood, offset < payload.byteCount {
            if !self.isInside { begun += 1 }
            isGood = self.advance(in: payload, &offset)
            guard isGood, self.partial?.isComplete == true, let entry = self.partial.take()?.entry
            else { continue }
            // Entries are numbered one after the other.
            isGood = entry.sequence == frame.firstSequence &+ UInt64(entries.count)
            entries.append(entry)
        }
        guard isGood, begun == Int(frame.entries),
            frame.flags.contains(.continues) == self.isInside
        else {
            self.partial = nil
            self.head = []
            return nil
        }
        return entries
    }

    private var isInside: Bool { self.partial != nil || !self.head.isEmpty }

    /// Reads a head or a value, as far as the payload goes; false if it is none.
    private mutating func advance(in payload: RawSpan, _ offset: inout Int) -> Bool {
        // Not bound to a name: what is shared would be copied when it grows.
        guard self.partial != nil else {
            guard self.takeHead(LogEntry.smallestBytes, in: payload, &offset) else { return true }
            self.partial = Self.begin(self.head.rawSpan, self.wanted)
            self.head.removeAll(keepingCapacity: true)
            return self.partial != nil
        }
        if self.partial?.isInField == true {
            self.takeValue(in: payload, &offset)
            return true
        }
        guard self.partial.map({ $0.rest >= Self.fieldHeadBytes }) == true else { return false }
        guard self.takeHead(Self.fieldHeadBytes, in: payload, &offset) else { return true }
        defer { self.head.removeAll(keepingCapacity: true) }
        let tag = self.head.rawSpan.bigEndian(UInt16.self, at: 0)
        let count = Int(self.head.rawSpan.bigEndian(UInt32.self, at: 2))
        return self.partial?.beginField(tag, count) == true
    }

    /// Moves bytes of the payload into ``head`` until it has `count`; false if they are too few.
    private mutating func takeHead(
        _ count: Int, in payload: RawSpan, _ offset: inout Int
    ) -> Bool {
        let taken = min(count - self.head.count, payload.byteCount - offset)
        self.head.append(payload.extracting(offset..<offset + taken))
        offset += taken
        return self.head.count == count
    }

    private mutating func takeValue(in payload: RawSpan, _ offset: inout Int) {
        guard let rest = self.partial?.valueRest else { return }
        let taken = min(rest, payload.byteCount - offset)
        self.partial?.take(payload.extracting(offset..<offset + taken))
        offset += taken
    }

    private static func begin(_ head: RawSpan, _ wanted: EntryFilter?) -> Partial? {
        let count = 4 + Int(head.bigEndian(UInt32.self, at: 0))
        guard LogEntry.smallestBytes...SegmentLimits.entryBytes ~= count,
            let entry = LogEntry(decodingHead: head)
        else { return nil }
        return Partial(
            entry: entry, rest: count - LogEntry.smallestBytes,
            keepsFields: entry.kind == .event || wanted?.wants(entry) == true)
    }

    /// Tag and length.
    fileprivate static let fieldHeadBytes = 6
}

extension EntryAssembler.Partial {
    /// Begins a field of so many bytes; false if there can be none.
    fileprivate mutating func beginField(_ tag: UInt16, _ count: Int) -> Bool {
        self.rest -= EntryAssembler.fieldHeadBytes
        guard count <= self.rest, self.lastTag.map({ $0 < tag }) != false else { return false }
        self.lastTag = tag
        self.valueRest = count
        self.isInField = true
        if self.keepsFields { self.value.reserveCapacity(count) }
        if count == 0 { self.endField() }
        return true
    }

    /// Takes the next bytes of the field.
    fileprivate mutating func take(_ bytes: RawSpan) {
        if self.keepsFields { self.value.append(bytes) }
        self.valueRest -= bytes.byteCount
        self.rest -= bytes.byteCount
        if self.valueRest == 0 { self.endField() }
    }

    private mutating func endField() {
        self.isInField = false
        guard self.keepsFields, let tag = self.lastTag else { return }
        var value: [UInt8] = []
        swap(&value, &self.value)
        self.entry.fields.append(LogEntry.Field(tag: tag, value: value))
    }
}
