internal import Synchronization

/// Wishes for the same thing to be done, one time after the other; several that come meanwhile are one.
final class Wishes: Sendable {
    private let wished: AsyncStream<Void>
    private let wishes: AsyncStream<Void>.Continuation
    private let waiting = Mutex<[CheckedContinuation<Void, Never>]>([])

    init() {
        (self.wished, self.wishes) = AsyncStream.makeStream(
            of: Void.self, bufferingPolicy: .bufferingNewest(1))
    }

    /// Does it, whenever it is wished for, until the end.
    func serve(_ body: () async -> Void) async {
        // One after another: an older answer must not overtake a newer one.
        for await _ in self.wished {
            let waiting = self.waiting.withLock { waiting in
                defer { waiting = [] }
                return waiting
            }
            await body()
            for one in waiting { one.resume() }
        }
    }

    /// Wishes for it.
    func wish() { self.wishes.yield() }

    /// Wishes for it, and returns once it was done after that.
    func wait() async {
        await withCheckedContinuation { continuation in
            self.waiting.withLock { $0.append(continuation) }
            self.wishes.yield()
        }
    }

    /// Ends it; who waits, waits no longer.
    func end() {
        self.wishes.finish()
        for one in self.waiting.withLock({ $0 }) { one.resume() }
    }
}
