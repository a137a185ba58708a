internal import ArgumentParser
internal import Foundation
internal import State

/// What commands that change the state have in common.
enum StateChange {
    /// Who makes the change, for the audit.
    static var actor: String { "command line, uid \(getuid())" }

    /// Runs `body`; what the state cannot do ends the command with 3, what the wrapping key's state
    /// forbids with 1.
    static func failing<Value: ~Copyable>(
        _ body: () throws(StateError) -> Value
    ) throws -> Value {
        do throws(StateError) {
            return try body()
        } catch .wrappingKey(let endpoint, let reason) {
            StandardError.write(
                StateError.wrappingKey(endpoint: endpoint, reason: reason).description)
            throw ExitCode(1)
        } catch {
            StandardError.write(error.description)
            throw ExitCode(3)
        }
    }

    /// Waits until a change is in force, at most 5 s.
    static func wait(for generation: Int64, in store: StateStore) throws -> GenerationProgress {
        let end = ContinuousClock.now + .seconds(5)
        while true {
            let progress = try self.failing { () throws(StateError) in
                try store.progress(of: generation)
            }
            if progress.isComplete || ContinuousClock.now >= end { return progress }
            Thread.sleep(forTimeInterval: 0.02)
        }
    }

    /// How far a change has come, for people.
    static func text(of progress: GenerationProgress) -> String {
        if progress.workers == 0 {
            return "no gateway is running; in force when one starts"
        }
        let text = "in force on \(progress.applied) of \(progress.workers) workers"
        return progress.isComplete ? text : "\(text) after 5 s: is the gateway stuck?"
    }
}
