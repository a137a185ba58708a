internal import Cryptography

/// Puts entries together from the payloads of a segment's entries frames.
struct EntryAssembler {
    private var partial: [UInt8] = []

    /// Takes the next entries frame.
    ///
    /// - Returns: The entries that end in it; nil if the payload is none of this frame's.
    mutating func entries(of payload: [UInt8], _ frame: FrameHeader) -> [LogEntry]? {
        let isContinuation = frame.flags.contains(.continuation)
        var bytes = payload
        if isContinuation {
            // In place: an entry may have many frames, and is not to be copied with each.
            bytes = self.partial
            self.partial = []
            bytes.append(payload.rawSpan)
        }
        self.partial = []
        guard let (entries, end, begun) = Self.entries(in: bytes, frame, isContinuation) else {
            return nil
        }
        let rest = bytes.count - end
        guard begun == Int(frame.entries), frame.flags.contains(.continues) == (rest > 0),
            rest <= SegmentLimits.entryBytes
        else { return nil }
        if rest > 0 { self.partial = end == 0 ? bytes : Array(bytes[end...]) }
        return entries
    }

    /// The entries that are whole in `bytes`, where they end, and how many begin in the frame.
    private static func entries(
        in bytes: [UInt8], _ frame: FrameHeader, _ isContinuation: Bool
    ) -> (entries: [LogEntry], end: Int, begun: Int)? {
        let span = bytes.rawSpan
        var entries: [LogEntry] = []
        var sequence = frame.firstSequence
        var begun = isContinuation ? -1 : 0
        var offset = 0
        while offset < bytes.count {
            let rest = bytes.count - offset
            let count = rest < 4 ? Int.max : 4 + Int(span.bigEndian(UInt32.self, at: offset))
            begun += 1
            guard count <= rest else { break }
            guard let entry = LogEntry(decoding: span.extracting(offset..<offset + count)),
                entry.sequence == sequence
            else { return nil }
            entries.append(entry)
            sequence += 1
            offset += count
        }
        return (entries, offset, begun)
    }
}
