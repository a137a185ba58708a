import Cryptography
import Dispatch
import Foundation
import Synchronization
import Testing

@testable import State

@Suite struct StateWatcherTests {
    @Test("a change through another connection is told within a second, and its progress seen")
    func change() throws {
        let folder = StateFolder()
        let root = try SystemRandom.secret(count: 32)
        let store = try StateStore(folder: folder.path, rootKey: root)
        let other = try StateStore(folder: folder.path, rootKey: root)
        #expect(try other.progress(of: 1) == GenerationProgress(applied: 0, workers: 0))
        let told = DispatchSemaphore(value: 0)
        let seen = Mutex<StateRecords?>(nil)
        let watcher = try StateWatcher(store: store, workers: 2) { records in
            seen.withLock { $0 = records }
            told.signal()
        }
        defer { watcher.stop() }
        #expect(watcher.initial.endpointKeys.keys.isEmpty)
        #expect(watcher.health == .ready)
        let generation = try other.replaceEndpointKey(
            with: record(1), graceMilliseconds: 0, actor: "test")
        #expect(try other.progress(of: generation) == GenerationProgress(applied: 0, workers: 2))
        #expect(told.wait(timeout: .now() + 1) == .success)
        seen.withLock { records in
            #expect(records?.generation == generation)
            #expect(records?.endpointKeys.keys.map(\.kid) == ["00000001001"])
        }
        watcher.apply(generation: generation, worker: 1)
        #expect(try self.reaches(1, of: generation, in: other))
        watcher.apply(generation: generation, worker: 0)
        #expect(try self.reaches(2, of: generation, in: other))
        watcher.stop()
        #expect(try other.progress(of: generation).workers == 0)
    }

    @Test("a process that has ended is not waited for")
    func ended() throws {
        let folder = StateFolder()
        let store = try StateStore(
            folder: folder.path, rootKey: try SystemRandom.secret(count: 32))
        let current = ProcessIdentity.current
        #expect(current.isRunning == true)
        let former = ProcessIdentity(
            pid: current.pid, started: "boot/1", namespace: current.namespace)
        #expect(former.isRunning == false)
        let foreign = ProcessIdentity(pid: 1, started: "boot/1", namespace: "pid:[1]")
        try store.writeApplied([1, 1], by: former, now: 100_000)
        try store.writeApplied([1], by: foreign, now: 100_000)
        #expect(try store.progress(of: 2, now: 100_001).workers == 1)
        #expect(try store.progress(of: 2, now: 200_000).workers == 0)
    }

    @Test("a state that is gone is noticed, and one that is back as well")
    func gone() throws {
        let folder = StateFolder()
        let store = try StateStore(
            folder: folder.path, rootKey: try SystemRandom.secret(count: 32))
        let watcher = try StateWatcher(store: store, workers: 1) { _ in }
        defer { watcher.stop() }
        try FileManager.default.moveItem(atPath: folder.path, toPath: "\(folder.path)-away")
        #expect(self.becomes { watcher.health == .notReady })
        try FileManager.default.moveItem(atPath: "\(folder.path)-away", toPath: folder.path)
        #expect(self.becomes { watcher.health == .ready })
    }

    @Test("a state that can be read and not written is noticed, and that it can be again")
    func unwritable() throws {
        let folder = StateFolder()
        let store = try StateStore(
            folder: folder.path, rootKey: try SystemRandom.secret(count: 32))
        let watcher = try StateWatcher(store: store, workers: 1) { _ in }
        defer { watcher.stop() }
        #expect(watcher.writeFailure == nil)
        _ = try store.pragma("query_only = 1")
        // There is something to be written.
        watcher.apply(generation: watcher.initial.generation + 1, worker: 0)
        #expect(self.becomes { watcher.writeFailure != nil })
        #expect(watcher.health == .ready)
        _ = try store.pragma("query_only = 0")
        #expect(self.becomes { watcher.writeFailure == nil })
    }

    @Test(
        "health goes by the time since the state was read",
        arguments: [
            (0, StateHealth.ready), (1999, .ready), (2000, .notReady), (9999, .notReady),
            (10_000, .unavailable),
        ] as [(Int64, StateHealth)])
    func health(_ milliseconds: Int64, _ health: StateHealth) {
        #expect(StateHealth(millisecondsSinceSuccess: milliseconds) == health)
    }

    private func reaches(_ applied: Int, of generation: Int64, in store: StateStore) throws -> Bool
    {
        let end = ContinuousClock.now + .seconds(5)
        while ContinuousClock.now < end {
            if try store.progress(of: generation).applied == applied { return true }
        }
        return false
    }

    private func becomes(_ condition: () -> Bool) -> Bool {
        let end = ContinuousClock.now + .seconds(5)
        while ContinuousClock.now < end {
            if condition() { return true }
            sched_yield()
        }
        return false
    }
}
