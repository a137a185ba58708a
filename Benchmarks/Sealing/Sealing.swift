// Seals frames of 64 KiB from memory to memory and says how many bytes a CPU-second that were.
//
// Built and run by Benchmarks/logs.py; not part of `swift build`.

internal import Cryptography
internal import Glibc
internal import SealedLog

@main
enum Sealing {
    static func main() throws {
        let seconds = CommandLine.arguments.dropFirst().first.flatMap { Double($0) } ?? 2
        let payload = Self.payload
        let ciphers = try SegmentCiphers()
        let end = clock() + Int(seconds * Double(CLOCKS_PER_SEC))
        let begin = clock()
        var (bytes, sequence, segment) = (0, UInt64(0), try Self.segment(ciphers))
        while clock() < end {
            if !segment.hasRoom(forPayload: payload.count) { segment = try Self.segment(ciphers) }
            try segment.appendEntries(payload, [], firstSequence: sequence, entries: 1)
            bytes += payload.count
            sequence += 1
        }
        print(Double(bytes) / (Double(clock() - begin) / Double(CLOCKS_PER_SEC)))
    }

    /// One entry that fills a frame.
    private static var payload: [UInt8] {
        var batch = EntryBatch()
        batch.begin(.request, nanoseconds: 1, requestID: .zero)
        let body = [UInt8](repeating: 7, count: SegmentLimits.usualFrameBytes - 46)
        batch.append(.body, body.rawSpan)
        batch.end()
        return batch.bytes.array
    }

    private static func segment(_ ciphers: SegmentCiphers) throws -> SegmentWriter {
        let key = try LogKey.make(streamID: .random(), createdMilliseconds: 1)
        let header = try SegmentHeader(decoding: Self.header(key).rawSpan)
        return try SegmentWriter("memory", header, key, ciphers, Memory())
    }
}

extension Sealing {
    /// A header of a first segment (SegmentHeader's table); its commitment is never looked at.
    private static func header(_ key: borrowing LogKey) -> [UInt8] {
        var bytes: [UInt8] = [0x89, 0x53, 0x47, 0x4C, 0x0D, 0x0A, 0x1A, 0x0A, 0, 1, 0, 1]
        bytes.append(bigEndian: UInt32(256))
        bytes += [UInt8](repeating: 1, count: 16)
        bytes.append(bigEndian: key.streamID.high)
        bytes.append(bigEndian: key.streamID.low)
        // Number, writer, time, the segment before, salt.
        bytes += [UInt8](repeating: 0, count: 112)
        bytes.append(bigEndian: key.id.high)
        bytes.append(bigEndian: key.id.low)
        bytes.append(bigEndian: UInt32(SegmentLimits.usualFrameBytes))
        bytes.append(bigEndian: SegmentHeader.Flags.bodies.rawValue)
        return bytes + [UInt8](repeating: 0, count: 256 - bytes.count)
    }
}

/// Files that take everything: a sealed frame stands in the writer's memory already.
private final class Memory: LogFileSystem {
    func append(_ bytes: RawSpan, to file: LogFile) {}
    func create(_ path: String) -> LogFile { LogFile(descriptor: -1, path: path) }
    func open(_ path: String) -> LogFile { LogFile(descriptor: -1, path: path) }
    func close(_ file: LogFile) {}
    func makeFolder(_ path: String) {}
    func names(in folder: String) -> [String] { [] }
    func read(_ file: LogFile, at offset: Int, count: Int, into bytes: inout [UInt8]) {}
    func status(of file: LogFile) -> (bytes: Int, writtenMilliseconds: UInt64) { (0, 0) }
    func synchronize(_ file: LogFile) {}
    func makeReadOnly(_ file: LogFile) {}
    func rename(_ path: String, to newPath: String) {}
    func remove(_ path: String) {}
    func synchronize(_ files: [LogFile]) {}
    func synchronizeFolder(_ path: String) {}
    func reserve(_ bytes: Int, for file: LogFile) {}
}
