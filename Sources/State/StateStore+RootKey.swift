package import Cryptography
internal import Foundation
internal import GRDB
internal import Glibc

extension StateStore {
    /// Opens the state in `folder` with the root key in the file at `rootKeyPath`.
    ///
    /// A replacement of the root key that was cut short between the state and the file is
    /// finished here.
    ///
    /// - Throws: `.wrongRootKey` if the state was made under another one, and whatever
    ///   ``init(folder:rootKey:)`` and ``RootKey/read(path:)`` throw.
    package convenience init(folder: String, rootKeyPath: String) throws(StateError) {
        // No folder is made for a key that is none.
        _ = try RootKey.read(path: rootKeyPath)
        try Self.prepare(folder: folder)
        let opened = try Self.alone(in: folder) { () throws(StateError) in
            let queue = try Self.open(in: folder)
            let rootKey = try Self.settledRootKey(queue, path: rootKeyPath)
            return Opened(queue: queue, pepper: try Self.pepper(queue, rootKey: rootKey))
        }
        self.init(opened, folder: folder)
    }

    /// Puts a new root key in place of the one in the file, and seals all that it sealed anew.
    ///
    /// Steps: the new key is made beside the file; the state is sealed under it, in one
    /// transaction; the file is replaced. Cut short after any of them, ``init(folder:rootKeyPath:)``
    /// opens the state, and this can be done again. Of several at once each waits for the one before.
    ///
    /// - Throws: `.rootKey` if the file cannot be replaced; the present key then holds still.
    package func replaceRootKey(
        path: String, now: Int64, actor: String
    ) throws(StateError) {
        let folder = URL(fileURLWithPath: self.path).deletingLastPathComponent().path
        try Self.alone(in: folder) { () throws(StateError) in
            // Before the next key is made: what is left of another process may be the only key there is.
            let present = try Self.settledRootKey(self.queue, path: path)
            let next = try RootKey.createNext(path: path)
            try self.sealAnew(from: present, to: next, path: path, now: now, actor: actor)
            try RootKey.adoptNext(path: path)
        }
    }

    /// The root key that the state is sealed under; what another process left of a replacement is finished.
    ///
    /// To be called with the lock of the state's folder, which whoever replaces the key has.
    private static func settledRootKey(
        _ queue: DatabaseQueue, path: String
    ) throws(StateError) -> SecretBytes {
        let present = try RootKey.read(path: path)
        if try self.isSealed(queue, under: present) { return present }
        guard let next = try RootKey.readNext(path: path) else { throw .wrongRootKey }
        guard try self.isSealed(queue, under: next) else { throw .wrongRootKey }
        try RootKey.adoptNext(path: path)
        return next
    }

    private static func isSealed(
        _ queue: DatabaseQueue, under rootKey: borrowing SecretBytes
    ) throws(StateError) -> Bool {
        let opening: AES256GCM
        do throws(CryptographyError) {
            opening = try AES256GCM(key: rootKey)
        } catch {
            throw .cryptography(error)
        }
        do throws(StateError) {
            try StateError.wrapping("reading the pepper") {
                try queue.read { try self.checkRootKey(opening, in: $0) }
            }
            return true
        } catch .wrongRootKey {
            return false
        }
    }

    /// Throws `.wrongRootKey` unless the key of `opening` is the state's in this transaction: it may
    /// have been replaced since it was read.
    static func checkRootKey(_ opening: AES256GCM, in database: Database) throws {
        let pepper = try Data.fetchOne(
            database, sql: "SELECT sealed FROM pepper WHERE version = 1")
        guard let pepper else { return }
        _ = try self.open([UInt8](pepper), self.pepperContext, by: opening)
    }

    private func sealAnew(
        from present: borrowing SecretBytes, to next: borrowing SecretBytes, path: String,
        now: Int64, actor: String
    ) throws(StateError) {
        let opening: AES256GCM
        let sealing: AES256GCM
        do throws(CryptographyError) {
            opening = try AES256GCM(key: present)
            sealing = try AES256GCM(key: next)
        } catch {
            throw .cryptography(error)
        }
        try StateError.wrapping("sealing the state anew") {
            try self.queue.write { database in
                let pepper = try Data.fetchOne(
                    database, sql: "SELECT sealed FROM pepper WHERE version = 1")
                if let pepper {
                    try database.execute(
                        sql: "UPDATE pepper SET sealed = ? WHERE version = 1",
                        arguments: [try Self.reseal(pepper, Self.pepperContext, opening, sealing)])
                }
                for record in try WrappingKeyRecord.all(database) where !record.isDestroyed {
                    let row: StatementArguments = [Data(record.keyID), record.version]
                    let sealed = try Data.fetchOne(
                        database,
                        sql: """
                            SELECT sealed FROM wrapping_key_version WHERE key_id = ? AND version = ?
                            """, arguments: row)
                    guard let sealed else { continue }
                    try database.execute(
                        sql: """
                            UPDATE wrapping_key_version SET sealed = ?
                            WHERE key_id = ? AND version = ?
                            """,
                        arguments: [
                            try Self.reseal(sealed, record.associatedData, opening, sealing)
                        ] + row)
                }
                for version in try VaultVersion.sealedUnderRootKey(database) {
                    try version.replaceSealed(database) { sealed in
                        try Self.reseal(sealed, version.associatedData, opening, sealing)
                    }
                }
                for record in try AuthorityRecord.all(database) {
                    let sealed = try Data.fetchOne(
                        database, sql: "SELECT sealed FROM authority WHERE id = ?",
                        arguments: [Data(record.id)])
                    guard let sealed else { continue }
                    try database.execute(
                        sql: "UPDATE authority SET sealed = ? WHERE id = ?",
                        arguments: [
                            try Self.reseal(sealed, record.associatedData, opening, sealing),
                            Data(record.id),
                        ])
                }
                try Self.audit(
                    database, time: now, actor: actor, action: "root key replaced", subject: path,
                    detail: "")
                // Last: what is sealed under a key that is in no file is lost.
                guard try RootKey.isNext(next, path: path) else {
                    throw StateError.rootKey(
                        path: path,
                        reason: "\(path).next was changed meanwhile: nothing was replaced")
                }
            }
        }
    }

    /// Opens what was sealed under the root key.
    ///
    /// - Throws: `.wrongRootKey` if it was sealed under another one, or changed; `.cryptography`.
    static func open(
        _ sealed: [UInt8], _ associatedData: [UInt8], rootKey: borrowing SecretBytes
    ) throws(StateError) -> SecretBytes {
        let opening: AES256GCM
        do throws(CryptographyError) {
            opening = try AES256GCM(key: rootKey)
        } catch {
            throw .cryptography(error)
        }
        return try self.open(sealed, associatedData, by: opening)
    }

    /// The same, by the root key that `opening` has.
    static func open(
        _ sealed: [UInt8], _ associatedData: [UInt8], by opening: AES256GCM
    ) throws(StateError) -> SecretBytes {
        do throws(CryptographyError) {
            return try opening.open(sealed.rawSpan, associatedData: associatedData.rawSpan)
        } catch .notAuthentic {
            throw .wrongRootKey
        } catch {
            throw .cryptography(error)
        }
    }

    private static func reseal(
        _ sealed: Data, _ associatedData: [UInt8], _ opening: AES256GCM, _ sealing: AES256GCM
    ) throws(StateError) -> Data {
        let secret = try self.open([UInt8](sealed), associatedData, by: opening)
        do throws(CryptographyError) {
            return Data(try sealing.seal(secret, associatedData: associatedData.rawSpan))
        } catch {
            throw .cryptography(error)
        }
    }

    /// Empties the write-ahead log, where what was deleted could still be read.
    ///
    /// Waits for other processes to finish reading.
    ///
    /// - Returns: False if one of them was in the way all the time.
    package func truncateWriteAheadLog(timeout: Duration = .seconds(5)) throws(StateError) -> Bool {
        let end = ContinuousClock.now + timeout
        while true {
            let isBusy = try StateError.wrapping("truncating the write-ahead log") {
                try self.queue.inDatabase { database in
                    // One row: busy, pages in the log, pages moved (sqlite.org/pragma.html).
                    try Row.fetchOne(database, sql: "PRAGMA wal_checkpoint(TRUNCATE)")?[0] ?? 1
                } as Int64
            }
            if isBusy == 0 { return true }
            guard ContinuousClock.now < end else { return false }
            Thread.sleep(forTimeInterval: 0.02)
        }
    }
}

extension RootKey {
    /// The key that is going to replace the one at `path`; nil if none is.
    package static func readNext(path: String) throws(StateError) -> SecretBytes? {
        guard unsafe access(self.next(path), F_OK) == 0 else { return nil }
        return try self.read(path: self.next(path))
    }

    /// Whether `key` is the one that is going to replace the one at `path`.
    static func isNext(_ key: borrowing SecretBytes, path: String) throws(StateError) -> Bool {
        guard let next = try self.readNext(path: path) else { return false }
        return ConstantTime.equal(next.bytes, key.bytes)
    }

    /// Makes the key that is going to replace the one at `path`; what was left of an attempt
    /// before is replaced.
    static func createNext(path: String) throws(StateError) -> SecretBytes {
        _ = unsafe unlink(self.next(path))
        return try self.create(path: self.next(path))
    }

    /// Puts the key that ``createNext(path:)`` made in place of the one at `path`.
    static func adoptNext(path: String) throws(StateError) {
        do throws(CryptographyError) {
            try WholeFile.move(self.next(path), to: path)
        } catch .file(_, let problem) {
            throw .rootKey(path: path, reason: problem.description)
        } catch {
            throw .cryptography(error)
        }
    }

    private static func next(_ path: String) -> String { "\(path).next" }
}
