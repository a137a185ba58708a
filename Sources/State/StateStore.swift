package import Cryptography
internal import Foundation
internal import GRDB
internal import Glibc

/// The state of a gateway: a SQLite database in a folder of its own, and its one writer connection.
///
/// Calls block on the disk; none belongs on an event loop. Every change is durable when the call
/// returns (WAL with synchronous=FULL), or did not happen. Several processes may have the same
/// state open.
package final class StateStore: Sendable {
    /// Where the database lies.
    let path: String
    let queue: DatabaseQueue
    /// What endpoint keys are digested with: 32 random bytes.
    package let pepper: SecretBytes

    /// Opens the state in `folder`, making it first if it is not there.
    ///
    /// - Parameters:
    ///   - folder: Is made with mode 0700; one that is there must not be open to others.
    ///   - rootKey: 32 bytes; seals the secrets in the state.
    /// - Throws: `.wrongRootKey` if the state was made under another one.
    package convenience init(
        folder: String, rootKey: borrowing SecretBytes
    ) throws(StateError) {
        try Self.prepare(folder: folder)
        let opened = try Self.alone(in: folder) { () throws(StateError) in
            let queue = try Self.open(in: folder)
            return Opened(queue: queue, pepper: try Self.pepper(queue, rootKey: rootKey))
        }
        self.init(opened, folder: folder)
    }

    /// A state that was opened.
    struct Opened: ~Copyable {
        let queue: DatabaseQueue
        let pepper: SecretBytes
    }

    /// The state in `folder`, which was opened.
    init(_ opened: consuming Opened, folder: String) {
        self.queue = opened.queue
        self.pepper = opened.pepper
        self.path = Self.path(in: folder)
    }

    /// Whether there is a state in `folder`.
    package static func isMade(in folder: String) -> Bool {
        FileManager.default.fileExists(atPath: "\(folder)/\(self.fileName)")
    }

    /// What keeps a state from being opened, or made, in `folder`, as far as that can be seen without making
    /// anything; nil if nothing does.
    package static func problem(of folder: String) -> StateError? {
        let files = FileManager.default
        guard let attributes = try? files.attributesOfItem(atPath: folder) else {
            // What is missing of the way there is made, too.
            return nil
        }
        if attributes[.type] as? FileAttributeType == .typeRegular {
            return .folder(path: folder, reason: "it is no folder")
        }
        do throws(StateError) {
            try Self.refuseOpenFolder(folder, attributes)
            return nil
        } catch {
            return error
        }
    }

    private static func refuseOpenFolder(
        _ folder: String, _ attributes: [FileAttributeKey: Any]
    ) throws(StateError) {
        let mode = (attributes[.posixPermissions] as? NSNumber)?.intValue ?? 0o777
        guard mode & 0o077 == 0 else {
            throw .folder(path: folder, reason: "it is open to others: chmod 700 \(folder)")
        }
    }

    /// What `PRAGMA text` answers on the writer connection; nil if nothing.
    func pragma(_ text: String) throws(StateError) -> String? {
        try StateError.wrapping("PRAGMA") {
            try self.queue.inDatabase { try String.fetchOne($0, sql: "PRAGMA \(text)") }
        }
    }

    /// Makes the folder, or checks the one that is there.
    static func prepare(folder: String) throws(StateError) {
        let files = FileManager.default
        do {
            let parent = URL(fileURLWithPath: folder).deletingLastPathComponent()
            try files.createDirectory(at: parent, withIntermediateDirectories: true)
            // With its mode from the beginning: another process may look at it meanwhile.
            guard unsafe mkdir(folder, 0o700) == 0 || errno == EEXIST else {
                throw CocoaError(.fileWriteUnknown)
            }
            try Self.refuseOpenFolder(folder, files.attributesOfItem(atPath: folder))
        } catch let error as StateError {
            throw error
        } catch {
            throw .folder(path: folder, reason: "it cannot be made or read: check its owner")
        }
    }

    /// Runs `body` while nobody else opens the state of `folder` or replaces its root key.
    ///
    /// SQLite's own locks do not suffice: of two that change a new database to WAL at once, one is
    /// told that it is locked, without the busy timeout; and the root key's file is not in the database.
    ///
    /// - Throws: `.folder` if that has lasted for 10 s already, or it cannot be locked; what `body`
    ///   throws.
    static func alone<Value: ~Copyable>(
        in folder: String, _ body: () throws(StateError) -> Value
    ) throws(StateError) -> Value {
        let descriptor = unsafe Glibc.open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw .folder(path: folder, reason: "it cannot be opened: check its owner")
        }
        // Closing gives the lock back, and so does the end of the process.
        defer { close(descriptor) }
        let end = ContinuousClock.now + .seconds(10)
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            let number = errno
            guard number == EWOULDBLOCK || number == EINTR else {
                throw .folder(
                    path: folder, reason: "it cannot be locked (error \(number) of flock(2))")
            }
            guard ContinuousClock.now < end else {
                throw .folder(
                    path: folder,
                    reason: """
                        another process has been opening it, or replacing its root key, for 10 s: see fuser \
                        \(folder)
                        """)
            }
            Thread.sleep(forTimeInterval: 0.005)
        }
        return try body()
    }

    /// Makes the file before SQLite does, because SQLite would go by the umask; the files of the
    /// WAL get the mode of this one.
    private static func prepare(file: String, folder: String) throws(StateError) {
        do throws(CryptographyError) {
            // Opens nothing that is there: to close it would end SQLite's locks of this process.
            try WholeFile.write(RawSpan(), to: file, mode: 0o600, isReplacing: false)
        } catch .file(_, .alreadyExists) {
        } catch {
            throw .folder(path: folder, reason: "nothing can be written into it")
        }
        do {
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file)
        } catch {
            throw .folder(path: folder, reason: "its files belong to another user")
        }
    }

    /// Opens the database in `folder`, made where there is none, and brings its schema up to date.
    static func open(in folder: String) throws(StateError) -> DatabaseQueue {
        let path = self.path(in: folder)
        try self.prepare(file: path, folder: folder)
        return try StateError.wrapping("opening the state") {
            let queue = try DatabaseQueue(path: path, configuration: self.configuration)
            try queue.writeWithoutTransaction { database in
                // GRDB sets NORMAL with WAL, which may lose the last transactions on power loss.
                try database.execute(sql: "PRAGMA synchronous = FULL")
                try database.execute(sql: "PRAGMA secure_delete = ON")
            }
            try queue.write { try Schema.migrate($0) }
            return queue
        }
    }

    /// The pepper, made at the first call ever.
    static func pepper(
        _ queue: DatabaseQueue, rootKey: borrowing SecretBytes
    ) throws(StateError) -> SecretBytes {
        let sealing: AES256GCM
        let fresh: [UInt8]
        do throws(CryptographyError) {
            sealing = try AES256GCM(key: rootKey)
            let pepper = try SystemRandom.secret(count: 32)
            fresh = try sealing.seal(pepper, associatedData: self.pepperContext.rawSpan)
        } catch {
            throw .cryptography(error)
        }
        let now = UnixTime.milliseconds
        // One transaction, so that two processes that start at once agree on one pepper.
        let sealed = try StateError.wrapping("reading the pepper") {
            try queue.write { database in
                let select = "SELECT sealed FROM pepper WHERE version = 1"
                if let data = try Data.fetchOne(database, sql: select) { return [UInt8](data) }
                try database.execute(
                    sql: "INSERT INTO pepper (version, sealed, created_ms) VALUES (1, ?, ?)",
                    arguments: [Data(fresh), now])
                return fresh
            }
        }
        return try self.open(sealed, self.pepperContext, by: sealing)
    }

    /// How every connection to the state is set up.
    static var configuration: Configuration {
        var configuration = Configuration()
        configuration.journalMode = .wal
        configuration.foreignKeysEnabled = true
        configuration.busyMode = .timeout(5)
        configuration.label = "state"
        return configuration
    }

    private static func path(in folder: String) -> String { "\(folder)/\(self.fileName)" }

    /// The database's name in its folder.
    static let fileName = "state.sqlite"

    /// Binds the sealed pepper to its purpose: no other sealed secret can stand in its place.
    static let pepperContext = Array("scoregate state pepper 1".utf8)
}

extension StateError {
    /// Runs `body` and turns what SQLite throws into `.database`.
    static func wrapping<Value>(
        _ operation: String, _ body: () throws -> Value
    ) throws(StateError) -> Value {
        do {
            return try body()
        } catch let error as StateError {
            throw error
        } catch let error as DatabaseError {
            // Not its description, which would show the statement's values.
            throw .database(operation: operation, reason: error.message ?? "\(error.resultCode)")
        } catch {
            throw .database(operation: operation, reason: "unexpected failure")
        }
    }
}
