internal import Glibc
internal import NIOCore

/// Looks at a socket without reading from it.
enum SocketPeek {
    /// The channel's file descriptor, good while the channel is active; nil if it has none.
    ///
    /// To be asked once: it costs a dynamic cast.
    static func descriptor(of channel: any Channel) -> CInt? {
        try? channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(
            of: NIOBSDSocket.Handle.self
        ) { $0 }
    }

    /// Whether nothing waits to be read on a socket: no bytes, no end, no error.
    ///
    /// recv(2) with MSG_PEEK and MSG_DONTWAIT; EAGAIN alone means quiet.
    static func isQuiet(_ descriptor: CInt) -> Bool {
        var byte: UInt8 = 0
        let count = unsafe recv(descriptor, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT))
        return count < 0 && errno == EAGAIN
    }
}
