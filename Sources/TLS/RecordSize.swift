internal import NIOCore

/// Chooses the size of the records we write.
///
/// A record can be opened only when all of it is there. While the congestion window is small, records
/// of one segment let the peer begin with the first; once it has grown, full records cost least.
struct RecordSize {
    /// 1,300 bytes: with its overhead one TCP segment, also through a tunnel.
    static let small = 1_300
    /// 16 KiB: the largest plaintext of one TLS record, RFC 8446, 5.1.
    static let large = 16_384
    /// 16 KiB: about what an initial window of ten segments carries, RFC 6928.
    static let smallBytes = 16_384
    /// 1 s without a large write: the window has shrunk again, RFC 5681, 4.1.
    private static let idle = TimeAmount.seconds(1)

    private var isSmall: Bool
    private let isDynamic: Bool
    private var smallBytesLeft = Self.smallBytes
    private var lastLargeWrite = NIODeadline.uptimeNanoseconds(0)

    /// How much plaintext the next record takes at most.
    var limit: Int { self.isSmall ? Self.small : Self.large }

    init(isDynamic: Bool) {
        self.isDynamic = isDynamic
        self.isSmall = isDynamic
    }

    /// Must be called before a write of `bytes` in all.
    mutating func beginWrite(bytes: Int) {
        // What fits into one small record is one record either way: no look at the clock.
        guard self.isDynamic, bytes > Self.small else { return }
        let now = NIODeadline.now()
        if !self.isSmall, now - self.lastLargeWrite > Self.idle {
            self.isSmall = true
            self.smallBytesLeft = Self.smallBytes
        }
        self.lastLargeWrite = now
    }

    /// Must be called after each record.
    mutating func wrote(bytes: Int) {
        guard self.isSmall else { return }
        self.smallBytesLeft -= bytes
        guard self.smallBytesLeft <= 0 else { return }
        self.isSmall = false
    }
}
