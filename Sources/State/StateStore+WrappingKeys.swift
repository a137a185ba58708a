package import Cryptography
internal import Foundation
internal import GRDB

/// A version of a wrapping key that was made or changed, and from when on that is in force.
package struct WrappingKeyChange: Sendable, Equatable {
    /// The versions that changed.
    package let keys: [WrappingKeyRecord]
    /// The generation from which on the change is in force.
    package let generation: Int64
}

extension StateStore {
    /// All versions of all wrapping keys, by endpoint, the newest first.
    package func wrappingKeys() throws(StateError) -> [WrappingKeyRecord] {
        try StateError.wrapping("reading wrapping keys") {
            try self.queue.read { try WrappingKeyRecord.all($0) }
        }
    }

    /// The versions of one endpoint's wrapping key, the newest first.
    package func wrappingKeys(of endpoint: String) throws(StateError) -> [WrappingKeyRecord] {
        try StateError.wrapping("reading wrapping keys") {
            try self.queue.read { try WrappingKeyRecord.all($0, of: endpoint) }
        }
    }

    /// Opens one version of an endpoint's wrapping key.
    ///
    /// - Parameters:
    ///   - record: Which; one that was destroyed gives nil.
    ///   - rootKey: What it is sealed under.
    /// - Returns: 32 bytes; nil if there is no such version, or nothing left of it.
    /// - Throws: `.wrongRootKey` if it was sealed under another key, or changed; `.database`.
    package func openWrappingKey(
        _ record: WrappingKeyRecord, rootKey: borrowing SecretBytes
    ) throws(StateError) -> SecretBytes? {
        let sealed = try StateError.wrapping("reading a wrapping key") {
            try self.queue.read { database in
                try Data.fetchOne(
                    database,
                    sql: "SELECT sealed FROM wrapping_key_version WHERE key_id = ? AND version = ?",
                    arguments: [Data(record.keyID), record.version]
                ).map { [UInt8]($0) }
            }
        }
        guard let sealed else { return nil }
        return try Self.open(sealed, record.associatedData, rootKey: rootKey)
    }

    /// Makes the first version of an endpoint's wrapping key, where there was never one.
    ///
    /// - Returns: What was made; nil if the endpoint has a wrapping key, whatever its state.
    /// - Throws: `.wrongRootKey` if that is not the state's any more.
    package func makeFirstWrappingKey(
        endpoint: String, rootKey: borrowing SecretBytes, now: Int64, actor: String
    ) throws(StateError) -> WrappingKeyChange? {
        try self.makeWrappingKey(endpoint, rootKey, now, actor) { versions in versions.isEmpty }
    }

    /// Makes a further version of an endpoint's wrapping key, or the first.
    ///
    /// - Throws: `.wrappingKey` if the newest version is disabled: a new one would undo that;
    ///   `.wrongRootKey` if that is not the state's any more.
    package func rotateWrappingKey(
        endpoint: String, rootKey: borrowing SecretBytes, now: Int64, actor: String
    ) throws(StateError) -> WrappingKeyChange {
        let change = try self.makeWrappingKey(endpoint, rootKey, now, actor) { versions in
            if let newest = versions.first, !newest.isEnabled, !newest.isDestroyed {
                throw StateError.wrappingKey(
                    endpoint: endpoint, reason: "is disabled: enable it before it is rotated")
            }
            return true
        }
        guard let change else { preconditionFailure("a rotation always makes a version") }
        return change
    }

    /// Enables or disables all versions of an endpoint's wrapping key that are not destroyed.
    ///
    /// - Returns: The versions that changed; none if they were all so before.
    /// - Throws: `.wrappingKey` if there is no version that could be changed.
    package func setWrappingKey(
        endpoint: String, isEnabled: Bool, now: Int64, actor: String
    ) throws(StateError) -> WrappingKeyChange {
        try StateError.wrapping("changing a wrapping key") {
            try self.queue.write { database in
                let versions = try WrappingKeyRecord.all(database, of: endpoint)
                guard versions.contains(where: { !$0.isDestroyed }) else {
                    throw StateError.wrappingKey(
                        endpoint: endpoint,
                        reason: versions.isEmpty ? "was never made" : "is destroyed")
                }
                let changed = versions.filter { !$0.isDestroyed && $0.isEnabled != isEnabled }
                guard let keyID = changed.first?.keyID else {
                    return WrappingKeyChange(keys: [], generation: try Self.generation(database))
                }
                try database.execute(
                    sql: """
                        UPDATE wrapping_key_version SET is_enabled = ?
                        WHERE key_id = ? AND sealed IS NOT NULL
                        """, arguments: [isEnabled, Data(keyID)])
                return try Self.finish(
                    database, changed, isEnabled ? "enabled" : "disabled", now: now, actor: actor)
            }
        }
    }

    /// Destroys all versions of an endpoint's wrapping key: what they wrap is lost for good.
    ///
    /// Nothing of them stays in the database, which overwrites what it deletes; the write-ahead
    /// log has them until ``truncateWriteAheadLog(timeout:)``, and copies of both files for ever.
    ///
    /// - Returns: The versions that were destroyed; none if there were none left.
    package func destroyWrappingKey(
        endpoint: String, now: Int64, actor: String
    ) throws(StateError) -> WrappingKeyChange {
        try StateError.wrapping("destroying a wrapping key") {
            try self.queue.write { database in
                let left = try WrappingKeyRecord.all(database, of: endpoint)
                    .filter { !$0.isDestroyed }
                guard let keyID = left.first?.keyID else {
                    return WrappingKeyChange(keys: [], generation: try Self.generation(database))
                }
                try database.execute(
                    sql: """
                        UPDATE wrapping_key_version SET sealed = NULL, is_enabled = 0
                        WHERE key_id = ?
                        """, arguments: [Data(keyID)])
                return try Self.finish(database, left, "destroyed", now: now, actor: actor)
            }
        }
    }

    private func makeWrappingKey(
        _ endpoint: String, _ rootKey: borrowing SecretBytes, _ now: Int64, _ actor: String,
        if isWanted: ([WrappingKeyRecord]) throws -> Bool
    ) throws(StateError) -> WrappingKeyChange? {
        let sealing: AES256GCM
        let newID: [UInt8]
        do throws(CryptographyError) {
            sealing = try AES256GCM(key: rootKey)
            newID = try SystemRandom.bytes(count: 16)
        } catch {
            throw .cryptography(error)
        }
        return try StateError.wrapping("making a wrapping key") {
            try self.queue.write { database in
                try Self.checkRootKey(sealing, in: database)
                let versions = try WrappingKeyRecord.all(database, of: endpoint)
                guard try isWanted(versions) else { return nil }
                let record = WrappingKeyRecord(
                    keyID: versions.first?.keyID ?? newID, endpoint: endpoint,
                    version: (versions.first?.version ?? 0) + 1, createdMilliseconds: now)
                let sealed = try record.sealNewKey(sealing)
                if versions.isEmpty {
                    try database.execute(
                        sql: "INSERT INTO wrapping_key (id, endpoint, created_ms) VALUES (?, ?, ?)",
                        arguments: [Data(record.keyID), endpoint, now])
                }
                try database.execute(
                    sql: """
                        INSERT INTO wrapping_key_version (key_id, version, sealed, created_ms)
                        VALUES (?, ?, ?, ?)
                        """, arguments: [Data(record.keyID), record.version, Data(sealed), now])
                return try Self.finish(
                    database, [record], versions.isEmpty ? "made" : "rotated", now: now,
                    actor: actor)
            }
        }
    }

    private static func finish(
        _ database: Database, _ keys: [WrappingKeyRecord], _ action: String, now: Int64,
        actor: String
    ) throws -> WrappingKeyChange {
        let versions = keys.map { "\($0.version)" }.joined(separator: " ")
        try self.audit(
            database, time: now, actor: actor, action: "wrapping key \(action)",
            subject: keys.first?.endpoint ?? "", detail: "versions \(versions)")
        return WrappingKeyChange(keys: keys, generation: try self.nextGeneration(database))
    }
}

extension WrappingKeyRecord {
    /// Binds the sealed key to its row: no other sealed secret can stand in its place, and it cannot
    /// be given to another endpoint.
    var associatedData: [UInt8] {
        var bytes = Array("scoregate wrapping key 1".utf8) + [0]
        bytes += self.keyID
        for shift in stride(from: 56, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: self.version >> Int64(shift)))
        }
        return bytes + Array(self.endpoint.utf8)
    }

    /// Makes a key for the row and seals it.
    func sealNewKey(_ sealing: AES256GCM) throws(CryptographyError) -> [UInt8] {
        let key = try SystemRandom.secret(count: AES256GCM.keyBytes)
        return try sealing.seal(key, associatedData: self.associatedData.rawSpan)
    }

    /// Reads the records of one endpoint, or of all; the newest version first.
    static func all(
        _ database: Database, of endpoint: String? = nil
    ) throws -> [WrappingKeyRecord] {
        try Row.fetchAll(
            database,
            sql: """
                SELECT key_id, endpoint, version, v.created_ms, is_enabled, sealed IS NULL AS destroyed
                FROM wrapping_key_version AS v JOIN wrapping_key AS k ON k.id = v.key_id
                WHERE ?1 IS NULL OR endpoint = ?1
                ORDER BY endpoint, version DESC
                """, arguments: [endpoint]
        ).map { row in
            let keyID: Data = row["key_id"]
            return WrappingKeyRecord(
                keyID: [UInt8](keyID), endpoint: row["endpoint"], version: row["version"],
                createdMilliseconds: row["created_ms"], isEnabled: row["is_enabled"],
                isDestroyed: row["destroyed"])
        }
    }
}
