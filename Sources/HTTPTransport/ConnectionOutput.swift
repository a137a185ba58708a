internal import NIOCore
internal import TLS

/// What one connection is about to write: collected, then given to its channel in one write.
///
/// Loop-bound. A class, since writing to a channel can call back into the connection.
final class ConnectionOutput {
    /// The channel written to; unset before and after the connection's life in it.
    var context: ChannelHandlerContext?
    private let loop: LoopContext
    private var buffer: ByteBuffer?
    /// Bytes given to the channel so far.
    private(set) var writtenBytes = 0
    /// Bytes collected and not yet given to the channel.
    var collectedBytes: Int { self.buffer?.readableBytes ?? 0 }

    init(loop: LoopContext) {
        self.loop = loop
    }

    /// Lets `write` append up to `room` bytes to what is collected.
    @inline(__always)
    func append(atMost room: Int, _ write: (inout ByteWriter) -> Void) {
        var buffer = self.buffer.take() ?? self.loop.borrowBuffer()
        buffer.write(atMost: room, write)
        self.buffer = buffer
    }

    /// Appends a piece of a body: copied if it is small, so that it shares a TLS record with what
    /// is before it, and given to the channel as it is otherwise.
    func append(piece bytes: ByteBuffer) {
        if bytes.readableBytes < Self.copiedBytes {
            self.append(atMost: bytes.readableBytes) { $0.append(bytes) }
        } else {
            if let buffer = self.buffer.take() { self.write(buffer) }
            self.write(bytes)
            // What flushes is a buffer, be it empty.
            self.buffer = self.loop.borrowBuffer()
        }
    }

    /// Gives what is collected to the channel and lets it leave.
    func flush() {
        guard let buffer = self.buffer.take(), let context else { return }
        self.writtenBytes += buffer.readableBytes
        context.writeAndFlush(NIOAny(buffer), promise: nil)
        self.loop.reclaim(buffer)
    }

    /// Closes the channel without what was collected, and without close_notify: a message whose end
    /// is the connection's must not look whole (RFC 9112 9.8).
    func abort() {
        self.discard()
        guard let context else { return }
        context.triggerUserOutboundEvent(TLSOutboundEvent.abort, promise: nil)
        context.close(promise: nil)
    }

    /// Forgets what was not yet given to the channel.
    func discard() {
        self.buffer = nil
    }

    private func write(_ bytes: ByteBuffer) {
        self.writtenBytes += bytes.readableBytes
        self.context?.write(NIOAny(bytes), promise: nil)
    }

    /// 8 KiB: half a TLS record.
    private static let copiedBytes = 8192
}

/// What a connection has read and not yet parsed.
struct ConnectionInput {
    var bytes = ByteBuffer()

    mutating func receive(_ more: consuming ByteBuffer) {
        if self.bytes.readableBytes == 0 {
            self.bytes = more
        } else {
            self.bytes.writeBuffer(&more)
        }
    }

    /// Whether the bytes begin as HTTP/2 does (RFC 9113 3.4).
    var startsHTTP2: Bool {
        self.bytes.readableBytesView.starts(with: "PRI * HTTP/2.0\r\n".utf8)
    }

    /// Lets go of the read buffer, which all connections of a loop share; keeps a copy of the rest.
    mutating func release() {
        let left = self.bytes.readableBytes
        guard left > 0 else {
            self.bytes = ByteBuffer()
            return
        }
        var copy = ByteBufferAllocator().buffer(capacity: left)
        copy.writeImmutableBuffer(self.bytes)
        self.bytes = copy
    }
}
