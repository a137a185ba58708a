internal import Cryptography

/// The payload of an index frame: where the entries since the last one are.
///
/// | bytes | meaning |
/// |---|---|
/// | 4 | n |
/// | n × 36 | offset of an entries frame in the file (8), its first sequence number (8), entries (4), earliest and latest time in Unix nanoseconds (8 + 8) |
/// | 4 | m |
/// | m × 20 | request id (16) of an entry and position (4) of its frame in the list above, sorted |
package struct SegmentIndex: Equatable, Sendable {
    /// One entries frame.
    package struct Frame: Equatable, Sendable {
        /// Where it begins in the file, in bytes.
        package var offset: UInt64
        /// The number of its first entry.
        package var firstSequence: UInt64
        /// How many entries begin in it.
        package var entries: UInt32
        /// The earliest time of one of them, Unix nanoseconds.
        package var firstNanoseconds: UInt64
        /// The latest.
        package var lastNanoseconds: UInt64
    }

    /// One entry.
    package struct Request: Hashable, Comparable, Sendable {
        /// Its request id.
        package var id: LogIdentifier
        /// Where its frame stands in the list of frames.
        package var frame: UInt32

        /// Orders by id, then frame.
        package static func < (first: Request, second: Request) -> Bool {
            (first.id, first.frame) < (second.id, second.frame)
        }
    }

    /// The entries frames, in the order of the file.
    package var frames: [Frame] = []
    /// The entries that begin in them; sorted once decoded.
    package var requests: [Request] = []

    /// Makes an empty one.
    package init() {}

    /// How many bytes it has once encoded.
    var byteCount: Int {
        8 + Self.frameBytes * self.frames.count + Self.requestBytes * self.requests.count
    }

    /// How many bytes more a frame with so many entries makes it.
    static func bytes(forEntries entries: Int) -> Int {
        self.frameBytes + self.requestBytes * entries
    }

    /// Adds a frame in which entries begin, from its payload.
    mutating func add(
        _ payload: RawSpan, at offset: Int, _ firstSequence: UInt64, _ entries: UInt32
    ) {
        let position = UInt32(self.frames.count)
        var frame = Frame(
            offset: UInt64(offset), firstSequence: firstSequence, entries: entries,
            firstNanoseconds: .max, lastNanoseconds: 0)
        var start = 0
        for _ in 0..<entries {
            let time = payload.bigEndian(UInt64.self, at: start + LogEntry.timeOffset)
            frame.firstNanoseconds = min(frame.firstNanoseconds, time)
            frame.lastNanoseconds = max(frame.lastNanoseconds, time)
            self.requests.append(
                Request(
                    id: LogIdentifier(payload, at: start + LogEntry.requestIDOffset),
                    frame: position))
            start += 4 + Int(payload.bigEndian(UInt32.self, at: start))
        }
        self.frames.append(frame)
    }

    /// Forgets all, and keeps the memory.
    mutating func removeAll() {
        self.frames.removeAll(keepingCapacity: true)
        self.requests.removeAll(keepingCapacity: true)
    }

    var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(self.byteCount)
        bytes.append(bigEndian: UInt32(self.frames.count))
        for frame in self.frames {
            bytes.append(bigEndian: frame.offset)
            bytes.append(bigEndian: frame.firstSequence)
            bytes.append(bigEndian: frame.entries)
            bytes.append(bigEndian: frame.firstNanoseconds)
            bytes.append(bigEndian: frame.lastNanoseconds)
        }
        bytes.append(bigEndian: UInt32(self.requests.count))
        for request in self.requests.sorted() {
            bytes.append(request.id)
            bytes.append(bigEndian: request.frame)
        }
        return bytes
    }

    private static let frameBytes = 36
    private static let requestBytes = 20
}

extension SegmentIndex {
    /// Reads the payload of an index frame; nil if it is none.
    package init?(decoding bytes: RawSpan) {
        guard bytes.byteCount >= 8 else { return nil }
        let frames = Int(bytes.bigEndian(UInt32.self, at: 0))
        let middle = 4 + Self.frameBytes * frames
        guard middle + 4 <= bytes.byteCount else { return nil }
        let requests = Int(bytes.bigEndian(UInt32.self, at: middle))
        guard bytes.byteCount == middle + 4 + Self.requestBytes * requests else { return nil }
        self.frames = (0..<frames).map {
            let start = 4 + Self.frameBytes * $0
            return Frame(
                offset: bytes.bigEndian(UInt64.self, at: start),
                firstSequence: bytes.bigEndian(UInt64.self, at: start + 8),
                entries: bytes.bigEndian(UInt32.self, at: start + 16),
                firstNanoseconds: bytes.bigEndian(UInt64.self, at: start + 20),
                lastNanoseconds: bytes.bigEndian(UInt64.self, at: start + 28))
        }
        self.requests = (0..<requests).map {
            let start = middle + 4 + Self.requestBytes * $0
            return Request(
                id: LogIdentifier(bytes, at: start),
                frame: bytes.bigEndian(UInt32.self, at: start + 16))
        }
        guard self.requests.allSatisfy({ $0.frame < frames }),
            zip(self.requests, self.requests.dropFirst()).allSatisfy({ $0 <= $1 })
        else { return nil }
    }
}

extension SegmentIndex {
    /// Whether the payload of an index frame names a request; true where it is none that can be read.
    ///
    /// Searches the sorted list as it is: decoding it would cost more than all the rest of a look-up.
    static func mayName(_ id: LogIdentifier, in payload: RawSpan) -> Bool {
        guard payload.byteCount >= 8 else { return true }
        let middle = 4 + self.frameBytes * Int(payload.bigEndian(UInt32.self, at: 0))
        guard middle + 4 <= payload.byteCount else { return true }
        let count = Int(payload.bigEndian(UInt32.self, at: middle))
        guard payload.byteCount == middle + 4 + self.requestBytes * count else { return true }
        func request(_ position: Int) -> LogIdentifier {
            LogIdentifier(payload, at: middle + 4 + self.requestBytes * position)
        }
        var (low, high) = (0, count)
        while low < high {
            let position = (low + high) / 2
            if request(position) < id { low = position + 1 } else { high = position }
        }
        return low < count && request(low) == id
    }
}
