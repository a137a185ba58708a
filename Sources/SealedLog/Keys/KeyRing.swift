internal import Cryptography

/// One log key as it lies on disk, wrapped.
package struct KeyRingEntry: Equatable, Sendable {
    /// How a log key is wrapped, by its name in Azure Key Vault.
    package enum Algorithm: String, Sendable, CaseIterable {
        case rsaOAEP256 = "RSA-OAEP-256"
        case a256KW = "A256KW"
        case a256GCM = "A256GCM"
    }

    /// The log key's id, which is also the file's name.
    package var logKeyID: LogIdentifier
    /// The stream it is for.
    package var streamID: LogIdentifier
    /// When it was made, RFC 3339; part of what is wrapped.
    package var created: String
    /// Which kind of vault wrapped it.
    package var provider: String
    /// Which version of which key wraps it; for Azure Key Vault the versioned key id.
    package var wrappingKey: String
    /// How it is wrapped.
    package var algorithm: Algorithm
    /// The 64 bytes of ``LogKey/wrapInput()``, wrapped.
    package var wrapped: [UInt8]

    /// Describes a key that was wrapped.
    package init(
        _ key: borrowing LogKey, provider: String, wrappingKey: String, algorithm: Algorithm,
        wrapped: [UInt8]
    ) {
        self.logKeyID = key.id
        self.streamID = key.streamID
        self.created = key.created
        self.provider = provider
        self.wrappingKey = wrappingKey
        self.algorithm = algorithm
        self.wrapped = wrapped
    }

    /// SHA-256 of ``wrapped``, which the stream's state keeps.
    package func wrappedDigest() throws(SealedLogError) -> ChainHead {
        let digest = try withCryptography { () throws(CryptographyError) in try SHA256() }
        return ChainHead(digest.digest(self.wrapped.rawSpan))
    }

    /// When it was made, Unix milliseconds.
    package var createdMilliseconds: UInt64 { UTCTime.milliseconds(self.created) ?? 0 }

    /// The name of its file.
    package var fileName: String { self.logKeyID.text + KeyRing.suffix }

    fileprivate var encoded: [UInt8] {
        Array(
            FlatJSON.text(of: [
                ("format", .number(Self.format)), ("log_key_id", .text(self.logKeyID.text)),
                ("stream_id", .text(self.streamID.text)), ("created", .text(self.created)),
                ("provider", .text(self.provider)), ("wrapping_key", .text(self.wrappingKey)),
                ("algorithm", .text(self.algorithm.rawValue)),
                ("wrapped", .text(Base64URL.text(of: self.wrapped.rawSpan))),
            ]).utf8)
    }

    fileprivate init(decoding bytes: [UInt8]) throws(KeyRingProblemError) {
        guard var members = FlatJSON.members(of: bytes) else {
            throw .init(.malformed("not one flat JSON object"))
        }
        guard case .number(let format)? = members.removeValue(forKey: "format") else {
            throw .init(.malformed("no format"))
        }
        guard format <= Self.format else { throw .init(.fromTheFuture(format: format)) }
        func text(_ name: String) throws(KeyRingProblemError) -> String {
            guard case .text(let text)? = members.removeValue(forKey: name) else {
                throw .init(.malformed("no \(name)"))
            }
            return text
        }
        let (id, stream) = (try text("log_key_id"), try text("stream_id"))
        self.created = try text("created")
        self.provider = try text("provider")
        self.wrappingKey = try text("wrapping_key")
        let (algorithm, wrapped) = (try text("algorithm"), try text("wrapped"))
        guard members.isEmpty else { throw .init(.malformed("an unknown member")) }
        guard format == Self.format, let logKeyID = LogIdentifier(id),
            let streamID = LogIdentifier(stream), UTCTime.milliseconds(self.created) != nil,
            let algorithm = Algorithm(rawValue: algorithm),
            let wrapped = Base64URL.bytes(of: wrapped), !wrapped.isEmpty
        else { throw .init(.malformed("a member that is not what it must be")) }
        self.logKeyID = logKeyID
        self.streamID = streamID
        self.algorithm = algorithm
        self.wrapped = wrapped
    }

    private static let format: UInt64 = 1
}

/// Carries a problem from where it is found to where the path is known.
private struct KeyRingProblemError: Error {
    let problem: KeyRingProblem

    init(_ problem: KeyRingProblem) {
        self.problem = problem
    }
}

/// The wrapped log keys of a log folder: one small file each, replaced whole or not at all.
package struct KeyRing: Sendable {
    /// Where the entries lie.
    package let folder: String
    private let files: any LogFileSystem

    static let suffix = ".json"
    /// 64 KiB: far more than an entry has, so that a reader's memory is bounded.
    private static let maximumBytes = 65_536

    /// Takes the key ring of the log in `log`; makes no folder.
    package init(log: String, _ files: any LogFileSystem) {
        self.folder = log + "/keyring"
        self.files = files
    }

    /// Makes the folder, where it is not there yet, and makes its name durable.
    package func prepare(log: String) throws(SealedLogError) {
        try self.files.makeFolder(self.folder)
        try self.files.synchronizeFolder(log)
    }

    /// Writes an entry, in place of one for the same key; durable when this returns.
    package func store(_ entry: KeyRingEntry) throws(SealedLogError) {
        try self.store([entry])
    }

    /// Writes entries, each in one step; all are durable when this returns.
    ///
    /// The disk is waited for once for all of them.
    package func store(_ entries: [KeyRingEntry]) throws(SealedLogError) {
        guard !entries.isEmpty else { return }
        try self.files.replace(
            entries.map { (self.folder + "/" + $0.fileName, $0.encoded) }, in: self.folder)
    }

    /// Reads the entry of one key.
    ///
    /// - Throws: `.keyRing` if it is missing, torn, misplaced or from the future.
    package func entry(_ id: LogIdentifier) throws(SealedLogError) -> KeyRingEntry {
        let path = self.folder + "/" + id.text + Self.suffix
        let bytes: [UInt8]
        do throws(SealedLogError) {
            bytes = try self.files.contents(of: path, maximum: Self.maximumBytes)
        } catch .file(_, _, 2) {
            throw .keyRing(path: path, .missing)
        }
        do throws(KeyRingProblemError) {
            let entry = try KeyRingEntry(decoding: bytes)
            guard entry.logKeyID == id else { throw .init(.misplaced) }
            return entry
        } catch {
            throw .keyRing(path: path, error.problem)
        }
    }

    /// The ids of all keys that have an entry, in order; other files are passed over.
    package func ids() throws(SealedLogError) -> [LogIdentifier] {
        try self.files.names(in: self.folder).compactMap { name in
            name.hasSuffix(Self.suffix) ? LogIdentifier(name.dropLast(Self.suffix.count)) : nil
        }.sorted()
    }

    /// Removes entries for good; durable when this returns.
    ///
    /// What was sealed under them cannot be read any more, but for copies of these files.
    package func remove(_ ids: [LogIdentifier]) throws(SealedLogError) {
        for id in ids {
            try self.files.remove(self.folder + "/" + id.text + Self.suffix)
        }
        try self.files.synchronizeFolder(self.folder)
    }
}
