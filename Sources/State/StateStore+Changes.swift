internal import GRDB

// What every change of the state leaves behind.
extension StateStore {
    /// Counts a change that running processes must hear of; must run in the change's transaction.
    static func nextGeneration(_ database: Database) throws -> Int64 {
        try database.execute(sql: "UPDATE generation SET number = number + 1")
        return try Self.generation(database)
    }

    /// The number of the last change.
    static func generation(_ database: Database) throws -> Int64 {
        try Int64.fetchOne(database, sql: "SELECT number FROM generation") ?? 0
    }

    /// Notes who changed what; must run in the change's transaction.
    static func audit(
        _ database: Database, time: Int64, actor: String, action: String, subject: String,
        detail: String
    ) throws {
        try database.execute(
            sql: """
                INSERT INTO audit (time_ms, actor, action, subject, detail) VALUES (?, ?, ?, ?, ?)
                """, arguments: [time, actor, action, subject, detail])
    }

    /// Removes the oldest entries beyond what is kept; must run in the transaction of an entry.
    static func trimAudit(_ database: Database) throws {
        try database.execute(
            sql: "DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?",
            arguments: [self.mostAuditEntries])
    }

    /// Ten million entries, some 2 GB: three months at one use a second, then the oldest go.
    private static let mostAuditEntries = 10_000_000
}
