internal import Glibc
internal import NIOCore

/// What keeps a worker from accepting connections for a while.
enum AcceptObstacle: Int, CaseIterable {
    /// `limits.connections` are open.
    case connections
    /// As many handshakes as may be are under way on this worker.
    case handshakes
    /// The process or the system is out of file descriptors or memory for sockets.
    case resources

    /// Its value as a metric's label.
    var name: String { "\(self)" }
}

/// Stops accepting while there is no room: at the connection limit, while too many handshakes are
/// under way, and when the process or the system is out of file descriptors.
///
/// A connection that waits in the kernel's queue costs less than one that is accepted and refused.
final class AcceptGate: ChannelDuplexHandler {
    typealias InboundIn = any Channel
    typealias InboundOut = any Channel
    typealias OutboundIn = Never

    private let worker: Worker
    private var isPaused = false

    init(worker: Worker) {
        self.worker = worker
    }

    func read(context: ChannelHandlerContext) {
        if !self.isPaused, let obstacle = self.worker.acceptObstacle {
            self.pause(context, obstacle)
        }
        if !self.isPaused { context.read() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if let error = error as? IOError,
            [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(error.errnoCode)
        {
            if !self.isPaused { self.pause(context, .resources) }
        } else {
            context.fireErrorCaught(error)
        }
    }

    private func pause(_ context: ChannelHandlerContext, _ obstacle: AcceptObstacle) {
        self.isPaused = true
        self.worker.metrics.acceptPauses[obstacle.rawValue] += 1
        // To ask for no further read is not enough: after a failed accept(2) the one asked for is
        // still pending, and the loop would try it again and again.
        try? context.channel.syncOptions?.setOption(.autoRead, value: false)
        self.lookAgain(context, obstacle)
    }

    private func lookAgain(_ context: ChannelHandlerContext, _ obstacle: AcceptObstacle) {
        let time = obstacle == .handshakes ? Self.handshakePause : Self.pause
        context.eventLoop.assumeIsolated().scheduleTask(in: time) {
            if obstacle == .handshakes { self.worker.cutStalledHandshakes() }
            if let obstacle = self.worker.acceptObstacle {
                return self.lookAgain(context, obstacle)
            }
            self.isPaused = false
            try? context.channel.syncOptions?.setOption(.autoRead, value: true)
        }
    }

    /// 50 ms: as long as a connection may wait for one that closes.
    private static let pause = TimeAmount.milliseconds(50)
    /// 10 ms: some twenty handshakes' work, so that the worker does not run out of it meanwhile.
    private static let handshakePause = TimeAmount.milliseconds(10)
}
