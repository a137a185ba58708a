internal import Cryptography
internal import Foundation
internal import KeyVault
internal import SealedLog
internal import ServiceConfiguration
internal import State

// The log of who read the log.
extension LogArchive {
    /// What is done with a log, as its access is logged.
    package enum Access: String {
        /// Its entries are shown.
        case read = "accessed"
        /// Its entries are written to files in clear.
        case exported
    }

    /// Makes an event about an access durable, in the stream of accesses.
    ///
    /// - Parameters:
    ///   - access: What is going to be done.
    ///   - streams: With what.
    ///   - filter: What of it, in words.
    /// - Throws: Nothing may be shown then.
    package func noteAccess(_ access: Access, to streams: [Stream], filter: String) throws {
        try self.note(
            streams.map {
                let event = LogText.event(
                    access.rawValue, stream: $0.id, reader: self.actor, filter)
                return (endpoint: $0.endpoint, event: event)
            })
    }

    /// Makes events durable in the stream of accesses.
    func note(_ events: [(endpoint: String?, event: String)]) throws {
        if self.accessLog != self.configuration.directory {
            try self.files.makeFolder(self.accessLog)
        }
        let folder = try self.lockAccesses()
        // The lock is to be held until the end, not until the folder is last used.
        defer { withExtendedLifetime(folder) {} }
        let now = SystemClocks.now
        let record = try self.store.logStream(
            of: self.accessStreamName,
            newID: SystemRandom.bytes(count: LogIdentifier.byteCount),
            now: Int64(now.unixMilliseconds))
        let id = LogIdentifier(record.id.rawSpan, at: 0)
        let wrapped = try self.newLogKey(for: id)
        guard let key = wrapped.take() else { throw SealedLogError.keyUsedUp }
        let writer = try StreamWriter(
            id, in: folder.folder, .init(), wrapped.entry, key,
            anchor: record.anchor, writerID: .random(), now: now)
        var batch = EntryBatch()
        for (endpoint, event) in events {
            batch.begin(.event, nanoseconds: now.unixNanoseconds, requestID: try .random())
            if let endpoint { batch.append(.endpoint, utf8: endpoint) }
            batch.append(.event, utf8: event)
            batch.end()
        }
        _ = writer.append(batch, now: now)
        guard writer.synchronize(now: now) else {
            throw writer.failure ?? SealedLogError.keyUsedUp
        }
        writer.close(now: now)
        if let anchor = writer.takeAnchor() { try self.store.keep(anchor) }
    }

    private func newLogKey(for id: LogIdentifier) throws -> WrappedLogKey {
        let wrapping = try self.vault.current(Self.accessStream)
        let key = try LogKey.make(
            streamID: id, createdMilliseconds: SystemClocks.now.unixMilliseconds)
        let input = try key.wrapInput()
        let wrapped = try self.vault.wrap(input, under: wrapping, Self.accessStream)
        let entry = KeyRingEntry(
            key, provider: self.vault.provider, wrappingKey: wrapping.id, algorithm: .a256KW,
            wrapped: wrapped)
        try self.store.keep(entry)
        return WrappedLogKey(entry, key)
    }

    /// Takes the lock of the stream of accesses, which another command holds for moments only.
    private func lockAccesses() throws -> LockedFolder {
        let end = ContinuousClock.now + Self.accessLockWait
        while true {
            do throws(SealedLogError) {
                return try LockedFolder(
                    self.accessLog, reserveBytes: 0, lock: "access.lock", holder: self.actor)
            } catch {
                guard case .locked(let holder) = error else { throw error }
                guard ContinuousClock.now < end else {
                    throw StartError.environment(
                        """
                        the reading cannot be logged: \(holder) has held \(self.accessLog)/access.lock \
                        for \(Self.accessLockWait); try again when that command is done
                        """)
                }
                Thread.sleep(forTimeInterval: 0.01)
            }
        }
    }

    /// Logging an access takes two synchronisations and the root key's file: far less, even on a slow
    /// disk.
    private static let accessLockWait = Duration.seconds(10)
}
