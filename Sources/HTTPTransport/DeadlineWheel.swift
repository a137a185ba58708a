package import NIOCore

/// Something that wants to be called when a time has come.
package protocol DeadlineOwner: AnyObject {
    /// Called on the loop once the timer's due time has passed; the timer is then unset.
    func deadlinePassed(_ timer: DeadlineTimer, now: NIODeadline)
}

/// One settable deadline of one owner, kept by a ``DeadlineWheel``.
///
/// Loop-bound. Holds its owner until ``invalidate()``, which the owner calls when it goes. (Not
/// weakly: a weak reference moves the owner's counts to a side table and slows every retain.)
package final class DeadlineTimer {
    /// When the owner is to be called; `.distantFuture` while unset.
    package fileprivate(set) var due: NIODeadline = .distantFuture
    fileprivate var owner: (any DeadlineOwner)?
    private let wheel: DeadlineWheel
    /// Where the wheel keeps this timer: its tick and its place in that tick's slot; -1 if nowhere.
    fileprivate var tick = Int64(-1)
    fileprivate var place = -1

    /// An unset timer of `wheel`.
    package init(wheel: DeadlineWheel) {
        self.wheel = wheel
    }

    /// Says whom to call.
    package func bind(to owner: any DeadlineOwner) {
        self.owner = owner
    }

    /// Sets the deadline, or moves it.
    ///
    /// Moving it later costs a store: the wheel looks again when the earlier time comes.
    package func set(_ due: NIODeadline) {
        self.due = due
        self.wheel.schedule(self)
    }

    /// Unsets the deadline and forgets it in the wheel.
    package func cancel() {
        self.due = .distantFuture
        self.wheel.remove(self)
    }

    /// Unsets the deadline and lets go of the owner.
    package func invalidate() {
        self.cancel()
        self.owner = nil
    }
}

/// The deadlines of one event loop, to 25 ms, without a system call or allocation a request.
///
/// A hashed wheel: a timer lies in the slot of the tick in which it is due, or the farthest slot
/// if that is past the horizon; a timer found early in its slot is put where it now belongs.
/// NIO's own scheduled tasks re-arm a timerfd each time, which is a system call a request.
package final class DeadlineWheel {
    private var slots: [[DeadlineTimer]] = .init(repeating: [], count: DeadlineWheel.slotCount)
    private var currentTick: Int64
    private var ticking: RepeatedTask?
    private let loop: any EventLoop
    /// The time of the last tick, at most 25 ms old while the loop is not late.
    package private(set) var coarseNow: NIODeadline

    /// A wheel of `loop` that stands still until ``start()``.
    package init(loop: any EventLoop) {
        self.loop = loop
        self.coarseNow = .now()
        self.currentTick = Self.tick(of: self.coarseNow)
    }

    /// Begins to tick.
    ///
    /// Must be called on the loop; runs until ``stop()``.
    package func start() {
        self.loop.preconditionInEventLoop()
        let bound = NIOLoopBound(self, eventLoop: self.loop)
        self.ticking = self.loop.scheduleRepeatedTask(
            initialDelay: Self.tickLength, delay: Self.tickLength
        ) { _ in
            bound.value.advance(to: .now())
        }
    }

    /// Ends the ticking; timers still set are never called.
    package func stop() {
        self.ticking?.cancel()
        self.ticking = nil
    }

    /// Calls every owner whose time has come by `now`.
    package func advance(to now: NIODeadline) {
        self.coarseNow = now
        let target = Self.tick(of: now)
        // After a stall longer than the horizon each slot is visited once, not once a tick.
        self.currentTick = max(self.currentTick, target - Int64(Self.slotCount))
        while self.currentTick < target {
            self.currentTick += 1
            self.visit(tick: self.currentTick, now: now)
        }
    }

    private func visit(tick: Int64, now: NIODeadline) {
        let slot = Int(tick % Int64(Self.slotCount))
        guard !self.slots[slot].isEmpty else { return }
        let timers = self.slots[slot]
        self.slots[slot] = []
        for timer in timers {
            timer.tick = -1
            timer.place = -1
        }
        for timer in timers where timer.tick < 0 && timer.due < .distantFuture {
            if timer.due <= now {
                timer.due = .distantFuture
                timer.owner?.deadlinePassed(timer, now: now)
            } else {
                self.schedule(timer)
            }
        }
    }

    fileprivate func schedule(_ timer: DeadlineTimer) {
        let horizon = self.currentTick + Int64(Self.slotCount) - 1
        // One tick later than the one it falls in, so that it is never called early.
        let wanted = min(max(Self.tick(of: timer.due) + 1, self.currentTick + 1), horizon)
        if timer.tick >= 0 {
            guard wanted < timer.tick else { return }
            self.remove(timer)
        }
        let slot = Int(wanted % Int64(Self.slotCount))
        timer.tick = wanted
        timer.place = self.slots[slot].count
        self.slots[slot].append(timer)
    }

    fileprivate func remove(_ timer: DeadlineTimer) {
        guard timer.tick >= 0 else { return }
        let slot = Int(timer.tick % Int64(Self.slotCount))
        let last = self.slots[slot].removeLast()
        if last !== timer {
            self.slots[slot][timer.place] = last
            last.place = timer.place
        }
        timer.tick = -1
        timer.place = -1
    }

    private static func tick(of time: NIODeadline) -> Int64 {
        Int64(bitPattern: time.uptimeNanoseconds) / self.tickLength.nanoseconds
    }

    private static let tickLength = TimeAmount.milliseconds(25)
    /// 12.8 s ahead; farther deadlines are looked at once every 12.8 s.
    private static let slotCount = 512
}
