internal import Foundation
internal import NIOCore
internal import Synchronization

/// A command that was run in mid-run, as reports have it.
package struct Mark: Sendable, Codable, Equatable {
    /// Seconds from the end of the warm-up at which it was begun.
    package let begin: Double
    /// Seconds at which it had ended.
    package let end: Double
    /// What was run, secrets masked.
    package let command: String
    /// How it ended; nil if it could not be begun, or was ended.
    package let exitCode: Int32?
    /// Whether it went on after the run, and was ended.
    package let wasEnded: Bool
}

/// Runs the commands of a plan when their time has come.
struct MarkRunner {
    private let task: Task<[Mark], Never>

    init(_ plans: [MarkPlan], from start: NIODeadline) {
        self.task = Task {
            await withTaskGroup(of: Mark?.self) { group in
                for plan in plans { group.addTask { await Self.run(plan, from: start) } }
                var marks: [Mark] = []
                for await case let mark? in group { marks.append(mark) }
                return marks.sorted { $0.begin < $1.begin }
            }
        }
    }

    /// Those that were run; what is still to come is not run any more, and what goes on is ended.
    func finish() async -> [Mark] {
        self.task.cancel()
        return await self.task.value
    }

    private static func run(_ plan: MarkPlan, from start: NIODeadline) async -> Mark? {
        let wait = (start + plan.at - .now()).nanoseconds
        do {
            try await Task.sleep(for: .nanoseconds(max(0, wait)))
        } catch {
            return nil
        }
        let begin = Self.seconds(since: start)
        let command = MarkCommand(plan.command)
        let exitCode = await command.run()
        return Mark(
            begin: begin, end: Self.seconds(since: start),
            command: SecretMask.text(plan.command),
            exitCode: command.wasEnded ? nil : exitCode, wasEnded: command.wasEnded)
    }

    private static func seconds(since start: NIODeadline) -> Double {
        Double((NIODeadline.now() - start).nanoseconds) / 1e9
    }
}

/// One command of a shell, in a process group of its own.
private final class MarkCommand: Sendable {
    private let command: String
    private let hasSignalled = Atomic(false)
    private let processID = Mutex<pid_t?>(nil)

    init(_ command: String) {
        self.command = command
    }

    /// Whether it was ended before its time.
    var wasEnded: Bool { self.hasSignalled.load(ordering: .relaxed) }

    /// Runs it; when the task is cancelled, it has a few seconds more.
    ///
    /// - Returns: How it ended; nil if it could not be begun.
    func run() async -> Int32? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let process = Process()
                process.executableURL = URL(fileURLWithPath: "/bin/sh")
                process.arguments = ["-c", self.command]
                process.standardInput = FileHandle.nullDevice
                // Standard output is the report's.
                process.standardOutput = FileHandle.standardError
                process.terminationHandler = { process in
                    self.processID.withLock { $0 = nil }
                    continuation.resume(returning: process.terminationStatus)
                }
                // Held until the id is known: the command may have ended by then.
                let isRunning = self.processID.withLock { id in
                    guard (try? process.run()) != nil else { return false }
                    id = process.processIdentifier
                    return true
                }
                guard !isRunning else { return }
                process.terminationHandler = nil
                continuation.resume(returning: nil)
            }
        } onCancel: {
            Task {
                try? await Task.sleep(for: Self.grace)
                self.signal(SIGTERM)
                try? await Task.sleep(for: Self.pause)
                self.signal(SIGKILL)
            }
        }
    }

    /// Signals the shell and what it has begun, unless the shell has ended.
    private func signal(_ signal: Int32) {
        self.processID.withLock { id in
            guard let id else { return }
            self.hasSignalled.store(true, ordering: .relaxed)
            // Foundation makes each process the leader of a group.
            _ = kill(-id, signal)
        }
    }

    /// 5 s: for what a command of the last second has still to do.
    private static let grace = Duration.seconds(5)
    /// 2 s: for what wants to leave things in order.
    private static let pause = Duration.seconds(2)
}
