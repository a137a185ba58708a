internal import Synchronization

/// What a process is to read again, one after the other; the same wish twice is one.
///
/// Two at a time could leave one worker with the older and one with the newer.
final class Reloads: Sendable {
    /// Why something is read again.
    enum Cause: String, CaseIterable {
        case hangup = "SIGHUP"
        case fileChanged = "file changed"
        case secrets = "secrets of the vault"
    }

    private let pending = Mutex<Set<Cause>>([])
    private let wished: AsyncStream<Void>
    private let wishes: AsyncStream<Void>.Continuation

    init() {
        (self.wished, self.wishes) = AsyncStream.makeStream(
            of: Void.self, bufferingPolicy: .bufferingNewest(1))
    }

    /// Wishes for one; from any thread.
    func wish(_ cause: Cause) {
        self.pending.withLock { _ = $0.insert(cause) }
        self.wishes.yield()
    }

    /// Does what is wished for, until cancelled.
    func serve(_ reload: (Cause) async -> Void) async {
        for await _ in self.wished {
            let causes = self.pending.withLock { pending in
                defer { pending = [] }
                return pending
            }
            for cause in Cause.allCases where causes.contains(cause) { await reload(cause) }
        }
    }
}
