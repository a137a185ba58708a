internal import Glibc
internal import NIOCore

/// The socket of a channel, written to past the channel's queue while that is empty.
///
/// Nearly always the socket takes all there is to send. Then the channel's queue, its promises and its
/// bookkeeping are work for nothing: a tenth of what a request costs.
struct DirectSocket {
    private let descriptor: CInt

    /// The socket of `channel`; nil if it has none, such as a channel in memory.
    init?(_ channel: any Channel) {
        let descriptor = try? channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(
            of: NIOBSDSocket.Handle.self
        ) { $0 }
        guard let descriptor else { return nil }
        self.descriptor = descriptor
    }

    /// Sends what the socket takes at once of `bytes` and moves their reader index past it.
    ///
    /// `channel` must be the one this was made of. A closed channel's descriptor may be another's
    /// by now: nothing is sent then. Errors are left to the channel, which will meet them too.
    func send(_ bytes: inout ByteBuffer, of channel: any Channel) {
        guard channel.isActive else { return }
        let descriptor = self.descriptor
        unsafe bytes.readWithUnsafeReadableBytes { bytes in
            max(
                0,
                unsafe Glibc.send(
                    descriptor, bytes.baseAddress, bytes.count,
                    Int32(MSG_DONTWAIT | MSG_NOSIGNAL)))
        }
    }
}
