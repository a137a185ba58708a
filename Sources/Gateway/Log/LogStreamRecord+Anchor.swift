internal import Cryptography
internal import SealedLog
internal import State

extension LogStreamRecord {
    /// What the stream is held against; nil while it has no segment.
    var anchor: StreamAnchor? {
        self.end.map { end in
            StreamAnchor(
                streamID: LogIdentifier(self.id.rawSpan, at: 0), number: UInt64(end.number),
                segmentID: LogIdentifier(end.segmentID.rawSpan, at: 0),
                head: ChainHead(end.head.rawSpan, at: 0),
                nextSequence: UInt64(end.nextSequence),
                lossReason: UInt8(exactly: end.lossReason).flatMap { .init(rawValue: $0) }
                    ?? .revoked,
                logKeys: Self.identified(self.logKeys),
                nextLogKeys: Self.identified(self.nextLogKeys))
        }
    }

    private static func identified(_ digests: [[UInt8]: [UInt8]]) -> [LogIdentifier: ChainHead] {
        Dictionary(
            uniqueKeysWithValues: digests.map {
                (LogIdentifier($0.rawSpan, at: 0), ChainHead($1.rawSpan, at: 0))
            })
    }
}

extension StateStore {
    /// Keeps what tells the log key of an entry, before anything is written under it.
    func keep(_ entry: KeyRingEntry) throws {
        try self.keepLogKey(
            entry.logKeyID.bytes, digest: entry.wrappedDigest().bytes, of: entry.streamID.bytes)
    }

    /// Keeps what a stream is held against.
    func keep(_ anchor: StreamAnchor) throws(StateError) {
        try self.keepEnd(
            .init(
                number: Int64(anchor.number), segmentID: anchor.segmentID.bytes,
                head: anchor.head.bytes, nextSequence: Int64(anchor.nextSequence),
                lossReason: Int64(anchor.lossReason.rawValue)),
            logKeys: Dictionary(uniqueKeysWithValues: anchor.logKeys.map { ($0.bytes, $1.bytes) }),
            of: anchor.streamID.bytes)
    }
}
