internal import NIOCore

/// Something with bytes to send at the end of a turn of the event loop.
protocol TurnWriter: AnyObject {
    /// Sends them.
    func turnEnded()
}

/// The HTTP/2 connections of one loop that have something to send.
///
/// What all exchanges of one turn give to a connection leaves in one write: one system call and few
/// TLS records, where a write an exchange costs as much again as everything else.
final class TurnQueue {
    private let eventLoop: any EventLoop
    private var writers: [any TurnWriter] = []
    private var isScheduled = false
    /// Made once, so that a turn allocates nothing.
    private var endTurn: (@Sendable () -> Void)?

    init(eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
    }

    /// Calls `writer` once this turn is over; it must not be waiting already.
    func append(_ writer: any TurnWriter) {
        self.writers.append(writer)
        guard !self.isScheduled else { return }
        self.isScheduled = true
        if let endTurn {
            self.eventLoop.execute(endTurn)
        } else {
            let bound = NIOLoopBound(self, eventLoop: self.eventLoop)
            let endTurn: @Sendable () -> Void = { bound.value.run() }
            self.endTurn = endTurn
            self.eventLoop.execute(endTurn)
        }
    }

    private func run() {
        self.isScheduled = false
        // By index: writers may be added while these run, to be called in the turn that follows.
        let count = self.writers.count
        for index in 0..<count { self.writers[index].turnEnded() }
        self.writers.removeFirst(count)
    }
}
