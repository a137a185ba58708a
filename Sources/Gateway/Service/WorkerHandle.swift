internal import HTTPTransport
internal import NIOCore
internal import SealedLog
internal import State
internal import TLS

/// A worker as other threads see it: messages go to its loop.
struct WorkerHandle: Sendable {
    let index: Int
    let eventLoop: any EventLoop
    let resources: TLSWorkerResources
    private let bound: NIOLoopBound<Worker>

    /// Makes a worker on its loop.
    static func start(
        index: Int, eventLoop: any EventLoop, resources: TLSWorkerResources, snapshot: Snapshot,
        contexts: WorkerContexts, store: StateStore?, health: @escaping @Sendable () -> StateHealth,
        logQueue: EntryQueue?, accessLog: AccessLog?, budget: ConnectionBudget
    ) async throws -> WorkerHandle {
        let bound = try await eventLoop.submit {
            let worker = Worker(
                index: index, loop: LoopContext(eventLoop: eventLoop, tls: resources),
                snapshot: snapshot, contexts: contexts,
                verifier: try store.map { try EndpointKeyVerifier(pepper: $0.pepper) },
                stateHealth: health,
                recorder: try logQueue.map { queue in
                    try Recorder(
                        worker: index, eventLoop: eventLoop, queue: queue,
                        secretHeaders: snapshot.configuration.log?.secretHeaders ?? [])
                }, accessLog: accessLog, budget: budget)
            worker.start()
            return NIOLoopBound(worker, eventLoop: eventLoop)
        }.get()
        return WorkerHandle(
            index: index, eventLoop: eventLoop, resources: resources, bound: bound)
    }

    /// Runs `body` on the loop and waits for what it returns.
    func ask<Answer: Sendable>(_ body: @escaping @Sendable (Worker) -> Answer) async throws
        -> Answer
    {
        try await self.eventLoop.submit { body(self.bound.value) }.get()
    }

    /// Runs `body` on the loop, later.
    func tell(_ body: @escaping @Sendable (Worker) -> Void) {
        self.eventLoop.execute { body(self.bound.value) }
    }

    /// For a listener on the same loop.
    var worker: NIOLoopBound<Worker> { self.bound }
}
