internal import GRDB

/// How many workers of the running gateways have a generation in force.
package struct GenerationProgress: Sendable, Equatable {
    /// Workers that have it in force.
    package let applied: Int
    /// All workers of all running gateways; 0 means that no gateway is running.
    package let workers: Int

    /// Whether nobody is left to wait for.
    package var isComplete: Bool { self.applied == self.workers }
}

extension StateStore {
    /// How far the running gateways are with `generation`.
    ///
    /// Forgets processes that have ended, however they did.
    package func progress(
        of generation: Int64, now: Int64 = UnixTime.milliseconds
    ) throws(StateError) -> GenerationProgress {
        try StateError.wrapping("reading what gateways have in force") {
            let rows = try self.queue.read { database in
                try Row.fetchAll(database, sql: "SELECT * FROM applied_generation")
            }
            var applied = 0
            var workers = 0
            var ended: Set<ProcessIdentity> = []
            for row in rows {
                let process = ProcessIdentity(
                    pid: row["pid"], started: row["started"], namespace: row["namespace"])
                let heartbeat: Int64 = row["heartbeat_ms"]
                guard process.isRunning ?? (now - heartbeat < Self.heartbeatLossMilliseconds) else {
                    ended.insert(process)
                    continue
                }
                workers += 1
                applied += row["generation"] >= generation ? 1 : 0
            }
            for process in ended { try self.queue.write { try Self.forget(process, $0) } }
            return GenerationProgress(applied: applied, workers: workers)
        }
    }

    /// Writes which generation each worker of `process` has in force; the index is the worker.
    func writeApplied(
        _ generations: [Int64], by process: ProcessIdentity, now: Int64
    ) throws(StateError) {
        try StateError.wrapping("writing what is in force") {
            try self.queue.write { database in
                for (worker, generation) in generations.enumerated() {
                    try database.execute(
                        sql: """
                            INSERT OR REPLACE INTO applied_generation
                                (pid, started, namespace, worker, generation, heartbeat_ms)
                            VALUES (?, ?, ?, ?, ?, ?)
                            """,
                        arguments: [
                            process.pid, process.started, process.namespace, worker, generation,
                            now,
                        ])
                }
            }
        }
    }

    /// Removes what `process` has written: it is about to end.
    func forget(_ process: ProcessIdentity) throws(StateError) {
        try StateError.wrapping("signing off") {
            try self.queue.write { try Self.forget(process, $0) }
        }
    }

    private static func forget(_ process: ProcessIdentity, _ database: Database) throws {
        try database.execute(
            sql: "DELETE FROM applied_generation WHERE pid = ? AND started = ? AND namespace = ?",
            arguments: [process.pid, process.started, process.namespace])
    }

    /// 15 s, three heartbeats: after that a process in another PID namespace counts as ended.
    private static let heartbeatLossMilliseconds: Int64 = 15_000
    /// 5 s: each is a durable write, so not often.
    static let heartbeatMilliseconds: Int64 = 5_000
}
