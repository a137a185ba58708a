/// What verifying a stream found.
package struct StreamReport: Equatable, Sendable {
    /// Something that is not as it was written and that nothing in the log explains.
    package enum Finding: Equatable, Sendable {
        /// A segment has a fault; so many of its frames hold.
        case segment(SegmentName, SegmentFault, frame: UInt64)
        /// The log key of a segment cannot be used.
        case logKey(SegmentName, KeyRingProblem)
        /// A frame that is authentic has a payload that is none of its type.
        case malformedPayload(SegmentName, frame: UInt64)
        /// The segments with these numbers are not there, and no event says that they were removed.
        case missing(ClosedRange<UInt64>)
        /// The header is another file's: another stream, number or id than its name has.
        case misplaced(SegmentName)
        /// The file has a number that no stream gets to; it was not read.
        case impossibleNumber(SegmentName)
        /// The header names another segment before it, or another chain head, than is on disk.
        case previousDiffers(SegmentName)
        /// The segment has no end, and no recovery frame after it says how it was found.
        case tornUnnamed(SegmentName, SegmentFault, frame: UInt64)
        /// The segment has no end, and is not any more as the recovery frame after it says.
        case recoveryDiffers(SegmentName)
        /// Entries with numbers from `expected` on are missing before `found`.
        case sequenceMissing(SegmentName, expected: UInt64, found: UInt64)
        /// Numbers from `found` on were used before.
        case sequenceRepeated(SegmentName, expected: UInt64, found: UInt64)
        /// The stream ends before the segment its anchor names.
        case rolledBack(anchored: UInt64, found: UInt64?)
        /// The segment its anchor names has not the chain head that it had.
        case truncated(SegmentName)
        /// A segment's log key is none that its anchor names, or is wrapped otherwise.
        case foreignLogKey(SegmentName, LogIdentifier)
    }

    /// Something worth knowing that is as it should be.
    package enum Note: Equatable, Sendable {
        /// The newest segment has no end: it is being written, or its writer died.
        case open(SegmentName, torn: Bool)
        /// The segment has no end, and is as the recovery frame after it says.
        case recovered(SegmentName, RecoveryPayload)
        /// As above, but bytes after the whole frames changed since: they never became durable.
        case tornChanged(SegmentName)
        /// The frames from this one on cannot be opened, and were so already when the next segment was
        /// begun: a loss of power took bytes that had not become durable, or somebody changed them
        /// while nobody wrote. Only an anchor tells these apart.
        case lostBeforeRecovery(SegmentName, frame: UInt64)
        /// Entries were lost on the way to the log.
        case gap(SegmentName, GapPayload)
        /// Segments were removed on purpose.
        case removed(RemovalEvent)
    }

    /// What is wrong; empty where the stream is sound.
    package var findings: [Finding] = []
    /// What else there is.
    package var notes: [Note] = []
    /// How many segments were read.
    package var segments = 0
    /// How many frames of them hold.
    package var frames: UInt64 = 0
    /// How many entries were read; 0 without keys.
    package var entries: UInt64 = 0
    /// Whether only the structure could be checked, for lack of keys.
    package var isStructureOnly = false
}
