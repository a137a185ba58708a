/// The sizes past which a segment is neither written nor read.
package enum SegmentLimits {
    /// 2^20 frames: far below what one key may seal, and a bound on what a reader walks.
    package static let frames: UInt64 = 1 << 20
    /// 2^48 segments a stream: one each millisecond for 8,900 years, and nowhere near where numbers end.
    package static let segments: UInt64 = 1 << 48
    /// 2^62 entries a stream: as many as nobody writes, and nowhere near where numbers end.
    package static let entries: UInt64 = 1 << 62
    /// 256 MiB: a reader checks it in a fraction of a second, and a failure costs no more.
    package static let bytes = 256 << 20
    /// 15 minutes, in nanoseconds: what a thief of memory can open goes no further back.
    package static let nanoseconds: UInt64 = 15 * 60 * 1_000_000_000
    /// 1 MiB: the largest plaintext of a frame, so that a reader's buffer is bounded.
    package static let largestFrameBytes = 1 << 20
    /// 64 KiB: the largest plaintext of a frame unless somebody chose another.
    package static let usualFrameBytes = 65_536
    /// 65,536: how far a reader walks from a log key.
    package static let steps: UInt32 = 65_536
    /// 256: after as many frames comes an index.
    package static let framesBetweenIndexes: UInt64 = 256
    /// 24 hours, in milliseconds: then a stream takes another log key.
    package static let logKeyMilliseconds: UInt64 = 24 * 3_600_000
    /// 64 MiB: the largest entry, so that whatever begins in a segment ends in it.
    package static let entryBytes = 64 << 20
}
