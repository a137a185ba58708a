/// Types of frames that mean something here (RFC 9113 6).
enum HTTP2FrameType {
    static var data: UInt8 { 0 }
    static var headers: UInt8 { 1 }
    static var priority: UInt8 { 2 }
    static var reset: UInt8 { 3 }
    static var settings: UInt8 { 4 }
    static var pushPromise: UInt8 { 5 }
    static var ping: UInt8 { 6 }
    static var goAway: UInt8 { 7 }
    static var windowUpdate: UInt8 { 8 }
    static var continuation: UInt8 { 9 }
}

/// The header of one frame.
struct HTTP2FrameHeader {
    var type: UInt8
    var flags: UInt8
    var streamID: Int32
    var length: Int

    /// END_STREAM on DATA and HEADERS.
    var endsStream: Bool { self.flags & 0x1 != 0 }
    /// ACK on SETTINGS and PING.
    var isAcknowledgement: Bool { self.flags & 0x1 != 0 }
    /// END_HEADERS on HEADERS and CONTINUATION.
    var endsHeaders: Bool { self.flags & 0x4 != 0 }
}

/// Why a stream or connection ends (RFC 9113 7).
enum HTTP2ErrorCode {
    static var none: UInt32 { 0 }
    static var protocolError: UInt32 { 1 }
    static var internalError: UInt32 { 2 }
    static var streamClosed: UInt32 { 5 }
    static var refusedStream: UInt32 { 7 }
    static var cancel: UInt32 { 8 }
    static var enhanceYourCalm: UInt32 { 11 }
}

/// What one side of a connection announces; the same for clients and backends.
enum HTTP2Settings {
    /// 100 streams at once of one client.
    static var concurrentStreams: Int { 100 }
    /// 64 KiB: what a stream may have under way that nobody has taken yet.
    static var streamWindow: Int32 { 65_536 }
    /// 1 MiB: of a connection's streams together; given back as it arrives, since each stream is bounded.
    static var connectionWindow: Int32 { 1_048_576 }
    /// 4 KiB: the memory of HPACK; its default (RFC 7541 4.2).
    static var headerTableBytes: Int { 4096 }
}
