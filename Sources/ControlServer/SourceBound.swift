internal import NIOCore
internal import Synchronization

/// How many connections each source has; one of strangers is not to keep the others out.
///
/// Holds no more entries than there are connections.
final class SourceBound: Sendable {
    private let maximum: Int
    private let source: @Sendable (_ address: String) -> String
    private let counts = Mutex<[String: Int]>([:])

    init(_ maximum: Int, of source: @escaping @Sendable (_ address: String) -> String) {
        self.maximum = maximum
        self.source = source
    }

    /// Counts a connection until it closes; false if its source has as many already.
    func admits(_ channel: any Channel) -> Bool {
        guard let address = channel.remoteAddress?.ipAddress else { return true }
        let source = self.source(address)
        let isAdmitted = self.counts.withLock { counts in
            guard counts[source, default: 0] < self.maximum else { return false }
            counts[source, default: 0] += 1
            return true
        }
        guard isAdmitted else { return false }
        channel.closeFuture.whenComplete { _ in
            self.counts.withLock { counts in
                let left = (counts[source] ?? 1) - 1
                counts[source] = left > 0 ? left : nil
            }
        }
        return true
    }
}

/// Closes a connection that is one too many, before anything is read from it.
final class RefusedConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    func channelActive(context: ChannelHandlerContext) { context.close(promise: nil) }
}
