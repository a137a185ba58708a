internal import Foundation
internal import NIOCore

/// A command that was run in mid-run, as reports have it.
package struct Mark: Sendable, Codable, Equatable {
    /// Seconds from the end of the warm-up at which it was begun.
    package let begin: Double
    /// Seconds at which it had ended.
    package let end: Double
    /// What was run.
    package let command: String
    /// How it ended; nil if it could not be begun.
    package let exitCode: Int32?
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

    /// Those that were run; what is still to come is not run any more.
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
        let exitCode = await self.exitCode(of: plan.command)
        return Mark(
            begin: begin, end: Self.seconds(since: start), command: plan.command,
            exitCode: exitCode)
    }

    private static func seconds(since start: NIODeadline) -> Double {
        Double((NIODeadline.now() - start).nanoseconds) / 1e9
    }

    private static func exitCode(of command: String) async -> Int32? {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", command]
        process.standardInput = FileHandle.nullDevice
        // Standard output is the report's.
        process.standardOutput = FileHandle.standardError
        return await withCheckedContinuation { continuation in
            process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
            do {
                try process.run()
            } catch {
                process.terminationHandler = nil
                continuation.resume(returning: nil)
            }
        }
    }
}
