internal import Cryptography

/// Puts entries together from the payloads of a segment's entries frames.
struct EntryAssembler {
    private var partial: [UInt8] = []

    /// Takes the next entries frame.
    ///
    /// - Returns: The entries that end in it; nil if the payload is none of this frame's.
    mutating func entries(of payload: [UInt8], _ frame: FrameHeader) -> [LogEntry]? {
        let isContinuation = frame.flags.contains(.continuation)
        let bytes = isContinuation ? self.partial + payload : payload
        self.partial = []
        let span = bytes.rawSpan
        var entries: [LogEntry] = []
        var sequence = frame.firstSequence
        var begun = isContinuation ? -1 : 0
        var offset = 0
        while offset < bytes.count {
            let rest = bytes.count - offset
            let count = rest < 4 ? Int.max : 4 + Int(span.bigEndian(UInt32.self, at: offset))
            begun += 1
            guard count <= rest else {
                guard frame.flags.contains(.continues), rest <= SegmentLimits.entryBytes else {
                    return nil
                }
                self.partial = Array(bytes[offset...])
                offset = bytes.count
                continue
            }
            guard let entry = LogEntry(decoding: span.extracting(offset..<offset + count)),
                entry.sequence == sequence
            else { return nil }
            entries.append(entry)
            sequence += 1
            offset += count
        }
        guard begun == Int(frame.entries), frame.flags.contains(.continues) != self.partial.isEmpty
        else { return nil }
        return entries
    }
}
