package import NIOCore
package import TLS

/// What the connections of one event loop share.
///
/// Made for one loop and used on it only; it is never Sendable. It owns the loop's deadlines, the
/// buffers connections borrow while they write, and the TLS resources.
package final class LoopContext {
    /// The loop.
    package let eventLoop: any EventLoop
    /// Ticks once its owner started it.
    package let deadlines: DeadlineWheel
    /// This loop's OpenSSL contexts are made with these.
    package let tls: TLSWorkerResources
    /// Handshakes with backends.
    package let backendHandshakes = TLSCounters()
    /// The text of Date fields, made once a second.
    package var date = HTTPDate()
    /// The HTTP/2 connections with something to send at the end of this turn.
    let turn: TurnQueue
    /// What HTTP/2 connections read and write header blocks with.
    lazy var hpack = HPACKShared()
    private var freeBuffers: [ByteBuffer] = []
    private var freeHeads: [MessageHead] = []
    /// Stands where there is no head; never written to.
    let noHead = MessageHead()

    /// What the connections of `eventLoop` will share.
    package init(eventLoop: any EventLoop, tls: TLSWorkerResources) {
        self.eventLoop = eventLoop
        self.deadlines = DeadlineWheel(loop: eventLoop)
        self.turn = TurnQueue(eventLoop: eventLoop)
        self.tls = tls
    }

    /// An empty buffer to collect output in.
    ///
    /// Give it back with ``reclaim(_:)``, so that idle
    /// connections hold none.
    package func borrowBuffer() -> ByteBuffer {
        self.freeBuffers.popLast() ?? ByteBufferAllocator().buffer(capacity: Self.bufferBytes)
    }

    /// Takes a buffer back once its bytes were written; one that the channel still holds is let go.
    package func reclaim(_ buffer: consuming ByteBuffer) {
        guard self.freeBuffers.count < Self.maximumFreeBuffers,
            buffer.capacity <= Self.maximumReusedBytes,
            buffer.modifyIfUniquelyOwned({ $0.clear() }) != nil
        else { return }
        self.freeBuffers.append(buffer)
    }

    /// An empty head.
    ///
    /// Give it back with ``reclaim(_:)-(MessageHead)`` once the message is over, so that idle
    /// connections hold none.
    func borrowHead() -> MessageHead {
        guard let head = self.freeHeads.popLast() else { return MessageHead() }
        head.reset()
        return head
    }

    /// Takes a head back that nobody reads any more.
    func reclaim(_ head: MessageHead) {
        guard head !== self.noHead, self.freeHeads.count < Self.maximumFreeHeads,
            head.bytes.storageCapacity <= Self.maximumReusedBytes
        else { return }
        self.freeHeads.append(head)
    }

    /// 4 KiB: a head and a small body.
    private static let bufferBytes = 4096
    /// 64 KiB: what grew larger once goes back to the allocator.
    private static let maximumReusedBytes = 65_536
    private static let maximumFreeBuffers = 8
    private static let maximumFreeHeads = 64
}
