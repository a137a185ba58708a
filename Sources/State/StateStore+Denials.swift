internal import Foundation
internal import GRDB

/// A peer nobody talks to.
package struct Denial: Sendable, Equatable {
    /// A SPIFFE ID, or the serial number of a certificate in lower-case hexadecimal.
    package let subject: String
    /// Why, for people.
    package let reason: String
    /// Since when, milliseconds of Unix time.
    package let createdMilliseconds: Int64
}

extension StateStore {
    /// Everybody on the deny list, in order of their names.
    package func denials() throws(StateError) -> [Denial] {
        try StateError.wrapping("reading the deny list") {
            try self.queue.read { database in
                try Row.fetchAll(database, sql: "SELECT * FROM denied_peer ORDER BY subject")
                    .map { row in
                        Denial(
                            subject: row["subject"], reason: row["reason"],
                            createdMilliseconds: row["created_ms"])
                    }
            }
        }
    }

    /// Puts a peer on the deny list; with a certificate go those that took its place.
    ///
    /// - Returns: The generation from which on it is in force.
    /// - Throws: `.database` also if the list is full.
    package func deny(
        _ subject: String, reason: String, now: Int64, actor: String
    ) throws(StateError) -> Int64 {
        try StateError.wrapping("denying a peer") {
            try self.queue.write { database in
                let count = try Int.fetchOne(database, sql: "SELECT count(*) FROM denied_peer") ?? 0
                guard count < Self.maximumDenials else {
                    throw StateError.database(
                        operation: "denying a peer",
                        reason: "the deny list has \(count) entries: allow some first")
                }
                try database.execute(
                    sql: """
                        WITH RECURSIVE denied (subject) AS (
                            SELECT ?1
                            UNION SELECT serial FROM issued_certificate JOIN denied
                                ON predecessor = subject)
                        INSERT INTO denied_peer (subject, reason, created_ms)
                            SELECT subject, ?2, ?3 FROM denied WHERE true
                            ON CONFLICT (subject) DO NOTHING
                        """, arguments: [subject, reason, now])
                try Self.audit(
                    database, time: now, actor: actor, action: "peer denied", subject: subject,
                    detail: "reason: \(reason)")
                return try Self.nextGeneration(database)
            }
        }
    }

    /// Takes a peer off the deny list.
    ///
    /// - Returns: The generation from which on that is in force; nil if it was not denied.
    package func allow(
        _ subject: String, now: Int64, actor: String
    ) throws(StateError) -> Int64? {
        try StateError.wrapping("allowing a peer") {
            try self.queue.write { database in
                try database.execute(
                    sql: "DELETE FROM denied_peer WHERE subject = ?", arguments: [subject])
                guard database.changesCount > 0 else { return nil }
                try Self.audit(
                    database, time: now, actor: actor, action: "peer allowed", subject: subject,
                    detail: "taken off the deny list")
                return try Self.nextGeneration(database)
            }
        }
    }

    /// 10,000: each process holds the whole list in memory and looks at it in each handshake.
    private static let maximumDenials = 10_000
}
