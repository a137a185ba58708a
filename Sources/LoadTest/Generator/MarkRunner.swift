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

/// A command that was to be run in mid-run and was not, for the run was over before.
package struct MissedMark: Error, Sendable, Codable, Equatable {
    /// Seconds from the end of the warm-up at which it was to be begun.
    package let at: Double
    /// What was to be run, secrets masked.
    package let command: String
}

/// Runs the commands of a plan when their time has come.
struct MarkRunner {
    /// The commands that were run, and those that were not, each in the order of their times.
    typealias Outcome = (run: [Mark], missed: [MissedMark])

    private let task: Task<Outcome, Never>

    init(_ plans: [MarkPlan], from start: NIODeadline) {
        self.task = Task {
            await withTaskGroup(of: Result<Mark, MissedMark>.self) { group in
                for plan in plans { group.addTask { await Self.run(plan, from: start) } }
                var outcome: Outcome = ([], [])
                for await result in group {
                    switch result {
                    case .success(let mark): outcome.run.append(mark)
                    case .failure(let missed): outcome.missed.append(missed)
                    }
                }
                outcome.run.sort { $0.begin < $1.begin }
                outcome.missed.sort { $0.at < $1.at }
                return outcome
            }
        }
    }

    /// What became of the commands; what is still to come is not run any more, and what goes on is ended.
    func finish() async -> Outcome {
        self.task.cancel()
        return await self.task.value
    }

    private static func run(
        _ plan: MarkPlan, from start: NIODeadline
    ) async -> Result<Mark, MissedMark> {
        let wait = (start + plan.at - .now()).nanoseconds
        do {
            try await Task.sleep(for: .nanoseconds(max(0, wait)))
        } catch {
            return .failure(
                MissedMark(
                    at: Double(plan.at.nanoseconds) / 1e9,
                    command: SecretMask.text(plan.command)))
        }
        let begin = Self.seconds(since: start)
        let command = MarkCommand(plan.command)
        let exitCode = await command.run()
        return .success(
            Mark(
                begin: begin, end: Self.seconds(since: start),
                command: SecretMask.text(plan.command),
                exitCode: command.wasEnded ? nil : exitCode, wasEnded: command.wasEnded))
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
