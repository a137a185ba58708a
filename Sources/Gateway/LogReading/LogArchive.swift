internal import Cryptography
internal import Glibc
internal import KeyVault
package import SealedLog
internal import ServiceConfiguration
internal import State
internal import TLS

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
        /// What the state keeps of it; nil if nothing, or if it was shredded.
        package let anchor: StreamAnchor?
        /// The log it is in.
        let log: String
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
        /// Whether it ends with its final frame.
        package let isFinal: Bool
    }

    /// The name under which accesses are logged; no endpoint can have it.
    package static let accessStream = "(access)"

    let configuration: LogConfiguration
    let store: StateStore
    let vault: EmbeddedVault
    let wrappingKeys: WrappingKeys
    /// By name, with the reader's identity in place of the service's.
    let endpoints: [String: EndpointConfiguration]
    /// Why the vault last gave no log key, where that is not the log's fault.
    var failure: KeyVaultError?
    let rootKeyFile: String
    let actor: String
    let files = SystemFiles()
    /// Where accesses are logged: the log itself, or a folder beside one that is not to be written.
    let accessLog: String

    /// Opens the log of a configuration for reading.
    ///
    /// - Parameters:
    ///   - configuration: Names log, state and root key.
    ///   - actor: Who reads, for the log of accesses.
    ///   - accessLog: Where accesses are logged; nil for the log itself.
    /// - Throws: ``StartError`` if there is no log, or the state cannot be opened.
    package init(
        _ configuration: GatewayConfiguration, actor: String, accessLog: String? = nil
    ) throws {
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
        self.wrappingKeys = WrappingKeys(embedded: self.vault)
        self.endpoints = Dictionary(
            configuration.endpoints.map { ($0.name, $0.asSeen(by: log.reader)) },
            uniquingKeysWith: { first, _ in first })
        self.rootKeyFile = rootKeyFile
        self.actor = actor
        self.accessLog = accessLog ?? log.directory
    }

    /// The name of the stream of accesses in the folder where they are logged.
    ///
    /// Each folder has a stream of its own, for the state keeps one end of each.
    var accessStreamName: String {
        self.accessLog == self.configuration.directory
            ? Self.accessStream : "\(Self.accessStream) \(self.accessLog)"
    }

    /// The streams that have a folder or are known to the state, by endpoint's name.
    ///
    /// Of those that were shredded only what is still there.
    package func streams() throws -> [Stream] {
        var streams: [LogIdentifier: Stream] = [:]
        for log in Set([self.configuration.directory, self.accessLog]) {
            for name in try self.files.names(in: log) {
                guard let id = LogIdentifier(name) else { continue }
                streams[id] = Stream(endpoint: nil, id: id, anchor: nil, log: log)
            }
        }
        for record in try self.store.logStreams() {
            let id = LogIdentifier(record.id.rawSpan, at: 0)
            guard let endpoint = record.endpoint else { continue }
            // The accesses of another folder.
            if endpoint.hasPrefix(Self.accessStream), streams[id] == nil { continue }
            streams[id] = Stream(
                endpoint: endpoint.hasPrefix(Self.accessStream) ? Self.accessStream : endpoint,
                id: id, anchor: record.anchor,
                log: streams[id]?.log ?? self.configuration.directory)
        }
        return streams.values.sorted { ($0.endpoint ?? "", $0.id) < ($1.endpoint ?? "", $1.id) }
    }

    /// The segments of a stream, oldest first; nothing of them is opened.
    package func segments(of stream: Stream) throws -> [Segment] {
        let folder = stream.log + "/" + stream.id.text
        let keyRing = KeyRing(log: stream.log, self.files)
        return try StreamFolder.segments(in: folder, self.files).compactMap {
            name -> Segment? in
            let source: SegmentSource
            do throws(SealedLogError) {
                source = try SegmentSource(folder + "/" + name.text, self.files)
            } catch {
                // It expired since the folder was read.
                guard case .file(_, _, ENOENT) = error else { throw error }
                return nil
            }
            let header = try? source.header()
            return Segment(
                name: name, bytes: source.byteCount,
                createdMilliseconds: header?.createdMilliseconds ?? 0,
                wrappingKey: header.flatMap { try? keyRing.entry($0.logKeyID).wrappingKey },
                isFinal: try header.map { try source.endsWithFinalFrame($0) } ?? false)
        }
    }

    /// Holds a stream against itself and against what the state keeps of it.
    ///
    /// - Parameters:
    ///   - stream: The stream.
    ///   - isStructureOnly: Whether to use no keys.
    ///   - turned: Told before each segment how many were read, and of how many.
    /// - Returns: What was found; of the structure only, too, if its wrapping key is not to be used.
    /// - Throws: What kept it from being read.
    package func verify(
        _ stream: Stream, isStructureOnly: Bool = false, turned: (Int, Int) -> Void = { _, _ in }
    ) throws -> StreamReport {
        if !isStructureOnly {
            do throws(SealedLogError) {
                return try self.reader(of: stream, self.keys(of: stream)).verify(
                    anchor: stream.anchor, turned: turned)
            } catch {
                guard error == .revoked else { throw error }
                // That a vault does not answer must not look as if a key had been taken away.
                if self.failure?.isTransient == true { throw self.refusal(of: stream) }
            }
        }
        return try self.reader(of: stream, nil).verify(anchor: stream.anchor, turned: turned)
    }

    /// Gives the entries of a stream, oldest first.
    ///
    /// The caller has told of the access before, by ``noteAccess(_:to:filter:)``.
    ///
    /// - Parameters:
    ///   - stream: The stream.
    ///   - wanted: Which entries; where it asks for all, the stream is also held against itself and
    ///     against what the state keeps of it.
    ///   - visit: Gets each entry.
    ///   - turned: Told before each segment how many were read, and of how many.
    /// - Returns: What is wrong with the stream, beside.
    /// - Throws: What kept it from being read; `.refused` if its wrapping key is not to be used.
    package func read(
        _ stream: Stream, _ wanted: EntryFilter = EntryFilter(),
        _ visit: (LogEntry) throws(SealedLogError) -> Void,
        turned: (Int, Int) -> Void = { _, _ in }
    ) throws -> StreamReport {
        do throws(SealedLogError) {
            let reader = try self.reader(of: stream, self.keys(of: stream))
            guard wanted != EntryFilter() else {
                return try reader.read(anchor: stream.anchor, visit, turned: turned)
            }
            return try reader.search(wanted, visit, turned: turned)
        } catch {
            guard error == .revoked else { throw error }
            throw self.refusal(of: stream)
        }
    }

    private func reader(
        of stream: Stream, _ keys: LogKeyCache?
    ) throws(SealedLogError) -> StreamReader {
        try StreamReader(stream.id, in: stream.log, keys: keys, self.files)
    }
}

extension EndpointConfiguration {
    /// The same, with another identity where a service's vault is asked.
    fileprivate func asSeen(by reader: CertificateFiles?) -> Self {
        guard let reader,
            case .service(_, let roots, let peer)? = self.encryption.customerKey?.vault.access
        else { return self }
        var endpoint = self
        endpoint.encryption.customerKey?.vault.access = .service(
            identity: TLSCertificateFiles(chain: reader.chain, key: reader.key),
            trustRoots: roots, peer: peer)
        return endpoint
    }
}
