import NIOCore
import NIOEmbedded

extension EmbeddedChannel {
    /// The frames of HTTP/2 that were written since the last call, without a client's preface.
    func http2Frames() throws -> [(type: UInt8, flags: UInt8, payload: [UInt8])] {
        var bytes: [UInt8] = []
        while let buffer = try self.readOutbound(as: ByteBuffer.self) {
            bytes += Array(buffer.readableBytesView)
        }
        // RFC 9113, 3.4.
        if bytes.starts(with: "PRI".utf8) { bytes.removeFirst(24) }
        var frames: [(type: UInt8, flags: UInt8, payload: [UInt8])] = []
        while bytes.count >= 9 {
            let end = 9 + Int(bytes[1]) << 8 + Int(bytes[2])
            frames.append((bytes[3], bytes[4], Array(bytes[9..<end])))
            bytes.removeFirst(end)
        }
        return frames
    }
}
