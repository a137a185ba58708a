import Cryptography
import Testing

@testable import SealedLog

/// A log folder with one stream, its vault and its clock.
final class TestLog {
    let files: MemoryFiles
    var settings: StreamWriter.Settings
    var time = LogTime(
        unixNanoseconds: 1_764_000_000_000_000_000, monotonicNanoseconds: 1_000_000_000)
    let streamID: LogIdentifier
    private(set) var log: LogFolder
    let vault: TestVault
    var reserveBytes: Int

    init(
        _ files: MemoryFiles = MemoryFiles(), _ settings: StreamWriter.Settings = .init(),
        reserveBytes: Int = 0, vault: TestVault? = nil, streamID: LogIdentifier? = nil
    ) throws {
        self.files = files
        self.settings = settings
        self.reserveBytes = reserveBytes
        self.vault = try vault ?? TestVault()
        self.streamID = try streamID ?? .random()
        self.log = try LogFolder("log", reserveBytes: reserveBytes, files)
    }

    /// One whose stream has four segments, which were ended, and the stream's anchor.
    static func fourSegments() throws -> (TestLog, StreamAnchor) {
        let log = try TestLog()
        let writer = try log.open()
        for _ in 0..<3 {
            _ = writer.append(log.batch(3), now: log.time)
            log.pass(milliseconds: 16 * 60_000)
            writer.write(now: log.time)
        }
        writer.close(now: log.time)
        return (log, try #require(writer.anchor))
    }

    /// Opens the stream as a process does that starts.
    func open(anchor: StreamAnchor? = nil) throws(SealedLogError) -> StreamWriter {
        self.log = try LogFolder("log", reserveBytes: self.reserveBytes, self.files)
        let key = try LogKey.make(
            streamID: self.streamID, createdMilliseconds: self.time.unixMilliseconds)
        let entry = try self.vault.entry(for: key)
        return try StreamWriter(
            self.streamID, in: self.log, self.settings, entry, key,
            anchor: anchor, writerID: .random(), now: self.time)
    }

    func supply(_ writer: StreamWriter, isAtOnce: Bool) throws {
        let key = try LogKey.make(
            streamID: self.streamID, createdMilliseconds: self.time.unixMilliseconds)
        let entry = try self.vault.entry(for: key)
        try writer.supply(key, entry, isAtOnce: isAtOnce, now: self.time)
    }

    func pass(milliseconds: UInt64) {
        self.time.unixNanoseconds += milliseconds * 1_000_000
        self.time.monotonicNanoseconds += milliseconds * 1_000_000
        self.files.milliseconds = self.time.unixMilliseconds
    }

    /// A batch of so many entries with bodies of so many bytes; the first body byte counts up.
    func batch(_ count: Int, bodyBytes: Int = 10, firstID: UInt64 = 0) -> EntryBatch {
        var batch = EntryBatch()
        for index in 0..<count {
            batch.begin(
                .request, nanoseconds: self.time.unixNanoseconds + UInt64(index),
                requestID: LogIdentifier(high: 7, low: firstID + UInt64(index)))
            batch.append(.endpoint, "iris")
            let body = [UInt8](repeating: UInt8(truncatingIfNeeded: index), count: bodyBytes)
            batch.append(.body, body.rawSpan)
            batch.end()
        }
        return batch
    }

    /// Reads the stream as a process with the right to unwrap does.
    func read(
        anchor: StreamAnchor? = nil, from files: MemoryFiles? = nil
    ) throws(SealedLogError) -> (report: StreamReport, entries: [LogEntry]) {
        let files = files ?? self.files
        let ring = KeyRing(log: "log", files)
        let keys = LogKeyCache { [vault] id throws(SealedLogError) in
            try vault.logKey(of: try ring.entry(id))
        }
        var entries: [LogEntry] = []
        let report = try StreamReader(self.streamID, in: "log", keys: keys, files)
            .read(anchor: anchor) { (entry) throws(SealedLogError) in entries.append(entry) }
        let verified = try StreamReader(self.streamID, in: "log", keys: keys, files)
            .verify(anchor: anchor)
        #expect(verified == report)
        return (report, entries)
    }

    var folder: String { "log/" + self.streamID.text }

    func segments() throws -> [SegmentName] {
        try StreamFolder.segments(in: self.folder, self.files)
    }

    /// The bytes of a segment's file, to be changed by a test.
    func change(_ name: SegmentName, _ body: (inout [UInt8]) -> Void) {
        guard let node = self.files.names[self.folder + "/" + name.text] else {
            preconditionFailure("the segment is there")
        }
        body(&self.files.nodes[node].bytes)
    }
}

/// Wraps log keys under one AES key.
final class TestVault {
    private let key: [UInt8]

    init() throws { self.key = try SystemRandom.bytes(count: 32) }

    private func wrap() throws(CryptographyError) -> AESKeyWrap {
        let key = self.key
        let secret = try SecretBytes(copying: key.rawSpan)
        return try AESKeyWrap(key: secret, form: .unpadded)
    }

    func entry(for key: borrowing LogKey) throws(SealedLogError) -> KeyRingEntry {
        let input = try key.wrapInput()
        do throws(CryptographyError) {
            let wrapped = try self.wrap().wrap(input)
            return KeyRingEntry(
                key, provider: "test", wrappingKey: "test/1", algorithm: .a256KW, wrapped: wrapped)
        } catch {
            throw .cryptography(error)
        }
    }

    func logKey(of entry: KeyRingEntry) throws(SealedLogError) -> LogKey {
        let unwrapped: SecretBytes
        do throws(CryptographyError) {
            let wrapped = entry.wrapped
            unwrapped = try self.wrap().unwrap(wrapped.rawSpan)
        } catch {
            throw .keyRing(path: entry.fileName, .foreign)
        }
        return try LogKey(unwrapped: unwrapped, of: entry)
    }
}

/// A random number generator that gives the same numbers for the same seed (splitmix64).
struct SeededRandom: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var number = self.state
        number = (number ^ number >> 30) &* 0xBF58_476D_1CE4_E5B9
        number = (number ^ number >> 27) &* 0x94D0_49BB_1331_11EB
        return number ^ number >> 31
    }
}

/// Every (segment, nonce) pair a file system has seen written, whether or not it reached the disk.
struct NonceAudit {
    private var seen: Set<[UInt8]> = []
    private(set) var salts: Set<[UInt8]> = []
    private(set) var repeats = 0
    private(set) var frames = 0

    mutating func add(_ files: MemoryFiles) {
        var salt: [Int: [UInt8]] = [:]
        for case .append(let node, let bytes) in files.operations {
            if bytes.starts(with: [0x89, 0x53, 0x47, 0x4C]), bytes.count >= 160 {
                let new = Array(bytes[128..<160])
                salt[node] = new
                if !self.salts.insert(new).inserted { self.repeats += 1 }
            } else if bytes.starts(with: Array("SGLF".utf8)), bytes.count >= 48 {
                self.frames += 1
                let nonce = bytes[36..<48] + bytes[8..<16] + [bytes[4]]
                if !self.seen.insert((salt[node] ?? []) + nonce).inserted { self.repeats += 1 }
            }
        }
    }
}
