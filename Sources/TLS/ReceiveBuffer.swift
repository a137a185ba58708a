package import NIOCore

/// The one buffer that the channels of an event loop read into.
///
/// A channel keeps the first buffer it reads into for itself, and with it some kilobytes for as long as
/// it lives. This hands it a small one first and the shared one from then on: whoever has taken the
/// bytes out of it gives it back with ``give(back:)``. One that is still in use elsewhere is replaced.
///
/// To be set with `maxMessagesPerRead` 1: a second read of the same turn would find it in use.
package struct ReceiveBuffer: RecvByteBufferAllocator {
    private let shared: Shared
    private var hasFirst = false

    private final class Shared: @unchecked Sendable {
        // Sendable: touched on the loop of its worker only.
        var buffer: ByteBuffer?
    }

    /// A buffer for the channels of one event loop.
    init() {
        self.shared = Shared()
    }

    /// The shared buffer, or the channel's first.
    package func buffer(allocator: ByteBufferAllocator) -> ByteBuffer {
        guard self.hasFirst else { return allocator.buffer(capacity: Self.firstBytes) }
        // Out of its place first: a second reference would make clear() allocate.
        guard var buffer = self.shared.buffer.take() else {
            return allocator.buffer(capacity: Self.byteCount)
        }
        buffer.clear(minimumCapacity: Self.byteCount)
        return buffer
    }

    /// Says that the next buffer may be larger, so that the channel asks for it each time.
    package mutating func record(actualReadBytes: Int) -> Bool {
        self.hasFirst = true
        return true
    }

    /// Takes the buffer back that a channel has read into.
    func give(back buffer: ByteBuffer) {
        if buffer.storageCapacity >= Self.byteCount { self.shared.buffer = buffer }
    }

    /// 640 bytes: a ClientHello of usual size, and the first buffer of the channel for good.
    private static let firstBytes = 640
    /// 64 KiB: four full records.
    private static let byteCount = 65_536
}
