internal import HTTPTransport
internal import NIOCore
internal import TLS

/// One request of a load test, from the time it is due to the end of its answer; used again and
/// again.
///
/// Loop-bound. Nothing is allocated for a request: its stream is the pool's, its head and body are
/// the maker's, and its deadline stays in the wheel from one use to the next.
final class LoadRequest: ResponseReceiver {
    private enum State {
        case idle
        /// Due; no connection yet.
        case waiting
        case sent
    }

    private let worker: LoadWorker
    /// Where its connections come from, while it is under way.
    private(set) var lane: LoadLane?
    private(set) var stream: (any ClientStream)?
    private var state = State.idle
    private let timer: DeadlineTimer
    private var isTimerSet = false
    private var deadline = NIODeadline.distantFuture
    /// Counts its uses, so that what was scheduled for one does not meet another.
    private(set) var use = 0
    private(set) var intended = NIODeadline.now()
    private var started = NIODeadline.now()
    private var sentAt = NIODeadline.now()
    private var isMeasured = false
    private var status = 0
    private var meter = EventStreamMeter()
    /// Until when what came of the answer takes at the rate it is read with, where there is such a rate.
    private(set) var readUntil = NIODeadline.uptimeNanoseconds(0)

    init(worker: LoadWorker) {
        self.worker = worker
        self.timer = DeadlineTimer(wheel: worker.loop.deadlines)
        self.timer.bind(to: self)
    }

    /// Starts a request that is due at `intended`.
    func begin(intended: NIODeadline, now: NIODeadline) {
        self.state = .waiting
        self.use += 1
        self.intended = intended
        self.started = now
        self.isMeasured = intended >= self.worker.measuredFrom
        self.status = 0
        self.deadline = now + self.worker.plan.timeout
        if !self.isTimerSet {
            self.isTimerSet = true
            self.timer.set(self.deadline)
        }
        self.readUntil = now
        if self.worker.isStreaming { self.meter.reset() }
        if self.isMeasured {
            self.worker.tally.scheduleLag.record(now - intended)
        }
    }

    /// Asks for a stream of `lane`.
    func acquire(from lane: LoadLane) {
        self.lane = lane
        lane.pool.acquire(for: self, isFreshWanted: self.worker.plan.tls.isHandshakeOnly)
    }

    /// Whether it still waits for an answer.
    var isUnderWay: Bool {
        if case .idle = self.state { return false }
        return true
    }

    /// Lets go of its worker: the run is over.
    func invalidate() { self.timer.invalidate() }

    /// Gives it up: it took too long, or the whole run ends before its time.
    func giveUp(isTooLate: Bool) {
        guard self.isUnderWay else { return }
        if let stream {
            stream.cancel()
        } else {
            self.lane?.pool.forget(self)
        }
        self.end(isTooLate ? .failed(.timeout) : .cancelled, now: .now())
    }

    /// Gives it up as a client that lost interest would.
    func abandon() {
        guard case .sent = self.state else { return }
        self.stream?.cancel()
        self.end(.cancelled, now: .now())
    }

    // MARK: - What the pool and the stream tell

    func connectionReady(_ stream: any ClientStream) {
        guard case .waiting = self.state else { return stream.cancel() }
        let now = NIODeadline.now()
        self.stream = stream
        self.state = .sent
        self.sentAt = now
        if self.isMeasured {
            self.worker.interval.sent += 1
            self.worker.tally.connectionWait.record(now - self.started)
        }
        if self.worker.plan.tls.isHandshakeOnly {
            stream.cancel()
            return self.end(.good, now: now)
        }
        self.worker.send(self, on: stream)
    }

    /// The last of the request has left.
    func requestSent() { self.sentAt = .now() }

    func connectionFailed(_ error: StreamError) {
        self.end(.failed(FailureKind(error)), now: .now())
    }

    func receiveResponseHead(_ head: MessageHead) {
        self.status = head.status
        guard self.isMeasured else { return }
        self.worker.tally.firstByte.record(.now() - self.sentAt)
    }

    func receiveResponseBody(_ bytes: ByteBuffer) {
        if self.isMeasured { self.worker.tally.bodyBytesReceived += bytes.readableBytes }
        if self.worker.isStreaming {
            self.meter.receive(bytes, now: .now()) { self.record($0) }
        }
        if let rate = self.worker.plan.faults.readRate {
            let time = Double(bytes.readableBytes) / rate
            self.readUntil = max(self.readUntil, .now()) + .nanoseconds(Int64(time * 1e9))
            self.worker.pauseReading(of: self)
        }
    }

    func receiveResponseEnd(trailers: MessageHead?) {
        let now = NIODeadline.now()
        guard self.readUntil > now else { return self.endAnswer(now) }
        // The last piece takes its time too; the stream has none left, it is another's by then.
        self.stream = nil
        self.worker.afterReading(of: self) { self.endAnswer(.now()) }
    }

    private func endAnswer(_ now: NIODeadline) {
        guard (200...299).contains(self.status) else {
            return self.end(.failed(.status), now: now)
        }
        guard self.worker.isStreaming else { return self.end(.good, now: now) }
        let failure = self.meter.finish(now: now) { self.record($0) }
        if self.isMeasured, !self.meter.hasDone { self.worker.tally.inference.withoutDone += 1 }
        self.end(failure.map { .failed($0) } ?? .good, now: now)
    }

    private func record(_ note: EventStreamMeter.Note) {
        guard self.isMeasured else { return }
        switch note {
        case .interToken(let time): self.worker.tally.inference.interToken.record(time)
        case .age(let time): self.worker.tally.inference.eventAge.record(time)
        }
    }

    func responseReadComplete() {}

    func responseFailed(_ error: StreamError) {
        if case .alert(let number) = error {
            let text = ConnectionFailure.text(TLSError.alertReceived(number))
            self.worker.tally.connectionFailures.count(text)
        }
        self.end(.failed(FailureKind(error)), now: .now())
    }

    func requestWritabilityChanged(isWritable: Bool) {}

    // MARK: - The end

    private enum Outcome {
        case good
        case failed(FailureKind)
        case cancelled
    }

    private func end(_ outcome: Outcome, now: NIODeadline) {
        guard self.isUnderWay else { return }
        self.state = .idle
        self.stream = nil
        if self.isMeasured { self.count(outcome, now) }
        let lane = self.lane.take()
        var isConnectionFailure = false
        if case .failed(let kind) = outcome {
            isConnectionFailure = kind == .connect || kind == .tls
        }
        self.worker.ended(self, lane: lane, isConnectionFailure: isConnectionFailure)
    }

    private func count(_ outcome: Outcome, _ now: NIODeadline) {
        let latency = now - self.intended
        switch outcome {
        case .good:
            self.worker.interval.completed += 1
            self.worker.count(latency: latency)
            self.worker.tally.service.record(now - self.started)
            if self.status > 0 { self.worker.tally.statuses[self.status] += 1 }
            self.countGood(latency, now)
        case .cancelled:
            self.worker.interval.cancelled += 1
        case .failed(let kind):
            self.worker.interval.failed += 1
            self.worker.tally.failures[kind.rawValue] += 1
            switch kind {
            case .status:
                self.worker.tally.statuses[min(self.status, 599)] += 1
                self.worker.tally.failedLatency.record(latency)
            // The answer would have come later still: to leave it out would flatter the server.
            case .timeout: self.worker.count(latency: latency)
            case .streamError, .streamMalformed, .streamUnfinished:
                self.worker.tally.statuses[self.status] += 1
                self.worker.tally.failedLatency.record(latency)
            case .connect, .tls, .closed, .malformed, .refused, .notSent:
                self.worker.tally.failedLatency.record(latency)
            }
        }
    }

    private func countGood(_ latency: TimeAmount, _ now: NIODeadline) {
        var firstToken: TimeAmount?
        var perOutputToken: TimeAmount?
        if self.worker.isStreaming {
            if let first = self.meter.firstToken {
                let time = first - self.intended
                firstToken = time
                self.worker.tally.inference.firstToken.record(time)
                if self.meter.tokens > 1 {
                    let share = (now - first).nanoseconds / Int64(self.meter.tokens - 1)
                    perOutputToken = .nanoseconds(share)
                    self.worker.tally.inference.perOutputToken.record(nanoseconds: share)
                }
            }
            self.worker.tally.inference.outputTokens += self.meter.tokens
            self.worker.tally.inference.events += self.meter.events
        }
        let isGood = self.worker.plan.serviceLevel.isKept(
            latency: latency, firstToken: firstToken, perOutputToken: perOutputToken)
        if isGood { self.worker.tally.inference.good += 1 }
    }
}

extension LoadRequest: DeadlineOwner {
    /// Looks whether the request took too long; it may be another one by now.
    func deadlinePassed(_ timer: DeadlineTimer, now: NIODeadline) {
        self.isTimerSet = false
        guard self.isUnderWay else { return }
        if now >= self.deadline {
            self.giveUp(isTooLate: true)
        } else {
            self.isTimerSet = true
            self.timer.set(self.deadline)
        }
    }
}
