package import Cryptography
internal import Foundation
internal import GRDB

// The keys and secrets of the vault service. Each change is one transaction with its audit entry.
extension StateStore {
    /// One version, or the newest; nil if there is none, deleted or not.
    package func vaultVersion(
        _ kind: VaultVersion.Kind, _ name: String, _ version: String? = nil
    ) throws(StateError) -> VaultVersion? {
        try StateError.wrapping("reading the vault") {
            try self.queue.read { try VaultVersion.find($0, kind, name, version) }
        }
    }

    /// The version that a request made; nil if it made none.
    package func vaultVersion(
        _ kind: VaultVersion.Kind, _ name: String, madeBy request: String
    ) throws(StateError) -> VaultVersion? {
        try StateError.wrapping("reading the vault") {
            try self.queue.read { try VaultVersion.find($0, kind, name, madeBy: request) }
        }
    }

    /// What is sealed of a version, or its id in the token; nil if there is none.
    package func sealedVaultVersion(_ version: VaultVersion) throws(StateError) -> [UInt8]? {
        try StateError.wrapping("reading the vault") {
            try self.queue.read { try version.sealed($0).map { [UInt8]($0) } }
        }
    }

    /// The newest version of each name, deleted or in use, in the order of the names; of those after
    /// `name`, so many at most.
    package func newestVaultVersions(
        _ kind: VaultVersion.Kind, isDeleted: Bool, after name: String?, limit: Int
    ) throws(StateError) -> [VaultVersion] {
        try StateError.wrapping("reading the vault") {
            try self.queue.read { database in
                try VaultVersion.all(
                    database,
                    """
                    kind = ?1 AND (deleted_ms IS NOT NULL) = ?2 AND (?3 IS NULL OR name > ?3)
                    AND number = (SELECT max(number) FROM vault_version WHERE item_id = id)
                    ORDER BY name LIMIT ?4
                    """, [kind.rawValue, isDeleted, name, limit])
            }
        }
    }

    /// The versions of one name that are older than `version`, the newest first, so many at most.
    package func vaultVersions(
        _ kind: VaultVersion.Kind, _ name: String, olderThan version: String?, limit: Int
    ) throws(StateError) -> [VaultVersion] {
        try StateError.wrapping("reading the vault") {
            try self.queue.read { database in
                try VaultVersion.all(
                    database,
                    """
                    kind = ?1 AND name = ?2 AND deleted_ms IS NULL AND (?3 IS NULL OR number <
                        (SELECT number FROM vault_version WHERE item_id = id AND version = ?3))
                    ORDER BY number DESC LIMIT ?4
                    """, [kind.rawValue, name, version, limit])
            }
        }
    }

    /// Adds a version, and the name with it if it is new.
    ///
    /// - Parameters:
    ///   - version: The version.
    ///   - sealed: What is kept of it.
    ///   - request: Which request makes it; one that has made one already makes no other.
    ///   - known: The version that `request` has made and that does not count; nil for none.
    ///   - newest: What must be the newest version so far; nil if that does not matter.
    ///   - isRotation: Whether it goes on from the newest version, which must be enabled then.
    ///   - use: For the audit.
    /// - Returns: The version, or what the same request made before.
    /// - Throws: `.vaultItem` if the name is deleted, `newest` is not the newest, a rotation would undo that
    ///   the newest was disabled, or there are too many.
    package func addVaultVersion(
        _ version: VaultVersion, sealed: [UInt8], request: String?, besides known: String? = nil,
        after newest: String?, isRotation: Bool = false, _ use: VaultUse
    ) throws(StateError) -> VaultVersion {
        try StateError.wrapping("adding to the vault") {
            try self.queue.write { database in
                if let request,
                    let made = try VaultVersion.find(
                        database, version.kind, version.name, madeBy: request),
                    made.version != known
                {
                    return made
                }
                let last = try VaultVersion.find(database, version.kind, version.name)
                if last?.deletedMilliseconds != nil { throw StateError.vaultItem(.deleted) }
                if let newest, last?.version != newest { throw StateError.vaultItem(.changed) }
                // Since it was looked at first, its key took seconds to make.
                if isRotation, last?.isEnabled == false { throw StateError.vaultItem(.disabled) }
                var version = version
                version.name = last?.name ?? version.name
                try version.insert(database, sealed: Data(sealed), request: request)
                try Self.audit(database, use, version.createdMilliseconds, "done")
                return version
            }
        }
    }

    /// Changes what may be changed of a version.
    ///
    /// - Parameters:
    ///   - version: Its revision must be that of the last change.
    ///   - use: For the audit.
    /// - Returns: The version with its new revision.
    /// - Throws: `.vaultItem` if it is not there any more, or was changed meanwhile.
    package func updateVaultVersion(
        _ version: VaultVersion, _ use: VaultUse
    ) throws(StateError) -> VaultVersion {
        try StateError.wrapping("changing the vault") {
            try self.queue.write { database in
                let present = try VaultVersion.find(
                    database, version.kind, version.name, version.version)
                guard let present, present.deletedMilliseconds == nil else {
                    throw StateError.vaultItem(.missing)
                }
                guard present.revision == version.revision else {
                    throw StateError.vaultItem(.changed)
                }
                var version = version
                version.revision += 1
                try version.update(database)
                try Self.audit(database, use, version.updatedMilliseconds, "done")
                return version
            }
        }
    }

    /// Deletes a name with all its versions, to go for good at `purge`, milliseconds of Unix time; or
    /// recovers it, where that is nil.
    ///
    /// - Returns: The newest version.
    /// - Throws: `.vaultItem` if it is not there, or is so already.
    package func setVaultItem(
        _ kind: VaultVersion.Kind, _ name: String, purgedAt purge: Int64?, now: Int64,
        _ use: VaultUse
    ) throws(StateError) -> VaultVersion {
        try StateError.wrapping("changing the vault") {
            try self.queue.write { database in
                guard var newest = try VaultVersion.find(database, kind, name) else {
                    throw StateError.vaultItem(.missing)
                }
                guard (newest.deletedMilliseconds == nil) == (purge != nil) else {
                    throw StateError.vaultItem(purge == nil ? .notDeleted : .deleted)
                }
                newest.deletedMilliseconds = purge == nil ? nil : now
                newest.purgeMilliseconds = purge
                try database.execute(
                    sql: """
                        UPDATE vault_item SET deleted_ms = ?, purge_ms = ?
                        WHERE kind = ? AND name = ?
                        """,
                    arguments: [newest.deletedMilliseconds, purge, kind.rawValue, name])
                try Self.audit(database, use, now, "done")
                return newest
            }
        }
    }

    /// Removes a deleted name with all its versions for good.
    ///
    /// Nothing of them stays in the database, which overwrites what it deletes; the write-ahead
    /// log has them until ``truncateWriteAheadLog(timeout:)``.
    ///
    /// - Returns: The ids of its keys in the token, which are still there.
    /// - Throws: `.vaultItem` if it is not there, or is not deleted.
    package func purgeVaultItem(
        _ kind: VaultVersion.Kind, _ name: String, now: Int64, _ use: VaultUse
    ) throws(StateError) -> [[UInt8]] {
        try StateError.wrapping("purging from the vault") {
            try self.queue.write { database in
                guard let newest = try VaultVersion.find(database, kind, name) else {
                    throw StateError.vaultItem(.missing)
                }
                guard newest.deletedMilliseconds != nil else {
                    throw StateError.vaultItem(.notDeleted)
                }
                let inToken = try VaultVersion.all(
                    database, "kind = ? AND name = ? AND protection = 'token'",
                    [kind.rawValue, name]
                ).compactMap { try $0.sealed(database).map { [UInt8]($0) } }
                try database.execute(
                    sql: "DELETE FROM vault_item WHERE kind = ? AND name = ?",
                    arguments: [kind.rawValue, name])
                try Self.audit(database, use, now, "done")
                return inToken
            }
        }
    }

    /// Whether something of the vault is in a token, or sealed by it.
    package func needsToken() throws(StateError) -> Bool {
        try StateError.wrapping("reading the vault") {
            try self.queue.read { database in
                try Bool.fetchOne(
                    database,
                    sql: """
                        SELECT EXISTS (SELECT 1 FROM vault_version WHERE protection != 'root key')
                            OR EXISTS (
                                SELECT 1 FROM authority
                                WHERE token_key IS NOT NULL AND state != 'retired')
                        """) ?? false
            }
        }
    }

    /// The deleted names whose time is over.
    package func vaultItemsToPurge(now: Int64) throws(StateError) -> [VaultVersion] {
        try StateError.wrapping("reading the vault") {
            try self.queue.read { database in
                try VaultVersion.all(
                    database,
                    """
                    purge_ms <= ? AND number =
                        (SELECT max(number) FROM vault_version WHERE item_id = id)
                    ORDER BY name LIMIT 100
                    """, [now])
            }
        }
    }

    /// Notes a use that changes nothing in the vault, or one that was refused: `result` is `done`, or
    /// why not.
    package func auditVault(_ use: VaultUse, now: Int64, result: String) throws(StateError) {
        try StateError.wrapping("writing the audit") {
            try self.queue.write { try Self.audit($0, use, now, result) }
        }
    }

    private static func audit(
        _ database: Database, _ use: VaultUse, _ now: Int64, _ result: String
    ) throws {
        try self.audit(
            database, time: now, actor: use.actor, action: use.action, subject: use.subject,
            detail: "\(result); certificate \(use.serial)")
        try self.trimAudit(database)
    }

    /// Seals a secret of the vault service under the root key.
    package static func sealVaultSecret(
        _ secret: borrowing SecretBytes, of version: VaultVersion, rootKey: borrowing SecretBytes
    ) throws(StateError) -> [UInt8] {
        do throws(CryptographyError) {
            return try AES256GCM(key: rootKey).seal(
                secret, associatedData: version.associatedData.rawSpan)
        } catch {
            throw .cryptography(error)
        }
    }

    /// Opens what ``sealVaultSecret(_:of:rootKey:)`` made.
    ///
    /// - Throws: `.wrongRootKey` if it was sealed under another key, or changed.
    package static func openVaultSecret(
        _ sealed: [UInt8], of version: VaultVersion, rootKey: borrowing SecretBytes
    ) throws(StateError) -> SecretBytes {
        try self.open(sealed, version.associatedData, rootKey: rootKey)
    }
}
