import NIOCore
import NIOPosix
import Synchronization

/// A value that changes on other threads, and that a test waits for without sleeping.
final class Watched<Value: Sendable>: Sendable {
    private struct Waiter {
        let number: Int
        let holds: @Sendable (Value) -> Bool
        let continuation: CheckedContinuation<Bool, Never>
        let timeout: Scheduled<Void>
    }

    private struct State {
        var value: Value
        var waiters: [Waiter] = []
        var waited = 0
    }

    private let state: Mutex<State>

    init(_ value: Value) { self.state = Mutex(State(value: value)) }

    var value: Value { self.state.withLock { $0.value } }

    func update(_ body: (inout Value) -> Void) {
        let ready = self.state.withLock { state in
            body(&state.value)
            let value = state.value
            let ready = state.waiters.filter { $0.holds(value) }
            if !ready.isEmpty { state.waiters.removeAll { $0.holds(value) } }
            return ready
        }
        for waiter in ready {
            waiter.timeout.cancel()
            waiter.continuation.resume(returning: true)
        }
    }

    /// Waits until `holds` does; false if it does not in time.
    @discardableResult
    func wait(
        _ timeout: TimeAmount = .seconds(60), until holds: @escaping @Sendable (Value) -> Bool
    ) async -> Bool {
        await withCheckedContinuation { continuation in
            let isMet = self.state.withLock { state in
                if holds(state.value) { return true }
                state.waited += 1
                let number = state.waited
                let scheduled = TestLoop.eventLoop.scheduleTask(in: timeout) {
                    self.giveUp(number)
                }
                state.waiters.append(
                    Waiter(
                        number: number, holds: holds, continuation: continuation,
                        timeout: scheduled))
                return false
            }
            if isMet { continuation.resume(returning: true) }
        }
    }

    private func giveUp(_ number: Int) {
        let waiter = self.state.withLock { state -> Waiter? in
            guard let place = state.waiters.firstIndex(where: { $0.number == number }) else {
                return nil
            }
            return state.waiters.remove(at: place)
        }
        waiter?.continuation.resume(returning: false)
    }
}
