import Cryptography
import Foundation
import Testing

@testable import SealedLog

/// Segments go back and forth between this implementation and the one in sealed_log.py.
@Suite(.enabled(if: SecondImplementation.isInstalled, "run Tests/setup to install Python's part"))
struct SecondImplementationTests {
    @Test(
        "The second implementation reads what this one writes",
        arguments: [SegmentHeader.Flags.bodies, [.padded, .hbi, .bodies]])
    func reading(flags: SegmentHeader.Flags) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "scoregate-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(at: folder) }
        let files = SystemFiles()
        let log = try LogFolder(folder.path, reserveBytes: 1 << 20, files)
        let secret = try SystemRandom.bytes(count: 32)
        let streamID = try LogIdentifier.random()
        let key = try LogKey(
            id: .random(), streamID: streamID, created: "2026-01-02T03:04:05Z",
            secret: SecretBytes(copying: secret.rawSpan))
        let entry = KeyRingEntry(
            key, provider: "test", wrappingKey: "test/1", algorithm: .a256KW, wrapped: [1])
        var time = LogTime(unixNanoseconds: 1_764_000_000_000_000_000, monotonicNanoseconds: 0)
        let writer = try StreamWriter(
            streamID, in: log, .init(flags: flags, largestFrameBytes: 4096), entry, key,
            writerID: .random(), now: time)
        for size in [0, 100, 5000, 20] {
            var batch = EntryBatch()
            batch.begin(.response, nanoseconds: time.unixNanoseconds, requestID: streamID)
            batch.append(.endpoint, "iris")
            batch.append(.body, [UInt8](repeating: 7, count: size).rawSpan)
            batch.end()
            _ = writer.append(batch, now: time)
            time.monotonicNanoseconds += SegmentLimits.nanoseconds
            writer.write(now: time)
        }
        writer.count(lost: 2, bodies: 0, .queueFull, now: time)
        writer.close(now: time)
        #expect(writer.failure == nil)
        var bodies: [Int] = []
        for name in try StreamFolder.segments(in: writer.folder, files) {
            let path = writer.folder + "/" + name.text
            let mode =
                try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
            #expect(mode == 0o440)
            let found = try SecondImplementation.run(
                "read", Hexadecimal.text(of: secret.rawSpan), path)
            #expect(found["verdict"] as? String == "intact")
            for entry in found["entries"] as? [[String: Any]] ?? [] {
                let fields = entry["fields"] as? [String: String]
                #expect(fields?["1"] == "69726973")
                bodies.append((fields?["7"]?.count ?? 0) / 2)
            }
        }
        #expect(bodies == [0, 100, 5000, 20])
    }

    @Test("This implementation reads what the second one writes", arguments: ["plain", "padded"])
    func writing(form: String) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "scoregate-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let secret = try SystemRandom.bytes(count: 32)
        let streamID = try LogIdentifier.random()
        let keyID = try LogIdentifier.random()
        let segments = folder.path + "/" + streamID.text
        try FileManager.default.createDirectory(
            atPath: segments, withIntermediateDirectories: true)
        _ = try SecondImplementation.run(
            "write", Hexadecimal.text(of: secret.rawSpan), segments, streamID.text, keyID.text,
            form)
        let keys = LogKeyCache { id throws(SealedLogError) in
            let bytes: SecretBytes
            do throws(CryptographyError) {
                bytes = try SecretBytes(copying: secret.rawSpan)
            } catch {
                throw .cryptography(error)
            }
            return LogKey(
                id: id, streamID: streamID, created: "2026-01-02T03:04:05Z", secret: bytes)
        }
        var entries: [LogEntry] = []
        let report = try StreamReader(streamID, in: folder.path, keys: keys, SystemFiles())
            .read { (entry) throws(SealedLogError) in entries.append(entry) }
        #expect(report.findings == [] && report.notes == [])
        #expect(entries.map(\.sequence) == Array(0..<15))
        #expect(entries[14][.body] == [UInt8](repeating: 2, count: 400))
    }
}

/// Runs sealed_log.py in the environment that Tests/setup makes for it.
enum SecondImplementation {
    static let isInstalled = FileManager.default.isExecutableFile(atPath: python)

    private static let python: String = {
        let cache =
            ProcessInfo.processInfo.environment["SCOREGATE_TEST_CACHE"]
            ?? NSHomeDirectory() + "/.cache/scoregate-tests"
        return cache + "/sealed-log/bin/python"
    }()

    static func run(_ arguments: String...) throws -> [String: Any] {
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("sealed_log.py")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: self.python)
        process.arguments = [script.path] + arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw CocoaError(.fileReadCorruptFile) }
        return try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
    }
}
