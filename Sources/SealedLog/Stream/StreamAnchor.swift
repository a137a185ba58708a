/// What is kept of a stream outside the log folder, so that a log that was rolled back, cut or
/// written under another key is noticed.
package struct StreamAnchor: Equatable, Sendable {
    /// The stream.
    package var streamID: LogIdentifier
    /// The highest number of a segment so far.
    package var number: UInt64
    /// That segment's id.
    package var segmentID: LogIdentifier
    /// A chain head that segment has had.
    package var head: ChainHead
    /// The log keys so far, each with SHA-256 of its wrapped form.
    package var logKeys: [LogIdentifier: ChainHead]
    /// The number the next entry has at least: beyond the end of that segment where entries were lost
    /// and no segment tells of them; 0 if there were none.
    package var nextSequence: UInt64
    /// Why those entries were lost; of no meaning if there were none.
    package var lossReason: GapPayload.Reason
    /// Of log keys that are being wrapped anew, SHA-256 of the form that is going to be theirs.
    package var nextLogKeys: [LogIdentifier: ChainHead]

    /// Makes one.
    package init(
        streamID: LogIdentifier, number: UInt64, segmentID: LogIdentifier, head: ChainHead,
        nextSequence: UInt64 = 0, lossReason: GapPayload.Reason = .revoked,
        logKeys: [LogIdentifier: ChainHead],
        nextLogKeys: [LogIdentifier: ChainHead] = [:]
    ) {
        self.streamID = streamID
        self.number = number
        self.segmentID = segmentID
        self.head = head
        self.nextSequence = nextSequence
        self.lossReason = lossReason
        self.logKeys = logKeys
        self.nextLogKeys = nextLogKeys
    }
}
