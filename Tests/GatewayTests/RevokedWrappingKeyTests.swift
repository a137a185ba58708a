import Dispatch
import HTTPTransport
import SealedLog
import State
import Testing

@testable import Gateway

/// What a revocation does while the thread that writes the log is kept waiting, as by a slow disk.
@Suite("A revoked wrapping key", .timeLimit(.minutes(10)))
struct RevokedWrappingKeyTests {
    @Test("it is in force at once, and told once the log keys are wiped; endpoint keys do not wait")
    func slowDisk() async throws {
        let backend = try await ScriptedBackend { _, _, _ in .ok() }
        let bench = try await ExchangeBench([backend]) {
            $0.log = LogConfiguration(directory: $0.stateDirectory + ".log")
            var collector = DataCollectorConfiguration()
            (collector.logsRequests, collector.logsResponses) = (true, true)
            $0.endpoints[0].deployments[0].collector = collector
        }
        do {
            try await self.revoke(bench, try #require(bench.gateway.keeper))
        } catch {
            await bench.stop()
            throw error
        }
        await bench.stop()
    }

    private func revoke(_ bench: ExchangeBench, _ keeper: LogKeeper) async throws {
        let gate = DispatchSemaphore(value: 0)
        defer { gate.signal() }
        keeper.thread.tell { _, _ in gate.wait() }
        let generation = try keeper.store.setWrappingKey(
            endpoint: "iris", isEnabled: false, now: UnixTime.milliseconds, actor: "test"
        ).generation
        while try await bench.ask().status != 503 {}
        try bench.revoke()
        while try await bench.ask().status != 401 {}
        // Several times as long as it takes to tell what is in force.
        let end = ContinuousClock.now + .seconds(1)
        while ContinuousClock.now < end {
            try #require(try keeper.store.progress(of: generation).applied == 0)
            await Task.yield()
        }
        gate.signal()
        while try !keeper.store.progress(of: generation).isComplete { await Task.yield() }
        let failure = await keeper.thread.ask { writer, _ in writer[0]?.failure }
        #expect(failure == .revoked)
    }
}
