internal import NIOCore

/// Types of frames that mean something here (RFC 9113 6).
enum HTTP2FrameType: UInt8 {
    case data
    case headers
    case priority
    case reset
    case settings
    case pushPromise
    case ping
    case goAway
    case windowUpdate
    case continuation
}

/// The header of one frame (RFC 9113 4.1).
///
/// | bytes | what |
/// |-------|------|
/// | 3     | length of the payload |
/// | 1     | type |
/// | 1     | flags |
/// | 4     | a reserved bit, 31 bits of the stream's number |
struct HTTP2FrameHeader {
    /// nil for a type there is not.
    var type: HTTP2FrameType?
    var flags: UInt8
    var streamID: Int32
    var length: Int

    /// Takes a header off the front of `bytes`; nil if there are not enough of them.
    init?(reading bytes: inout ByteBuffer) {
        let start = bytes.readerIndex
        guard bytes.readableBytes >= Self.bytes,
            let word = bytes.getInteger(at: start, as: UInt64.self),
            let last = bytes.getInteger(at: start &+ 8, as: UInt8.self)
        else { return nil }
        self.length = Int(truncatingIfNeeded: word &>> 40)
        self.type = HTTP2FrameType(rawValue: UInt8(truncatingIfNeeded: word &>> 32))
        self.flags = UInt8(truncatingIfNeeded: word &>> 24)
        let id = UInt32(truncatingIfNeeded: word) &<< 8 | UInt32(last)
        self.streamID = Int32(truncatingIfNeeded: id & 0x7fff_ffff)
        bytes.moveReaderIndex(forwardBy: Self.bytes)
    }

    /// END_STREAM on DATA and HEADERS.
    var endsStream: Bool { self.flags & 0x1 != 0 }
    /// ACK on SETTINGS and PING.
    var isAcknowledgement: Bool { self.flags & 0x1 != 0 }
    /// END_HEADERS on HEADERS and CONTINUATION.
    var endsHeaders: Bool { self.flags & 0x4 != 0 }
    /// PADDED on DATA and HEADERS.
    var isPadded: Bool { self.flags & 0x8 != 0 }
    /// PRIORITY on HEADERS.
    var hasPriority: Bool { self.flags & 0x20 != 0 }

    static let bytes = 9
}

/// Why a stream or connection ends (RFC 9113 7).
enum HTTP2ErrorCode {
    static var none: UInt32 { 0 }
    static var protocolError: UInt32 { 1 }
    static var internalError: UInt32 { 2 }
    static var flowControlError: UInt32 { 3 }
    static var streamClosed: UInt32 { 5 }
    static var frameSizeError: UInt32 { 6 }
    static var refusedStream: UInt32 { 7 }
    static var cancel: UInt32 { 8 }
    static var compressionError: UInt32 { 9 }
    static var enhanceYourCalm: UInt32 { 11 }
}

/// What one side of a connection announces; the same for clients and backends.
enum HTTP2Settings {
    /// 100 streams at once of one client.
    static var concurrentStreams: Int { 100 }
    /// 64 KiB: what a stream may have under way that nobody has taken yet.
    static var streamWindow: Int { 65_536 }
    /// 1 MiB: of a connection's streams together; given back as it arrives, since each stream is bounded.
    static var connectionWindow: Int { 1_048_576 }
}
