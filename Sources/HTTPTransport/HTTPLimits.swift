/// How much of everything one message may bring.
///
/// All bounds are inclusive.
package struct HTTPLimits: Sendable {
    /// 8 KiB: the request line without its CRLF, RFC 9112, 3 asks for no less than 8,000.
    package var requestLineBytes = 8192
    /// 16 KiB: one field line with its CRLF; offsets and lengths of a field fit 16 bits with room.
    package var fieldBytes = 16384
    /// 64 KiB: the whole head.
    package var headBytes = 65536
    /// 100 fields in a head, and in a trailer section.
    package var fieldCount = 100
    /// 100 MiB: content-length, or the sum of the chunks.
    ///
    /// It costs no memory: bodies stream.
    package var bodyBytes = 104_857_600
    /// 8 KiB: the trailer section.
    package var trailerBytes = 8192
    /// 64 Ki: chunks of fewer than ``tinyChunkBytes`` bytes in one body.
    ///
    /// Each costs as much as a large one.
    package var tinyChunks = 65536

    /// Below 16 bytes the framing of a chunk is a large part of what it brings.
    static var tinyChunkBytes: Int { 16 }
    /// 256 B: the extensions on one chunk size line.
    static var chunkExtensionBytes: Int { 256 }
    /// 4 KiB: the extensions of all chunks of one body.
    static var chunkExtensionTotalBytes: Int { 4096 }
    /// 16 hexadecimal digits: enough for any size, leading zeros included.
    static var chunkSizeDigits: Int { 16 }
    /// 32 options of Connection: bounds the search for the fields they name.
    static var connectionOptions: Int { 32 }

    /// The limits for requests of clients.
    package init() {}

    /// The limits for responses of backends: a stream of events may be of any length and grain.
    package static var response: Self {
        var limits = Self()
        limits.bodyBytes = .max
        limits.tinyChunks = .max
        return limits
    }
}
