internal import NIOCore
internal import NIOPosix
internal import TLS

/// Runs load tests.
package enum LoadRun {
    /// Runs one to its end.
    ///
    /// - Parameters:
    ///   - plan: What is to be done.
    ///   - isInterrupted: Asked ten times a second; once it is true, no more requests are started and
    ///     what has been counted is returned.
    ///   - observe: Told of each second.
    /// - Returns: What was found, without the environment.
    /// - Throws: ``LoadError`` if the test cannot be begun.
    package static func run(
        _ plan: LoadPlan, isInterrupted: @escaping @Sendable () -> Bool = { false },
        observe: (@Sendable (SecondPoint) -> Void)? = nil
    ) async throws -> LoadReport {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: plan.workers)
        do {
            let report = try await self.run(plan, on: group, isInterrupted, observe)
            try await group.shutdownGracefully()
            return report
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }

    private static func run(
        _ plan: LoadPlan, on group: MultiThreadedEventLoopGroup,
        _ isInterrupted: @escaping @Sendable () -> Bool,
        _ observe: (@Sendable (SecondPoint) -> Void)?
    ) async throws -> LoadReport {
        // What only the operator can put right is said before anything is connected.
        _ = try RequestMaker(plan.request, target: plan.target, worker: 0, of: 1)
        let session = try await Preflight.check(plan, on: group.next())
        let isHTTP2 = plan.target.isEncrypted ? session?.alpn == "h2" : plan.http == .http2
        let workers = LoadWorkerSetup.workers(plan, isHTTP2: isHTTP2)
        let timeline = LoadTimeline(workers: workers, observe: observe)
        let windows = plan.window.map { _ in LoadTimeline(workers: workers, observe: nil) }
        let setups = LoadWorkerSetup.all(
            plan, isHTTP2: isHTTP2, timeline: timeline, windows: windows)
        var handles: [WorkerHandle] = []
        do {
            for setup in setups { handles.append(try await WorkerHandle(setup, on: group.next())) }
        } catch {
            for handle in handles { handle.stop() }
            throw error
        }

        let processorTime = ProcessorTime.seconds
        // Time for all of them to hear of it.
        let start = NIODeadline.now() + .milliseconds(20)
        for handle in handles { handle.begin(at: start) }
        let measuredFrom = start + plan.warmUp
        let marks = MarkRunner(plan.marks, from: measuredFrom)
        let watch = Task { [handles] in
            while !Task.isCancelled {
                if isInterrupted() { for handle in handles { handle.stop() } }
                timeline.advance()
                windows?.advance()
                try await Task.sleep(for: .milliseconds(100))
            }
        }
        var outcomes: [LoadWorker.Outcome] = []
        for handle in handles { outcomes.append(try await handle.outcome.get()) }
        watch.cancel()
        _ = await watch.result
        let elapsed = Double(max(0, (NIODeadline.now() - measuredFrom).nanoseconds)) / 1e9
        let used = ProcessorTime.seconds - processorTime

        var report = LoadReport(
            plan, setups: setups, outcomes.map(\.tally), timeline.finish(), elapsed: elapsed,
            isInterrupted: isInterrupted(), processorSeconds: used)
        if let window = plan.window, let windows {
            report.windows = LoadReport.Windows(window, windows.finish().points)
        }
        (report.marks, report.missedMarks) = await marks.finish()
        do throws(LoadError) {
            try SessionFile(plan)?.store(Array(outcomes.map(\.sessions).joined()))
        } catch {
            // What was found is not lost for that.
            report.sessionFileFailure = error.description
        }
        return report
    }
}

/// A worker, as seen from other threads.
private struct WorkerHandle: Sendable {
    private let loop: any EventLoop
    private let worker: NIOLoopBound<LoadWorker>
    let outcome: EventLoopFuture<LoadWorker.Outcome>

    init(_ setup: LoadWorkerSetup, on loop: any EventLoop) async throws {
        let promise = loop.makePromise(of: LoadWorker.Outcome.self)
        self.loop = loop
        self.outcome = promise.futureResult
        do {
            self.worker = try await loop.submit {
                let worker = try LoadWorker(setup, loop: loop)
                worker.finished = promise
                return NIOLoopBound(worker, eventLoop: loop)
            }.get()
        } catch {
            promise.fail(error)
            throw error
        }
    }

    func begin(at start: NIODeadline) {
        let worker = self.worker
        self.loop.execute { worker.value.begin(at: start) }
    }

    func stop() {
        let worker = self.worker
        self.loop.execute { worker.value.stop() }
    }
}
