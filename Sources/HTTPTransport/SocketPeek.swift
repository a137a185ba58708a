internal import Glibc
internal import NIOCore

/// Looks at a socket without reading from it.
enum SocketPeek {
    /// Whether nothing waits to be read on the channel's socket: no bytes, no end, no error.
    ///
    /// recv(2) with MSG_PEEK and MSG_DONTWAIT; EAGAIN alone means quiet.
    static func isQuiet(_ channel: any Channel) -> Bool {
        let result = try? channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(
            of: NIOBSDSocket.Handle.self
        ) { socket in
            var byte: UInt8 = 0
            let count = unsafe recv(socket, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT))
            return count < 0 && errno == EAGAIN
        }
        return result ?? false
    }
}
