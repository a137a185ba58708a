internal import Glibc
internal import NIOCore
internal import NIOPosix

/// Keeps an event loop from going to sleep: there is always something to read for it.
///
/// A thread that sleeps is woken some 50 µs after a timer or a packet, in a virtual machine often
/// more than 100; to a load test that looks like the server's. Costs a whole processor. A byte goes
/// round in a pipe, because NIO looks at no socket while there are tasks that are due. Loop-bound.
final class BusyPoll {
    private let eventLoop: any EventLoop
    private var channel: (any Channel)?
    private var isStopped = false

    init(_ eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
    }

    /// Begins, once; ends with the loop or ``stop()``.
    ///
    /// Without a pipe the loop sleeps as before.
    func start() {
        var ends: [CInt] = [-1, -1]
        guard unsafe pipe(&ends) == 0 else { return }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let bound = NIOLoopBound(self, eventLoop: self.eventLoop)
        NIOPipeBootstrap(group: self.eventLoop)
            // What Echo sends can be read at once: more than one would keep the others waiting.
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Echo())
                }
            }
            .takingOwnershipOfDescriptors(input: ends[0], output: ends[1])
            .assumeIsolated().whenSuccess { channel in
                let poll = bound.value
                guard !poll.isStopped else { return channel.close(promise: nil) }
                poll.channel = channel
                channel.writeAndFlush(ByteBuffer(integer: UInt8(0)), promise: nil)
            }
    }

    /// Lets the loop sleep again.
    func stop() {
        self.isStopped = true
        self.channel.take()?.close(promise: nil)
    }
}

/// Sends on what it reads.
private final class Echo: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.writeAndFlush(data, promise: nil)
    }
}
