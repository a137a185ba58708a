internal import Foundation
internal import GRDB

// Versions as rows; all of this must run in a transaction.
extension VaultVersion {
    /// One version, or the newest.
    static func find(
        _ database: Database, _ kind: Kind, _ name: String, _ version: String? = nil
    ) throws -> VaultVersion? {
        try self.all(
            database,
            "kind = ?1 AND name = ?2 AND (?3 IS NULL OR version = ?3) ORDER BY number DESC LIMIT 1",
            [kind.rawValue, name, version]
        ).first
    }

    /// The version that a request made.
    static func find(
        _ database: Database, _ kind: Kind, _ name: String, madeBy request: String
    ) throws -> VaultVersion? {
        try self.all(
            database, "kind = ? AND name = ? AND request = ? ORDER BY number DESC LIMIT 1",
            [kind.rawValue, name, request]
        ).first
    }

    /// All that the root key seals.
    static func sealedUnderRootKey(_ database: Database) throws -> [VaultVersion] {
        try self.all(database, "protection = 'root key'", [])
    }

    /// Those for which `condition` holds.
    static func all(
        _ database: Database, _ condition: String, _ arguments: StatementArguments
    ) throws -> [VaultVersion] {
        try Row.fetchAll(
            database,
            sql: """
                SELECT kind, name, version, key_type, key_operations, public_key, protection,
                    content_type, tags, is_enabled, not_before_ms, expires_ms, created_ms,
                    updated_ms, revision, deleted_ms, purge_ms
                FROM vault_version JOIN vault_item ON id = item_id WHERE \(condition)
                """, arguments: arguments
        ).compactMap { try VaultVersion($0) }
    }

    private init?(_ row: Row) throws {
        guard let kind = Kind(rawValue: row["kind"]),
            let protection = Protection(rawValue: row["protection"])
        else { return nil }
        self.init(
            kind: kind, name: row["name"], version: row["version"], keyType: row["key_type"],
            protection: protection, now: row["created_ms"])
        let operations: String = row["key_operations"]
        self.keyOperations = operations.split(separator: " ").map(String.init)
        self.publicKey = row["public_key"]
        self.contentType = row["content_type"]
        let tags: String = row["tags"]
        self.tags = try JSONDecoder().decode([String: String].self, from: Data(tags.utf8))
        self.isEnabled = row["is_enabled"]
        self.notBeforeMilliseconds = row["not_before_ms"]
        self.expiresMilliseconds = row["expires_ms"]
        self.updatedMilliseconds = row["updated_ms"]
        self.revision = row["revision"]
        self.deletedMilliseconds = row["deleted_ms"]
        self.purgeMilliseconds = row["purge_ms"]
    }

    /// What is sealed of it, or its id in the token.
    func sealed(_ database: Database) throws -> Data? {
        try Data.fetchOne(
            database,
            sql: """
                SELECT sealed FROM vault_version JOIN vault_item ON id = item_id
                WHERE kind = ? AND name = ? AND version = ?
                """, arguments: [self.kind.rawValue, self.name, self.version])
    }

    /// Puts what `seal` makes of the sealed bytes in their place.
    func replaceSealed(_ database: Database, _ seal: (Data) throws -> Data) throws {
        guard let sealed = try self.sealed(database) else { return }
        try database.execute(
            sql: "UPDATE vault_version SET sealed = ? WHERE version = ? AND item_id = \(Self.item)",
            arguments: [try seal(sealed), self.version, self.kind.rawValue, self.name])
    }

    /// Adds it as the newest version, and its name if that is new.
    func insert(_ database: Database, sealed: Data, request: String?) throws {
        try database.execute(
            sql: "INSERT OR IGNORE INTO vault_item (kind, name) VALUES (?, ?)",
            arguments: [self.kind.rawValue, self.name])
        let names = try Int.fetchOne(database, sql: "SELECT count(*) FROM vault_item") ?? 0
        let newest =
            try Int.fetchOne(
                database,
                sql: "SELECT max(number) FROM vault_version WHERE item_id = \(Self.item)",
                arguments: [self.kind.rawValue, self.name]) ?? 0
        guard names <= Self.mostNames, newest < Self.mostVersions else {
            throw StateError.vaultItem(.tooMany)
        }
        try database.execute(
            sql: """
                INSERT INTO vault_version (version, number, key_type, key_operations, public_key,
                    protection, sealed, content_type, tags, is_enabled, not_before_ms, expires_ms,
                    created_ms, updated_ms, request, item_id)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \(Self.item))
                """,
            arguments: [
                self.version, newest + 1, self.keyType, self.keyOperations.joined(separator: " "),
                self.publicKey, self.protection.rawValue, sealed, self.contentType,
                try self.tagsText(), self.isEnabled, self.notBeforeMilliseconds,
                self.expiresMilliseconds, self.createdMilliseconds, self.updatedMilliseconds,
                request, self.kind.rawValue, self.name,
            ])
    }

    /// Writes what may change.
    func update(_ database: Database) throws {
        try database.execute(
            sql: """
                UPDATE vault_version SET key_operations = ?, content_type = ?, tags = ?,
                    is_enabled = ?, not_before_ms = ?, expires_ms = ?, updated_ms = ?, revision = ?
                WHERE version = ? AND item_id = \(Self.item)
                """,
            arguments: [
                self.keyOperations.joined(separator: " "), self.contentType, try self.tagsText(),
                self.isEnabled, self.notBeforeMilliseconds, self.expiresMilliseconds,
                self.updatedMilliseconds, self.revision, self.version, self.kind.rawValue,
                self.name,
            ])
    }

    private func tagsText() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        return String(decoding: try encoder.encode(self.tags), as: UTF8.self)
    }

    /// Its arguments are kind and name.
    private static let item = "(SELECT id FROM vault_item WHERE kind = ? AND name = ?)"
    /// 65,536: more than a thousand endpoints' keys and credentials.
    private static let mostNames = 65_536
    /// 4,096: a rotation a week for 78 years, or one a day for eleven.
    private static let mostVersions = 4_096
}
