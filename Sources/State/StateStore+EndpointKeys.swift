internal import Cryptography
internal import Foundation
internal import GRDB

extension StateStore {
    /// All endpoint keys, expired ones included.
    package func endpointKeys() throws(StateError) -> EndpointKeyRecords {
        try StateError.wrapping("reading endpoint keys") {
            try self.queue.read { try EndpointKeyRecords(reading: $0) }
        }
    }

    /// Puts `record` into its slot; the key there before ends after `graceMilliseconds`.
    ///
    /// An older key still in grace ends at once: a slot has at most one former key.
    ///
    /// - Returns: The generation from which on the change is in force.
    package func replaceEndpointKey(
        with record: EndpointKeyRecord, graceMilliseconds: Int64, actor: String
    ) throws(StateError) -> Int64 {
        let now = record.createdMilliseconds
        return try StateError.wrapping("writing an endpoint key") {
            try self.queue.write { database in
                let slot: StatementArguments = [record.endpoint, record.slot.rawValue]
                try database.execute(
                    sql: """
                        DELETE FROM endpoint_key
                        WHERE endpoint = ? AND slot = ? AND is_former AND NOT keeps_streams
                        """, arguments: slot)
                if graceMilliseconds > 0 {
                    try database.execute(
                        sql: """
                            UPDATE endpoint_key SET is_former = 1,
                                expires_ms = min(coalesce(expires_ms, ?1), ?1)
                            WHERE endpoint = ?2 AND slot = ?3
                            """,
                        arguments: [
                            now + graceMilliseconds, record.endpoint, record.slot.rawValue,
                        ])
                } else {
                    try database.execute(
                        sql: """
                            DELETE FROM endpoint_key
                            WHERE endpoint = ? AND slot = ? AND NOT keeps_streams
                            """, arguments: slot)
                }
                try Self.insert(record, database)
                try Self.audit(
                    database, time: now, actor: actor, action: "endpoint key regenerated",
                    subject: "\(record.endpoint)/\(record.slot.rawValue)",
                    detail: "kid \(record.kid), grace \(graceMilliseconds) ms")
                return try Self.nextGeneration(database)
            }
        }
    }

    /// Removes the keys of a slot, one in grace included.
    ///
    /// - Parameters:
    ///   - endpoint: The endpoint's name.
    ///   - slot: Which of its two keys; nil means both.
    ///   - keepsStreams: Whether exchanges they have let in may finish.
    ///   - now: Milliseconds of Unix time, for the audit.
    ///   - actor: Who revokes, for the audit.
    /// - Returns: The kids that were removed, and the generation from which on they are refused.
    /// - Throws: `.database` if nothing could be changed.
    package func revokeEndpointKeys(
        endpoint: String, slot: EndpointKeySlot?, keepsStreams: Bool = false, now: Int64,
        actor: String
    ) throws(StateError) -> (kids: [String], generation: Int64) {
        let slots = slot.map { [$0.rawValue] } ?? EndpointKeySlot.allCases.map(\.rawValue)
        return try StateError.wrapping("revoking an endpoint key") {
            try self.queue.write { database in
                try database.execute(
                    sql: "DELETE FROM endpoint_key WHERE keeps_streams AND expires_ms < ?",
                    arguments: [now - Self.longestStreamMilliseconds])
                var kids: [String] = []
                for slot in slots {
                    kids += try Self.revoke(
                        endpoint: endpoint, slot: slot, keepsStreams: keepsStreams, now: now,
                        database)
                }
                try Self.audit(
                    database, time: now, actor: actor, action: "endpoint key revoked",
                    subject: "\(endpoint)/\(slots.joined(separator: "+"))",
                    detail:
                        "kids \(kids.joined(separator: " ")), streams \(keepsStreams ? "kept" : "ended")"
                )
                return (kids, try Self.nextGeneration(database))
            }
        }
    }

    private static func revoke(
        endpoint: String, slot: String, keepsStreams: Bool, now: Int64, _ database: Database
    ) throws -> [String] {
        guard !keepsStreams else {
            // The row stays for the sake of what it has let in; expired, it lets in nothing more.
            return try String.fetchAll(
                database,
                sql: """
                    UPDATE endpoint_key SET is_former = 1, keeps_streams = 1, expires_ms = ?
                    WHERE endpoint = ? AND slot = ? AND NOT keeps_streams RETURNING kid
                    """, arguments: [now, endpoint, slot])
        }
        try database.execute(
            sql: "DELETE FROM endpoint_key WHERE endpoint = ? AND slot = ? AND keeps_streams",
            arguments: [endpoint, slot])
        return try String.fetchAll(
            database,
            sql: "DELETE FROM endpoint_key WHERE endpoint = ? AND slot = ? RETURNING kid",
            arguments: [endpoint, slot])
    }

    /// A day: how long a revoked key is remembered for the exchanges it has let in.
    private static let longestStreamMilliseconds: Int64 = 86_400_000

    private static func insert(_ record: EndpointKeyRecord, _ database: Database) throws {
        try database.execute(
            sql: """
                INSERT INTO endpoint_key (kid, endpoint, slot, digest, pepper_version, created_ms,
                    not_before_ms, expires_ms) VALUES (?, ?, ?, ?, 1, ?, ?, ?)
                """,
            arguments: [
                record.kid, record.endpoint, record.slot.rawValue, Data(record.digest.bytes),
                record.createdMilliseconds, record.notBeforeMilliseconds,
                record.expiresMilliseconds,
            ])
    }
}

extension EndpointKeyRecords {
    /// Reads all records; must run inside a transaction, so that they fit their generation.
    init(reading database: Database) throws {
        let generation = try Int64.fetchOne(database, sql: "SELECT number FROM generation") ?? 0
        let rows = try Row.fetchAll(
            database,
            sql: """
                SELECT kid, endpoint, slot, digest, created_ms, not_before_ms, expires_ms, is_former,
                    keeps_streams
                FROM endpoint_key ORDER BY endpoint, slot, is_former, created_ms DESC
                """)
        let keys = try rows.map { row in
            let digest: Data = row["digest"]
            guard let slot = EndpointKeySlot(rawValue: row["slot"]),
                let digest = Digest32(bytes: [UInt8](digest).rawSpan)
            else {
                throw StateError.database(
                    operation: "reading endpoint keys", reason: "a row is damaged")
            }
            return EndpointKeyRecord(
                kid: row["kid"], endpoint: row["endpoint"], slot: slot, digest: digest,
                createdMilliseconds: row["created_ms"],
                notBeforeMilliseconds: row["not_before_ms"],
                expiresMilliseconds: row["expires_ms"], isFormer: row["is_former"],
                keepsStreams: row["keeps_streams"])
        }
        self.init(generation: generation, keys: keys)
    }
}
