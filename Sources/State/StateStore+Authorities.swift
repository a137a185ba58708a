package import Cryptography
internal import Foundation
internal import GRDB

extension StateStore {
    /// All authorities there are and were, those with the youngest state first.
    package func authorities() throws(StateError) -> [AuthorityRecord] {
        try StateError.wrapping("reading authorities") {
            try self.queue.read { try AuthorityRecord.all($0) }
        }
    }

    /// Changes the authorities, in one transaction that no other process comes between.
    ///
    /// - Parameters:
    ///   - now: Milliseconds of Unix time.
    ///   - actor: Who makes the change, for the audit.
    ///   - decide: Is given those there are, and says what shall become of them.
    /// - Returns: The authorities as they are then.
    /// - Throws: `.database`, and what `decide` throws.
    package func changeAuthorities(
        now: Int64, actor: String,
        _ decide: ([AuthorityRecord]) throws(StateError) -> [AuthorityChange]
    ) throws(StateError) -> [AuthorityRecord] {
        try StateError.wrapping("changing authorities") {
            try self.queue.write { database in
                let present = try AuthorityRecord.all(database)
                let changes = try decide(present)
                guard !changes.isEmpty else { return present }
                for change in changes {
                    try Self.apply(change, database, now: now, actor: actor)
                }
                _ = try Self.nextGeneration(database)
                return try AuthorityRecord.all(database)
            }
        }
    }

    /// The private key of an authority, PEM; nil if it was destroyed.
    ///
    /// - Throws: `.wrongRootKey` if it was sealed under another key, or changed; `.database`.
    package func openAuthorityKey(
        _ record: AuthorityRecord, rootKey: borrowing SecretBytes
    ) throws(StateError) -> SecretBytes? {
        let sealed = try StateError.wrapping("reading an authority's key") {
            try self.queue.read { database in
                try Data.fetchOne(
                    database, sql: "SELECT sealed FROM authority WHERE id = ?",
                    arguments: [Data(record.id)]
                ).map { [UInt8]($0) }
            }
        }
        guard let sealed else { return nil }
        return try Self.open(sealed, record.associatedData, rootKey: rootKey)
    }

    private static func apply(
        _ change: AuthorityChange, _ database: Database, now: Int64, actor: String
    ) throws {
        let subject: String
        let detail: String
        switch change {
        case .insert(let record, let sealedKey):
            subject = record.certificate.fingerprint.hexadecimal
            detail = "state \(record.state.rawValue)"
            try database.execute(
                sql: """
                    INSERT INTO authority
                        (id, issuer_id, certificate, sealed, state, since_ms, token_key)
                    VALUES (?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    Data(record.id), record.issuerID.map { Data($0) },
                    Data(record.certificate.der), sealedKey.map { Data($0) },
                    record.state.rawValue, record.sinceMilliseconds,
                    record.tokenKey.map { Data($0) },
                ])
        case .set(let changed, let new):
            (subject, detail) = (Hexadecimal.text(of: changed.rawSpan), "state \(new.rawValue)")
            try database.execute(
                sql: """
                    UPDATE authority SET state = ?1, since_ms = ?2,
                        sealed = CASE ?1 WHEN 'retired' THEN NULL ELSE sealed END
                    WHERE id = ?3
                    """, arguments: [new.rawValue, now, Data(changed)])
        case .forgetTokenKey(let changed):
            subject = Hexadecimal.text(of: changed.rawSpan)
            detail = "its key in the token destroyed"
            try database.execute(
                sql: "UPDATE authority SET token_key = NULL WHERE id = ? AND state = 'retired'",
                arguments: [Data(changed)])
        }
        try self.audit(
            database, time: now, actor: actor, action: "authority changed",
            subject: subject, detail: detail)
    }
}

extension AuthorityRecord {
    static func all(_ database: Database) throws -> [AuthorityRecord] {
        try Row.fetchAll(
            database,
            sql: """
                SELECT issuer_id, certificate, state, since_ms, token_key FROM authority
                ORDER BY since_ms DESC, id
                """
        ).map { row in
            let certificate: Data = row["certificate"]
            let issuer: Data? = row["issuer_id"]
            let tokenKey: Data? = row["token_key"]
            guard let state = State(rawValue: row["state"]) else {
                throw StateError.database(
                    operation: "reading authorities", reason: "an unknown state")
            }
            return AuthorityRecord(
                issuerID: issuer.map { [UInt8]($0) },
                certificate: try Certificate(der: [UInt8](certificate)), state: state,
                sinceMilliseconds: row["since_ms"], tokenKey: tokenKey.map { [UInt8]($0) })
        }
    }
}
