internal import Foundation
internal import GRDB

/// What the state keeps of a stream of the sealed log; ids and digests as their bytes.
package struct LogStreamRecord: Sendable, Equatable {
    /// The end of the stream as it was last told.
    package struct End: Sendable, Equatable {
        /// The highest number of a segment.
        package var number: Int64
        /// That segment's id, 16 bytes.
        package var segmentID: [UInt8]
        /// A chain head it has had, 32 bytes.
        package var head: [UInt8]
        /// The number of the next entry, where it is more than the segments tell; otherwise 0.
        package var nextSequence: Int64
        /// Why the entries before that one were lost, as the log numbers reasons.
        package var lossReason: Int64

        /// The end with these values.
        package init(
            number: Int64, segmentID: [UInt8], head: [UInt8], nextSequence: Int64 = 0,
            lossReason: Int64 = 0
        ) {
            self.number = number
            self.segmentID = segmentID
            self.head = head
            self.nextSequence = nextSequence
            self.lossReason = lossReason
        }
    }

    /// The stream's id, random, 16 bytes.
    package let id: [UInt8]
    /// The endpoint's name; nil once the stream was shredded.
    package let endpoint: String?
    /// When it was first used, milliseconds of Unix time.
    package let createdMilliseconds: Int64
    /// Nil while it has no segment.
    package var end: End?
    /// The log keys so far by their ids, each with SHA-256 of its wrapped form.
    package var logKeys: [[UInt8]: [UInt8]]
    /// Of those that are being wrapped anew, SHA-256 of the form that is going to be theirs.
    package var nextLogKeys: [[UInt8]: [UInt8]] = [:]
}

extension StateStore {
    /// The stream of an endpoint, made at the first call.
    ///
    /// - Parameters:
    ///   - endpoint: The endpoint's name.
    ///   - newID: 16 random bytes, for a stream that is made.
    ///   - now: Milliseconds of Unix time.
    /// - Returns: What is known of it.
    /// - Throws: `.database`.
    package func logStream(
        of endpoint: String, newID: [UInt8], now: Int64
    ) throws(StateError) -> LogStreamRecord {
        try StateError.wrapping("reading a stream of the log") {
            try self.queue.write { database in
                try database.execute(
                    sql: """
                        INSERT INTO log_stream (id, endpoint, created_ms) VALUES (?, ?, ?)
                        ON CONFLICT (endpoint) DO NOTHING
                        """, arguments: [Data(newID), endpoint, now])
                guard let record = try LogStreamRecord.all(database, of: endpoint).first else {
                    throw StateError.database(
                        operation: "reading a stream of the log", reason: "it is not there")
                }
                return record
            }
        }
    }

    /// All streams, those that were shredded included.
    package func logStreams() throws(StateError) -> [LogStreamRecord] {
        try StateError.wrapping("reading the streams of the log") {
            try self.queue.read { try LogStreamRecord.all($0) }
        }
    }

    /// Keeps where a stream ends and which log keys it has.
    ///
    /// An end before the one that is known is not kept: it would hide that the stream was put back.
    /// A log key that is known keeps its digest: only a rewrap changes it, so that a writer which began
    /// before one does not undo what that has told.
    package func keepEnd(
        _ end: LogStreamRecord.End, logKeys: [[UInt8]: [UInt8]], of streamID: [UInt8]
    ) throws(StateError) {
        try StateError.wrapping("keeping the end of a stream") {
            try self.queue.write { database in
                try database.execute(
                    sql: """
                        UPDATE log_stream
                        SET number = ?1, segment_id = ?2, head = ?3, next_sequence = ?4,
                            loss_reason = ?5
                        WHERE id = ?6 AND (number IS NULL OR number <= ?1)
                        """,
                    arguments: [
                        end.number, Data(end.segmentID), Data(end.head), end.nextSequence,
                        end.lossReason, Data(streamID),
                    ])
                for (id, digest) in logKeys {
                    try Self.keepLogKey(database, id, digest, streamID)
                }
            }
        }
    }

    /// Keeps the digest of a log key's wrapped form; one that is known stays as it is.
    ///
    /// To be called before anything is written under the key: a segment whose key is not known here
    /// looks like a stranger's.
    package func keepLogKey(
        _ id: [UInt8], digest: [UInt8], of streamID: [UInt8]
    ) throws(StateError) {
        try StateError.wrapping("keeping a log key of a stream") {
            try self.queue.write { try Self.keepLogKey($0, id, digest, streamID) }
        }
    }

    private static func keepLogKey(
        _ database: Database, _ id: [UInt8], _ digest: [UInt8], _ streamID: [UInt8]
    ) throws {
        try database.execute(
            sql: """
                INSERT INTO stream_log_key (stream_id, log_key_id, digest)
                VALUES (?, ?, ?) ON CONFLICT DO NOTHING
                """, arguments: [Data(streamID), Data(id), Data(digest)])
    }

    /// Keeps what log keys of a stream, which are known, are going to be wrapped as; until
    /// ``finishLogKeyDigests(_:of:)`` both forms are theirs.
    package func beginLogKeyDigests(
        _ digests: [[UInt8]: [UInt8]], of streamID: [UInt8]
    ) throws(StateError) {
        try StateError.wrapping("keeping the log keys of a stream") {
            try self.queue.write { database in
                for (id, digest) in digests {
                    try database.execute(
                        sql: """
                            UPDATE stream_log_key SET next_digest = ?
                            WHERE stream_id = ? AND log_key_id = ?
                            """, arguments: [Data(digest), Data(streamID), Data(id)])
                }
            }
        }
    }

    /// From now on these log keys of a stream have the form that was going to be theirs, and no other.
    package func finishLogKeyDigests(
        _ ids: [[UInt8]], of streamID: [UInt8]
    ) throws(StateError) {
        try StateError.wrapping("keeping the log keys of a stream") {
            try self.queue.write { database in
                for id in ids {
                    try database.execute(
                        sql: """
                            UPDATE stream_log_key SET digest = next_digest, next_digest = NULL
                            WHERE stream_id = ? AND log_key_id = ? AND next_digest IS NOT NULL
                            """, arguments: [Data(streamID), Data(id)])
                }
            }
        }
    }

    /// Takes an endpoint's stream out of use, or puts it back; does nothing if the endpoint has none.
    ///
    /// - Returns: The generation from which on that is in force.
    package func setLogStream(
        of endpoint: String, isSuspended: Bool, now: Int64, actor: String
    ) throws(StateError) -> Int64 {
        try StateError.wrapping("suspending a stream of the log") {
            try self.queue.write { database in
                try database.execute(
                    sql: """
                        UPDATE log_stream SET is_suspended = ?1
                        WHERE endpoint = ?2 AND is_suspended <> ?1
                        """, arguments: [isSuspended, endpoint])
                guard database.changesCount > 0 else { return try Self.generation(database) }
                try Self.audit(
                    database, time: now, actor: actor,
                    action: isSuspended ? "log suspended" : "log resumed", subject: endpoint,
                    detail: "")
                return try Self.nextGeneration(database)
            }
        }
    }

    /// The endpoints whose streams are out of use.
    package func suspendedLogStreams() throws(StateError) -> Set<String> {
        try StateError.wrapping("reading the streams of the log") {
            try self.queue.read { database in
                try String.fetchSet(
                    database,
                    sql: """
                        SELECT endpoint FROM log_stream
                        WHERE is_suspended = 1 AND endpoint IS NOT NULL
                        """)
            }
        }
    }

    /// Takes the stream from an endpoint, which gets another when it logs again.
    ///
    /// What is known of the stream stays. Does nothing if the endpoint has none.
    package func retireLogStream(
        of endpoint: String, now: Int64, actor: String
    ) throws(StateError) {
        try StateError.wrapping("retiring a stream of the log") {
            try self.queue.write { database in
                try database.execute(
                    sql: "UPDATE log_stream SET endpoint = NULL WHERE endpoint = ?",
                    arguments: [endpoint])
                try Self.audit(
                    database, time: now, actor: actor, action: "log shredded", subject: endpoint,
                    detail: "")
            }
        }
    }
}

extension LogStreamRecord {
    /// Reads the streams of one endpoint, or all.
    static func all(_ database: Database, of endpoint: String? = nil) throws -> [LogStreamRecord] {
        try Row.fetchAll(
            database, sql: "SELECT * FROM log_stream WHERE ?1 IS NULL OR endpoint = ?1",
            arguments: [endpoint]
        ).map { row in
            let id: Data = row["id"]
            var end: End?
            if let number: Int64 = row["number"], let segment: Data = row["segment_id"],
                let head: Data = row["head"]
            {
                end = End(
                    number: number, segmentID: [UInt8](segment), head: [UInt8](head),
                    nextSequence: row["next_sequence"], lossReason: row["loss_reason"])
            }
            let keys = try Row.fetchAll(
                database, sql: "SELECT * FROM stream_log_key WHERE stream_id = ?", arguments: [id])
            var logKeys: [[UInt8]: [UInt8]] = [:]
            var nextLogKeys: [[UInt8]: [UInt8]] = [:]
            for key in keys {
                let (id, digest): (Data, Data) = (key["log_key_id"], key["digest"])
                logKeys[[UInt8](id)] = [UInt8](digest)
                guard let next: Data = key["next_digest"] else { continue }
                nextLogKeys[[UInt8](id)] = [UInt8](next)
            }
            return LogStreamRecord(
                id: [UInt8](id), endpoint: row["endpoint"], createdMilliseconds: row["created_ms"],
                end: end, logKeys: logKeys, nextLogKeys: nextLogKeys)
        }
    }
}
