/// What a reader can find wrong with a segment, by the name under which it is reported.
package enum SegmentFault: String, Error, Sendable, CaseIterable {
    /// The header is not one: magic, version, suite, sizes, flags or bytes that must be zero.
    case header
    /// The log key is not the one the segment was written under, or the header was changed.
    case commitment
    /// The log key belongs to somebody else: another stream, or a wrapping key that is not ours.
    case foreignKey = "foreign-key"
    /// A frame's header is not what must follow: changed, dropped, swapped, repeated, too large.
    case frameHeader = "frame-header"
    /// A frame was changed: its tag does not fit key, header, place in the chain and bytes.
    case aead
    /// Bytes that fill up are not zero, or not as many as the rule says.
    case padding
    /// The file ends inside a frame, or with bytes that are no frame.
    case torn
    /// The file ends after a whole frame that is not the final one.
    case unfinalised
    /// The final frame does not say what stands before it.
    case finalContent = "final-content"
    /// Something follows the final frame.
    case trailingBytes = "trailing-bytes"
}
