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

    /// Whether what waits to be read on a TLS 1.3 socket can be the server's tickets and nothing else:
    /// records of application data (RFC 8446, 5.2), none of them as short as an alert.
    ///
    /// An end of the connection behind them is not seen; a server that ends one says so in an alert.
    static func holdsTickets(_ descriptor: CInt) -> Bool {
        unsafe withUnsafeTemporaryAllocation(byteCount: Self.mostTicketBytes, alignment: 1) {
            bytes in
            let count = unsafe recv(
                descriptor, bytes.baseAddress, bytes.count, Int32(MSG_PEEK | MSG_DONTWAIT))
            guard count > 0, count < bytes.count else { return false }
            var position = 0
            while position + 5 <= count {
                let content = unsafe Int(bytes[position + 3]) << 8 | Int(bytes[position + 4])
                guard unsafe bytes[position] == 23, content > Self.alertBytes else { return false }
                position += 5 + content
            }
            // The last may be there in part.
            return position >= count
        }
    }

    /// 4 KiB: several tickets, which have some 250 bytes each.
    private static let mostTicketBytes = 4_096
    /// 64 bytes: an alert has 19, type and tag included, and some padding.
    private static let alertBytes = 64
}
