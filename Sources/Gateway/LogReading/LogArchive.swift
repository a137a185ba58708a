internal import Cryptography
internal import Foundation
internal import KeyVault
package import SealedLog
internal import State

/// The sealed log as commands read it: its streams, their segments and entries.
///
/// Used by one thread; blocks on files and the state. Plaintext is given out only after an event
/// about that was made durable in the stream of accesses.
package final class LogArchive {
    /// One stream of the log.
    package struct Stream: Sendable {
        /// Whose it is; nil if the endpoint was shredded, or the state does not know the stream.
        package let endpoint: String?
        /// Its folder's name in the log.
        package let id: LogIdentifier
        /// What the state keeps of it; nil if nothing.
        package let anchor: StreamAnchor?
    }

    /// One segment as far as it is known without a key.
    package struct Segment: Sendable {
        /// Its file.
        package let name: SegmentName
        /// How large the file is.
        package let bytes: Int
        /// When it was begun, Unix milliseconds; 0 under `hbi`.
        package let createdMilliseconds: UInt64
        /// Which version of which wrapping key its log key is wrapped under; nil if the key ring has
        /// no entry for it, or a broken one.
        package let wrappingKey: String?
        /// Whether it has its final frame.
        package let isFinal: Bool
        /// Whether it ends inside a frame.
        package let isTorn: Bool
    }

    /// The name under which accesses are logged; no endpoint can have it.
    package static let accessStream = "(access)"

    private let configuration: LogConfiguration
    private let store: StateStore
    private let vault: EmbeddedVault
    private let files = SystemFiles()
    private let keyRing: KeyRing

    /// Opens the log of a configuration for reading.
    ///
    /// - Throws: ``StartError`` if there is no log, or the state cannot be opened.
    package init(_ configuration: GatewayConfiguration, actor: String) throws {
        guard let log = configuration.log, let rootKeyFile = configuration.rootKeyFile else {
            throw StartError.configuration("\(configuration.file) has no log")
        }
        self.configuration = log
        do throws(StateError) {
            self.store = try StateStore(
                folder: configuration.stateDirectory, rootKeyPath: rootKeyFile)
        } catch {
            throw StartError.environment(error.description)
        }
        self.vault = EmbeddedVault(store: self.store, rootKeyPath: rootKeyFile, actor: actor)
        self.keyRing = KeyRing(log: log.directory, self.files)
    }

    /// The streams that have a folder or are known to the state, by endpoint's name.
    package func streams() throws -> [Stream] {
        var streams: [LogIdentifier: Stream] = [:]
        for name in try self.files.names(in: self.configuration.directory) {
            guard let id = LogIdentifier(name) else { continue }
            streams[id] = Stream(endpoint: nil, id: id, anchor: nil)
        }
        for record in try self.store.logStreams() {
            let id = LogIdentifier(record.id.rawSpan, at: 0)
            let anchor = record.end.map { end in
                StreamAnchor(
                    streamID: id, number: UInt64(end.number),
                    segmentID: LogIdentifier(end.segmentID.rawSpan, at: 0),
                    head: ChainHead(end.head.rawSpan, at: 0),
                    logKeys: Dictionary(
                        uniqueKeysWithValues: record.logKeys.map {
                            (LogIdentifier($0.rawSpan, at: 0), ChainHead($1.rawSpan, at: 0))
                        }))
            }
            streams[id] = Stream(endpoint: record.endpoint, id: id, anchor: anchor)
        }
        return streams.values.sorted { ($0.endpoint ?? "", $0.id) < ($1.endpoint ?? "", $1.id) }
    }

    /// The segments of a stream, oldest first.
    package func segments(of stream: Stream) throws -> [Segment] {
        let folder = self.folder(of: stream)
        let ciphers = try SegmentCiphers()
        return try StreamFolder.segments(in: folder, self.files).map { name in
            let source = try SegmentSource(folder + "/" + name.text, self.files)
            let scan = try SegmentScan(name, of: stream.id, in: folder, ciphers, self.files)
            let header = try? source.header()
            return Segment(
                name: name, bytes: source.byteCount,
                createdMilliseconds: header?.createdMilliseconds ?? 0,
                wrappingKey: header.flatMap { try? self.keyRing.entry($0.logKeyID).wrappingKey },
                isFinal: scan.isFinal, isTorn: scan.found.tornBytes > 0)
        }
    }

    /// Holds a stream against itself and, unless told otherwise, against what the state keeps of it.
    ///
    /// - Parameters:
    ///   - stream: The stream.
    ///   - isStructureOnly: Whether to use no keys.
    /// - Returns: What was found.
    /// - Throws: What kept it from being read; `.refused` if its wrapping key is not to be used.
    package func verify(_ stream: Stream, isStructureOnly: Bool = false) throws -> StreamReport {
        let reader = try StreamReader(
            stream.id, in: self.configuration.directory,
            keys: isStructureOnly ? nil : self.keys(of: stream), self.files)
        return try self.naming(stream) { () throws(SealedLogError) in
            try reader.read(anchor: stream.anchor)
        }
    }

    /// Gives the entries of a stream, oldest first.
    ///
    /// The caller has told of the access before, by ``noteAccess(to:by:filter:)``.
    ///
    /// - Returns: What is wrong with the stream, beside.
    package func read(
        _ stream: Stream, _ visit: (LogEntry) throws(SealedLogError) -> Void
    ) throws -> StreamReport {
        let reader = try StreamReader(
            stream.id, in: self.configuration.directory, keys: self.keys(of: stream), self.files)
        return try self.naming(stream) { () throws(SealedLogError) in
            try reader.read(anchor: stream.anchor, visit)
        }
    }

    /// Makes an event about an access durable, in the stream of accesses.
    ///
    /// - Throws: Nothing may be shown then.
    package func noteAccess(to streams: [Stream], by reader: String, filter: String) throws {
        let log = self.configuration.directory
        let folder = try LockedFolder(log, reserveBytes: 0, lock: "access.lock", holder: reader)
        let now = SystemClocks.now
        let record = try self.store.logStream(
            of: Self.accessStream, newID: SystemRandom.bytes(count: LogIdentifier.byteCount),
            now: Int64(now.unixMilliseconds))
        let id = LogIdentifier(record.id.rawSpan, at: 0)
        let wrapped = try self.newLogKey(for: id)
        guard let key = wrapped.take() else { throw SealedLogError.keyUsedUp }
        let writer = try StreamWriter(
            id, in: folder.folder, .init(), wrapped.entry, key,
            logKeys: Dictionary(
                uniqueKeysWithValues: record.logKeys.map {
                    (LogIdentifier($0.rawSpan, at: 0), ChainHead($1.rawSpan, at: 0))
                }), writerID: .random(), now: now)
        var batch = EntryBatch()
        for stream in streams {
            batch.begin(.event, nanoseconds: now.unixNanoseconds, requestID: try .random())
            if let endpoint = stream.endpoint { batch.append(.endpoint, endpoint) }
            batch.append(
                .event, LogText.event("accessed", stream: stream.id, reader: reader, filter))
            batch.end()
        }
        _ = writer.append(batch, now: now)
        guard writer.synchronize(now: now) else {
            throw writer.failure ?? SealedLogError.keyUsedUp
        }
        writer.close(now: now)
        if let anchor = writer.takeAnchor() {
            try self.store.keepEnd(
                .init(
                    number: Int64(anchor.number), segmentID: anchor.segmentID.bytes,
                    head: anchor.head.bytes),
                logKeys: Dictionary(
                    uniqueKeysWithValues: anchor.logKeys.map { ($0.bytes, $1.bytes) }),
                of: record.id)
        }
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
        return WrappedLogKey(entry, key)
    }

    private func folder(of stream: Stream) -> String {
        self.configuration.directory + "/" + stream.id.text
    }

    private func keys(of stream: Stream) -> LogKeyCache {
        let (vault, keyRing) = (self.vault, self.keyRing)
        let endpoint = stream.endpoint
        return LogKeyCache { (id) throws(SealedLogError) -> LogKey in
            let entry = try keyRing.entry(id)
            guard let endpoint, entry.provider == vault.provider,
                let algorithm = WrappingAlgorithm(rawValue: entry.algorithm.rawValue)
            else { throw .keyRing(path: entry.fileName, .foreign) }
            let secret: SecretBytes
            do throws(KeyVaultError) {
                secret = try vault.unwrap(
                    entry.wrapped, under: entry.wrappingKey, algorithm, endpoint)
            } catch {
                switch error {
                case .revoked: throw .revoked
                case .foreignKey, .notAuthentic: throw .keyRing(path: entry.fileName, .foreign)
                default: throw .keyRing(path: entry.fileName, .malformed("\(error)"))
                }
            }
            return try LogKey(unwrapped: secret, of: entry)
        }
    }

    private func naming<Value>(
        _ stream: Stream, _ body: () throws(SealedLogError) -> Value
    ) throws -> Value {
        do throws(SealedLogError) {
            return try body()
        } catch {
            guard error == .revoked else { throw error }
            let endpoint = stream.endpoint ?? "of this stream"
            throw StartError.refused(
                """
                the wrapping key of endpoint \(endpoint) is disabled or destroyed: nothing of its \
                log can be read (scoregate keys wrapping list \(endpoint))
                """)
        }
    }
}
