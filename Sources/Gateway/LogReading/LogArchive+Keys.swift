internal import Foundation
internal import Glibc
internal import KeyVault
internal import SealedLog
internal import ServiceConfiguration
package import State

// What changes the keys of a log.
extension LogArchive {
    /// Wraps the log keys of a stream anew, under the newest version of its wrapping key.
    ///
    /// - Parameters:
    ///   - stream: A stream that is an endpoint's.
    ///   - turned: Told how many keys are done, and of how many.
    /// - Returns: What became of them.
    /// - Throws: What ended it; it can be begun again.
    package func rewrap(
        _ stream: Stream, turned: (Int, Int) -> Void
    ) async throws -> RewrapOutcome {
        guard let endpoint = stream.endpoint else { return RewrapOutcome() }
        let lock = try RewrapLock(stream.log, holder: self.actor)
        defer { withExtendedLifetime(lock) {} }
        return try await KeyRingRewrap(
            key: self.wrappingKey(of: endpoint), store: self.store,
            keyRing: KeyRing(log: stream.log, self.files)
        ).run(stream.id, turned: turned)
    }

    /// Destroys an endpoint's wrapping key and log: nobody can read it again, nor can we.
    ///
    /// First the running gateways let go of the log's keys; if they do not say so, nothing is
    /// destroyed. Cut short after that, it can be done again.
    ///
    /// - Parameters:
    ///   - endpoint: Whose.
    ///   - suspended: Waits until a generation of the state is in force; gives whether it is.
    /// - Returns: What was done.
    /// - Throws: `.refused` if a gateway does not let go; `.environment` while somebody wraps the log's keys
    ///   anew.
    package func shred(
        _ endpoint: String, suspended: (StateStore, Int64) throws -> Bool
    ) async throws -> ShredCertificate {
        var certificate = ShredCertificate(endpoint: endpoint)
        let stream = try self.streams().first { $0.endpoint == endpoint }
        // A rewrap would put entries that were removed back into the key ring.
        let lock = try stream.map {
            try RewrapLock($0.log, holder: self.actor, patience: Self.rewrapPatience)
        }
        defer { withExtendedLifetime(lock) {} }
        try await self.checkCustomerKey(endpoint, &certificate)
        try self.suspend(endpoint, &certificate, suspended)
        if let stream { try self.noteShredding(of: stream, endpoint) }
        if let stream {
            let keyRing = KeyRing(log: stream.log, self.files)
            let ids = try keyRing.ids().filter { id in
                (try? keyRing.entry(id))?.streamID == stream.id
            }
            try keyRing.remove(ids)
            certificate.did("removed \(ids.count) wrapped log keys from the key ring")
        }
        let destroyed = try self.store.destroyWrappingKey(
            endpoint: endpoint, now: UnixTime.milliseconds, actor: self.actor)
        certificate.did("destroyed \(destroyed.keys.count) versions of the wrapping key")
        try self.store.replaceRootKey(
            path: self.rootKeyFile, now: UnixTime.milliseconds, actor: self.actor)
        certificate.did("replaced the root key, and sealed all other keys anew")
        if try self.store.truncateWriteAheadLog() {
            certificate.did("overwrote what the state's write-ahead log had")
        } else {
            certificate.promised(
                "the state's write-ahead log is in use, and empties when its users are done")
        }
        if let stream {
            let folder = stream.log + "/" + stream.id.text
            let names = try StreamFolder.segments(in: folder, self.files)
            for name in names { try self.files.remove(folder + "/" + name.text) }
            // What else is in it, nobody but its owner knows; then it stays.
            _ = unsafe rmdir(folder)
            try self.files.synchronizeFolder(stream.log)
            try self.store.retireLogStream(
                of: endpoint, now: UnixTime.milliseconds, actor: self.actor)
            certificate.did("removed \(names.count) segments of stream \(stream.id.text)")
        }
        return certificate
    }

    /// 10 s: what a running gateway wraps anew by itself, in the embedded vault, takes far less.
    private static let rewrapPatience = Duration.seconds(10)

    /// Whether an endpoint has a log or a wrapping key to destroy.
    package func knows(_ endpoint: String) throws -> Bool {
        let hasStream = try self.streams().contains { $0.endpoint == endpoint }
        let keys = try self.store.wrappingKeys(of: endpoint)
        return hasStream || keys.contains { !$0.isDestroyed }
    }

    /// Whoever holds a customer's key takes it away first, and last deletes it.
    private func checkCustomerKey(
        _ endpoint: String, _ certificate: inout ShredCertificate
    ) async throws {
        guard self.endpoints[endpoint]?.encryption.customerKey != nil else { return }
        let key = try self.wrappingKey(of: endpoint)
        do {
            let id = try await key.current().id
            throw StartError.refused(
                """
                the wrapping key \(id) can be used: nothing was destroyed. Disable it in its vault first, so \
                that nobody reads the log any more
                """)
        } catch let error as KeyVaultError {
            guard case .revoked(let state) = error else { throw error }
            certificate.did("found the customer's key \(state.rawValue)")
            if state != .deleted {
                certificate.promised("the holder of the customer's key deletes and purges it")
            }
        }
    }

    private func suspend(
        _ endpoint: String, _ certificate: inout ShredCertificate,
        _ suspended: (StateStore, Int64) throws -> Bool
    ) throws {
        guard try suspended(self.store, self.setSuspended(true, endpoint)) else {
            _ = try self.setSuspended(false, endpoint)
            throw StartError.refused(
                """
                a running gateway does not say that it let go of the log's keys: nothing was destroyed, and \
                the log goes on
                """)
        }
        certificate.did("suspended the log; every running gateway wiped its log keys")
    }

    private func setSuspended(
        _ isSuspended: Bool, _ endpoint: String
    ) throws(StateError) -> Int64 {
        try self.store.setLogStream(
            of: endpoint, isSuspended: isSuspended, now: UnixTime.milliseconds, actor: self.actor)
    }

    private func noteShredding(of stream: Stream, _ endpoint: String) throws {
        let names = try StreamFolder.segments(
            in: stream.log + "/" + stream.id.text, self.files)
        try self.note([
            (
                endpoint,
                RemovalEvent(
                    name: .shredded, streamID: stream.id, first: names.first?.number ?? 0,
                    last: names.last?.number ?? 0, head: stream.anchor?.head ?? .zero,
                    reason: "by \(self.actor)"
                ).text
            )
        ])
    }
}

/// What a shredding did, and what it cannot show.
package struct ShredCertificate: Sendable, Encodable {
    /// Whose log.
    package let endpoint: String
    /// When, RFC 3339.
    package let time: String
    /// What was done, in its order.
    package private(set) var done: [String] = []
    /// What will be done by somebody else.
    package private(set) var promised: [String] = []
    /// What no command can show.
    package let cannotShow = [
        "copies of the state or the root key that were made before, backups and snapshots among them",
        "what was exported or read while the key could be used",
        "what the file system or the disk keeps of blocks that were overwritten",
    ]

    init(endpoint: String) {
        self.endpoint = endpoint
        self.time = UTCDate.text(of: UnixTime.milliseconds / 1000)
    }

    mutating func did(_ step: String) { self.done.append(step) }
    mutating func promised(_ step: String) { self.promised.append(step) }
}

/// The lock of those who wrap log keys anew, or remove them.
final class RewrapLock {
    private let lock: LogLock

    /// Takes it.
    ///
    /// - Parameters:
    ///   - log: The log's folder.
    ///   - holder: What others are told who has it.
    ///   - patience: How long to wait for who has it.
    /// - Throws: `.environment` if it is held.
    init(_ log: String, holder: String, patience: Duration = .zero) throws {
        self.lock = try Self.take(log, holder, until: .now + patience)
    }

    private static func take(
        _ log: String, _ holder: String, until end: ContinuousClock.Instant
    ) throws -> LogLock {
        while true {
            do throws(SealedLogError) {
                return try LogLock(log + "/rewrap.lock", holder: holder)
            } catch {
                guard case .locked(let holder) = error else { throw error }
                guard ContinuousClock.now < end else {
                    throw StartError.environment(
                        "\(holder) is wrapping the log keys anew, or shredding a log")
                }
                Thread.sleep(forTimeInterval: 0.01)
            }
        }
    }
}
