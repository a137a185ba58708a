internal import Cryptography
internal import HTTPTransport
internal import NIOCore
internal import NIOPosix
internal import TLS

/// One event loop of a load test: starts requests when they are due and counts what becomes of them.
///
/// No lock, no task and no other thread is on the way of a request.
final class LoadWorker {
    let plan: LoadPlan
    let loop: LoopContext
    let isStreaming: Bool
    /// Requests due before this are the warm-up, and not counted.
    private(set) var measuredFrom = NIODeadline.distantFuture
    var tally = LoadTally()
    /// Of the present second.
    var interval = IntervalTally()

    private let setup: LoadWorkerSetup
    private let lanes: [LoadLane]
    private var nextLane = 0
    private let capacity: Int
    private var inUse = 0
    private let maker: RequestMaker
    private var schedule: LoadSchedule?
    private var start = NIODeadline.distantFuture
    private var end = NIODeadline.distantFuture
    private var nextDue: NIODeadline?
    private var isOffering = false
    private var isStopped = false
    /// All that were made, and those not under way.
    private var requests: [LoadRequest] = []
    private var free: [LoadRequest] = []
    /// Due, and no room on the lanes yet.
    private var queue = CircularBuffer<(request: LoadRequest, use: Int)>()
    private var cancellationOwed = 0.0
    private var intervalTimer: RepeatedTask?
    private var intervals = 0
    /// Of the present window, where the plan has windows.
    private var window = IntervalTally()
    private var windowTimer: RepeatedTask?
    private var windows = 0

    private let observer = LoadObserver()
    private let busyPoll: BusyPoll
    private let sessions: TLSClientSessions
    /// What the session file had, where nothing is sent; see ``restoreSessions()``.
    private let storedSessions: [UInt8]

    /// A worker at rest; made on its loop, before there is anything else on it.
    ///
    /// - Throws: As for keys, certificates and the session file.
    init(_ setup: LoadWorkerSetup, loop: any EventLoop) throws(LoadError) {
        self.setup = setup
        self.plan = setup.plan
        self.isStreaming = setup.plan.api.isStreaming
        self.maker = try RequestMaker(
            setup.plan.request, target: setup.plan.target, worker: setup.index, of: setup.workers)
        self.sessions = TLSClientSessions(resumedShare: setup.plan.tls.resumedShare)
        try SessionFile(setup.plan)?.load(into: self.sessions)
        self.storedSessions = setup.plan.tls.isHandshakeOnly ? self.sessions.encoded() : []
        (self.loop, self.lanes) = try setup.lanes(
            on: loop, sessions: self.sessions, observer: self.observer)
        self.busyPoll = BusyPoll(loop)
        self.capacity = self.lanes.reduce(0) { $0 + $1.capacity }
        self.loop.deadlines.start()
        self.observer.worker = self
    }

    /// Begins to start requests.
    ///
    /// - Parameter start: The same for all workers of a run.
    func begin(at start: NIODeadline) {
        self.start = start
        self.measuredFrom = start + self.plan.warmUp
        self.end = self.measuredFrom + .nanoseconds(Int64(self.plan.seconds * 1e9))
        self.isOffering = true
        if self.plan.isBusyPolling { self.busyPoll.start() }
        self.countByTheSecond()
        switch self.plan.model {
        case .open(let profile, let arrivals):
            let warmUp = Double(self.plan.warmUp.nanoseconds) / 1e9
            self.schedule = LoadSchedule(
                profile.warmedUp(seconds: warmUp), arrivals, worker: self.setup.index,
                of: self.setup.workers)
            self.advance()
            self.wake(at: self.nextDue ?? self.end)
        case .closed:
            self.wake(at: start)
        }
    }

    /// Starts no more requests, and gives up those under way.
    func stop() {
        guard !self.isStopped else { return }
        self.isStopped = true
        self.isOffering = false
        self.queue.removeAll()
        for request in self.requests { request.giveUp(isTooLate: false) }
        self.finishIfOver()
    }

    // MARK: - When requests are due

    private func advance() {
        self.nextDue = self.schedule?.next().map { self.start + .nanoseconds($0) }
    }

    private func wake(at time: NIODeadline) {
        // Fails on a loop that is shut down, which has nothing to be woken for.
        _ = try? self.loop.eventLoop.assumeIsolated().scheduleCallback(at: time, handler: self)
    }

    private func startDueRequests() {
        var started = 0
        while let due = self.nextDue {
            let now = NIODeadline.now()
            guard due <= now else { break }
            // The sockets are to be looked at in between, or answers would look late; NIO does not
            // as long as anything is due.
            guard started < Self.requestsATurn else {
                return self.wake(at: .now() + Self.socketsTurn)
            }
            started += 1
            self.offer(due, now: now)
            self.advance()
        }
        if let nextDue {
            self.wake(at: nextDue)
        } else {
            self.isOffering = false
            self.finishIfOver()
        }
    }

    private func offer(_ due: NIODeadline, now: NIODeadline) {
        let isMeasured = due >= self.measuredFrom
        if isMeasured { self.interval.offered += 1 }
        guard self.requests.count - self.free.count < self.setup.outstanding else {
            guard isMeasured else { return }
            self.interval.failed += 1
            self.tally.failures[FailureKind.notSent.rawValue] += 1
            return
        }
        self.begin(self.free.popLast() ?? self.makeRequest(), intended: due, now: now)
    }

    private func makeRequest() -> LoadRequest {
        let request = LoadRequest(worker: self)
        self.requests.append(request)
        return request
    }

    private func begin(_ request: LoadRequest, intended: NIODeadline, now: NIODeadline) {
        request.begin(intended: intended, now: now)
        if self.plan.tls.isHandshakeOnly { self.restoreSessions() }
        if self.inUse < self.capacity {
            self.assign(request)
        } else {
            self.queue.append((request, request.use))
        }
    }

    private func assign(_ request: LoadRequest) {
        var lane = self.lanes[self.nextLane]
        while lane.inUse >= lane.capacity {
            self.nextLane = (self.nextLane + 1) % self.lanes.count
            lane = self.lanes[self.nextLane]
        }
        self.nextLane = (self.nextLane + 1) % self.lanes.count
        lane.inUse += 1
        self.inUse += 1
        request.acquire(from: lane)
    }

    /// Has tickets for every handshake that is made at once, if there were any to begin with.
    ///
    /// OpenSSL resumes no ticket of TLS 1.3 twice, and there are servers that grant one only with an
    /// answer: where nothing is asked, those of the file are read anew.
    private func restoreSessions() {
        let stored = self.storedSessions
        guard self.sessions.count <= self.capacity, !stored.isEmpty else { return }
        self.sessions.add(stored.rawSpan)
    }

    private func startUsers() {
        let now = NIODeadline.now()
        for _ in 0..<self.capacity { self.beginAgain(self.makeRequest(), now: now) }
    }

    private func beginAgain(_ request: LoadRequest, now: NIODeadline) {
        if now >= self.measuredFrom { self.interval.offered += 1 }
        self.begin(request, intended: now, now: now)
    }

    // MARK: - What a request tells

    /// Sends the next request on a stream.
    func send(_ request: LoadRequest, on stream: any ClientStream) {
        let next = self.maker.next()
        let count = next.body.readableBytes
        if count > 0, let rate = self.plan.faults.sendRate {
            let body = ByteBuffer(bytes: next.body.readableBytesView)
            stream.sendHead(next.head, framing: .length(count), strippedPrefixBytes: 0)
            self.maker.sent(next)
            stream.flush()
            self.sendSlowly(request, body, use: request.use, rate: rate)
        } else {
            stream.sendHead(
                next.head, framing: count > 0 ? .length(count) : .none, strippedPrefixBytes: 0)
            self.maker.sent(next)
            if count > 0 { stream.sendBody(next.body) }
            stream.sendEnd()
            stream.flush()
        }
        if request.intended >= self.measuredFrom { self.tally.bodyBytesSent += count }
        self.scheduleCancellation(of: request)
    }

    /// A request is over; its object is free for another.
    func ended(_ request: LoadRequest, lane: LoadLane?, isConnectionFailure: Bool) {
        if let lane {
            lane.inUse -= 1
            self.inUse -= 1
        }
        self.startQueued()
        guard case .closed = self.plan.model, self.isOffering else {
            self.free.append(request)
            return self.finishIfOver()
        }
        let now = NIODeadline.now()
        guard now < self.end else {
            self.isOffering = false
            self.free.append(request)
            return self.finishIfOver()
        }
        guard isConnectionFailure else { return self.beginAgain(request, now: now) }
        // A server that is not there is asked again ten times a second, not as often as can be.
        self.free.append(request)
        self.after(Self.reconnectDelay) {
            guard self.isOffering, let request = self.free.popLast() else { return }
            self.beginAgain(request, now: .now())
        }
    }

    private func startQueued() {
        while self.inUse < self.capacity, let next = self.queue.popFirst() {
            guard next.request.use == next.use, next.request.isUnderWay else { continue }
            self.assign(next.request)
        }
    }

    // MARK: - Faults on purpose

    private func scheduleCancellation(of request: LoadRequest) {
        self.cancellationOwed += self.plan.faults.cancelledShare
        guard self.cancellationOwed >= 1 else { return }
        self.cancellationOwed -= 1
        let use = request.use
        self.after(self.plan.faults.cancelAfter) {
            if request.use == use { request.abandon() }
        }
    }

    /// Stops reading an answer for as long as what came of it takes, as a client with a slow line would.
    func pauseReading(of request: LoadRequest) {
        request.stream?.setReading(false)
        self.afterReading(of: request) { request.stream?.setReading(true) }
    }

    /// Runs `body` once the time is over that what came of an answer takes, unless the request is over or
    /// more has come.
    func afterReading(of request: LoadRequest, _ body: @escaping () -> Void) {
        let (use, end) = (request.use, request.readUntil)
        self.after(end - .now()) {
            if request.use == use, request.isUnderWay, request.readUntil == end { body() }
        }
    }

    private func sendSlowly(_ request: LoadRequest, _ body: ByteBuffer, use: Int, rate: Double) {
        guard request.use == use, let stream = request.stream else { return }
        var rest = body
        let count = min(rest.readableBytes, max(1, Int(rate * Self.slowPiece)))
        if let piece = rest.readSlice(length: count) { stream.sendBody(piece) }
        guard rest.readableBytes > 0 else {
            stream.sendEnd()
            request.requestSent()
            return stream.flush()
        }
        stream.flush()
        self.after(.nanoseconds(Int64(Double(count) / rate * 1e9))) {
            self.sendSlowly(request, rest, use: use, rate: rate)
        }
    }

    private func after(_ time: TimeAmount, _ body: @escaping () -> Void) {
        self.loop.eventLoop.assumeIsolated().scheduleTask(in: time) { body() }
    }

    // MARK: - Seconds, and the end

    /// Counts the latency of a good answer, or of one that was waited for in vain.
    func count(latency: TimeAmount) {
        self.interval.latency.record(latency)
        if self.windowTimer != nil { self.window.latency.record(latency) }
    }

    private func countByTheSecond() {
        self.intervalTimer = self.every(.seconds(1)) { $0.endInterval() }
        self.windowTimer = self.plan.window.map { self.every($0) { $0.endWindow() } }
    }

    /// Runs `body` whenever so much time of what is measured has gone by.
    private func every(
        _ time: TimeAmount, _ body: @escaping @Sendable (LoadWorker) -> Void
    ) -> RepeatedTask {
        let bound = NIOLoopBound(self, eventLoop: self.loop.eventLoop)
        return self.loop.eventLoop.scheduleRepeatedTask(
            initialDelay: self.measuredFrom + time - .now(), delay: time
        ) { _ in
            body(bound.value)
        }
    }

    private func endInterval() {
        self.setup.timeline.add(self.interval, second: self.intervals)
        self.intervals += 1
        self.interval = IntervalTally()
    }

    private func endWindow() {
        self.setup.windows?.add(self.window, second: self.windows)
        self.windows += 1
        self.window = IntervalTally()
    }

    private func finishIfOver() {
        guard !self.isOffering, self.free.count == self.requests.count, let promise = self.finished
        else { return }
        self.finished = nil
        self.intervalTimer?.cancel()
        // What is left of a window says less than a whole one, and is not counted.
        self.windowTimer?.cancel()
        self.endInterval()
        // A connection that the end interrupts is none that failed.
        self.observer.worker = nil
        for request in self.requests { request.invalidate() }
        self.tally.wireBytesReceived = self.loop.backendHandshakes.receivedBytes
        self.tally.wireBytesSent = self.loop.backendHandshakes.sentBytes
        for lane in self.lanes { lane.pool.close() }
        self.loop.deadlines.stop()
        self.busyPoll.stop()
        promise.succeed(Outcome(tally: self.tally, sessions: self.sessions.encoded()))
    }

    /// What a worker hands over at its end.
    struct Outcome: Sendable {
        var tally: LoadTally
        /// As the session file has them.
        var sessions: [UInt8]
    }

    /// Told once, when the last request is over.
    var finished: EventLoopPromise<Outcome>?

    /// 256 requests, then the sockets' turn: a few milliseconds at most.
    private static let requestsATurn = 256
    /// 50 µs: no less than it takes to come to the sockets.
    private static let socketsTurn = TimeAmount.microseconds(50)
    private static let reconnectDelay = TimeAmount.milliseconds(100)
    /// Bodies that are sent slowly go in pieces of what the rate gives in this many seconds.
    private static let slowPiece = 0.02
}

extension LoadWorker: NIOScheduledCallbackHandler {
    /// Requests are due.
    func handleScheduledCallback(eventLoop: some EventLoop) {
        guard self.isOffering else { return }
        if self.schedule == nil { self.startUsers() } else { self.startDueRequests() }
    }

    /// The loop is shut down.
    func didCancelScheduledCallback(eventLoop: some EventLoop) {}
}

/// Counts how the connections of one worker come about, those of the warm-up too.
final class LoadObserver: ConnectionObserver {
    /// Unset once the run is over.
    var worker: LoadWorker?

    func connectionMade(after time: TimeAmount) {
        self.worker?.tally.connections += 1
        self.worker?.tally.connect.record(time)
    }

    func handshakeCompleted(_ session: TLSSessionInfo) {
        guard let worker else { return }
        worker.tally.negotiated[Negotiated(session), default: 0] += 1
        if session.isResumed {
            worker.tally.resumedHandshake.record(nanoseconds: session.handshakeNanoseconds)
        } else {
            worker.tally.fullHandshake.record(nanoseconds: session.handshakeNanoseconds)
        }
    }

    func connectionFailed(_ error: any Error) {
        self.worker?.tally.connectionFailures.count(ConnectionFailure.text(error))
    }
}
