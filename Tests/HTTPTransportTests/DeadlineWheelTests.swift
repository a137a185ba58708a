import HTTPTransport
import NIOCore
import NIOEmbedded
import Testing

@Suite("Deadlines")
struct DeadlineWheelTests {
    /// An owner that remembers when it was called.
    private final class Owner: DeadlineOwner {
        let timer: DeadlineTimer
        private(set) var calls: [NIODeadline] = []
        var onCall: (() -> Void)?

        init(_ wheel: DeadlineWheel) {
            self.timer = DeadlineTimer(wheel: wheel)
            self.timer.bind(to: self)
        }

        func deadlinePassed(_ timer: DeadlineTimer, now: NIODeadline) {
            self.calls.append(now)
            self.onCall?()
        }
    }

    private let wheel = DeadlineWheel(loop: EmbeddedEventLoop())

    private var start: NIODeadline { self.wheel.coarseNow }

    @Test(
        "an owner is called once, never early, and at most two ticks late",
        arguments: [0, 1, 24, 25, 26, 1000, 12_775, 12_800, 12_825, 25_600, 60_000, 180_000])
    func due(milliseconds: Int64) throws {
        let start = self.start
        let owner = Owner(self.wheel)
        defer { owner.timer.invalidate() }
        let due = start + .milliseconds(milliseconds)
        owner.timer.set(due)
        #expect(owner.timer.due == due)
        for step in stride(from: Int64(0), through: milliseconds + 100, by: 5) {
            self.wheel.advance(to: start + .milliseconds(step))
        }
        let call = try #require(owner.calls.first)
        #expect(owner.calls.count == 1)
        #expect(call >= due)
        #expect(call - due <= .milliseconds(50))
        #expect(owner.timer.due == .distantFuture)
    }

    @Test("a deadline moved later is kept, however often")
    func later() {
        let start = self.start
        let owner = Owner(self.wheel)
        defer { owner.timer.invalidate() }
        for step in stride(from: Int64(0), through: 5000, by: 50) {
            owner.timer.set(start + .milliseconds(step + 200))
            self.wheel.advance(to: start + .milliseconds(step))
        }
        #expect(owner.calls.isEmpty)
        self.wheel.advance(to: start + .milliseconds(5250))
        #expect(owner.calls.count == 1)
    }

    @Test("a deadline moved earlier is kept, and once only")
    func earlier() {
        let start = self.start
        let owner = Owner(self.wheel)
        defer { owner.timer.invalidate() }
        owner.timer.set(start + .seconds(60))
        owner.timer.set(start + .milliseconds(100))
        self.wheel.advance(to: start + .milliseconds(99))
        #expect(owner.calls.isEmpty)
        self.wheel.advance(to: start + .milliseconds(150))
        #expect(owner.calls.count == 1)
        self.wheel.advance(to: start + .seconds(120))
        #expect(owner.calls.count == 1)
    }

    @Test("a cancelled deadline does not come, and can be set again")
    func cancelled() {
        let start = self.start
        let owner = Owner(self.wheel)
        defer { owner.timer.invalidate() }
        owner.timer.set(start + .milliseconds(100))
        owner.timer.cancel()
        self.wheel.advance(to: start + .seconds(1))
        #expect(owner.calls.isEmpty)
        owner.timer.set(start + .milliseconds(1100))
        self.wheel.advance(to: start + .seconds(2))
        #expect(owner.calls.count == 1)
    }

    @Test("an invalidated timer lets go of its owner")
    func invalidated() {
        weak var weakOwner: Owner?
        do {
            let owner = Owner(self.wheel)
            owner.timer.set(self.start + .seconds(1))
            weakOwner = owner
        }
        #expect(weakOwner != nil)
        weakOwner?.timer.invalidate()
        #expect(weakOwner == nil)
        self.wheel.advance(to: self.start + .seconds(2))
    }

    @Test("many timers are each called at their own time")
    func many() {
        let start = self.start
        let owners = (0..<2000).map { _ in Owner(self.wheel) }
        defer { for owner in owners { owner.timer.invalidate() } }
        for (index, owner) in owners.enumerated() {
            owner.timer.set(start + .milliseconds(Int64(index * 37 % 30_000)))
            if index % 5 == 0 { owner.timer.cancel() }
        }
        for step in stride(from: Int64(0), through: 31_000, by: 25) {
            self.wheel.advance(to: start + .milliseconds(step))
        }
        for (index, owner) in owners.enumerated() {
            #expect(owner.calls.count == (index % 5 == 0 ? 0 : 1))
            guard let call = owner.calls.first else { continue }
            let due = start + .milliseconds(Int64(index * 37 % 30_000))
            #expect(call >= due && call - due <= .milliseconds(50))
        }
    }

    @Test(
        "after a stall longer than the horizon everything due is called at once",
        arguments: [13, 26, 3600])
    func stalled(seconds: Int64) {
        let start = self.start
        let owners = (0..<50).map { _ in Owner(self.wheel) }
        defer { for owner in owners { owner.timer.invalidate() } }
        for (index, owner) in owners.enumerated() {
            owner.timer.set(start + .milliseconds(Int64(index) * 250))
        }
        let far = Owner(self.wheel)
        defer { far.timer.invalidate() }
        far.timer.set(start + .seconds(seconds) + .seconds(5))
        self.wheel.advance(to: start + .seconds(seconds))
        #expect(owners.allSatisfy { $0.calls.count == 1 })
        #expect(far.calls.isEmpty)
        self.wheel.advance(to: start + .seconds(seconds + 6))
        #expect(far.calls.count == 1)
    }

    @Test("owners may set, cancel and invalidate timers of the same tick while they are called")
    func reentrant() {
        let start = self.start
        let owners = (0..<4).map { _ in Owner(self.wheel) }
        defer { for owner in owners { owner.timer.invalidate() } }
        for owner in owners { owner.timer.set(start + .milliseconds(100)) }
        owners[0].onCall = {
            owners[0].onCall = nil
            owners[0].timer.set(start + .milliseconds(400))
            owners[1].timer.cancel()
            owners[2].timer.set(start + .milliseconds(300))
            owners[3].timer.invalidate()
        }
        self.wheel.advance(to: start + .milliseconds(200))
        #expect(owners.map(\.calls.count) == [1, 0, 0, 0])
        self.wheel.advance(to: start + .milliseconds(500))
        #expect(owners.map(\.calls.count) == [2, 0, 1, 0])
    }

    @Test("a started wheel ticks by itself until it is stopped")
    func ticking() {
        let loop = EmbeddedEventLoop()
        let wheel = DeadlineWheel(loop: loop)
        let before = wheel.coarseNow
        wheel.start()
        loop.advanceTime(by: .milliseconds(25))
        #expect(wheel.coarseNow > before)
        wheel.stop()
        let last = wheel.coarseNow
        loop.advanceTime(by: .seconds(1))
        #expect(wheel.coarseNow == last)
    }
}
