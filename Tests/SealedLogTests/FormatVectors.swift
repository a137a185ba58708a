import Cryptography
import Foundation
import Testing

@testable import SealedLog

/// The vectors of the format, made by another implementation.
struct FormatVectors: Decodable {
    struct Step: Decodable {
        var number: UInt32
        var commitment: String
        var segmentSha256: String
    }

    struct Wrap: Decodable {
        var logKey: String
        var streamId: String
        var logKeyId: String
        var created: String
        var input: String
    }

    struct Frame: Decodable {
        var plaintext: String
        var header: String
        var ctTag: String
        var chain: String

        var payload: [UInt8] {
            self.plaintext == "78 x 1000"
                ? [UInt8](repeating: 0x78, count: 1000) : SealedLogTests.bytes(self.plaintext)
        }
    }

    struct Segment: Decodable {
        var logKey: String
        var core: String
        var commitment: String
        var frames: [Frame]
        var bytes: Int
        var sha256: String
        var verdicts: [String]
    }

    var step: Step
    var wrap: Wrap
    var entriesPayload: String
    var indexPayload: String
    var recoveryPayload: String
    var gapPayload: String
    var paddedHelloSha256: String
    var segment: Segment

    static func load() throws -> FormatVectors {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("format-vectors.json")
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(FormatVectors.self, from: Data(contentsOf: file))
    }

    /// The header of the vectors' segment, at that step.
    func header(step: UInt32 = 0) throws -> SegmentHeader {
        let core = bytes(self.segment.core) + [UInt8](repeating: 0, count: 32)
        var header = try SegmentHeader(decoding: core.rawSpan)
        header.step = step
        return header
    }

    /// The vectors' log key.
    func logKey(created: String = "2026-01-02T03:04:05Z") throws -> LogKey {
        try LogKey(
            id: #require(LogIdentifier(self.wrap.logKeyId)),
            streamID: #require(LogIdentifier(self.wrap.streamId)),
            created: created,
            secret: SecretBytes(copying: bytes(self.segment.logKey).rawSpan))
    }

    /// The vectors' segment as our writer writes it.
    func writtenSegment(step: UInt32 = 0) throws -> [UInt8] {
        let files = MemoryFiles()
        let ciphers = try SegmentCiphers()
        let key = try self.logKey().advanced(by: step, with: ciphers.hkdf)
        let writer = try SegmentWriter(
            "segment", self.header(step: step), key, ciphers, files)
        for (index, frame) in self.segment.frames.enumerated() {
            let head = bytes(frame.header)
            let decoded = FrameHeader(decoding: head.rawSpan)
            let header = try #require(decoded)
            let final = FinalPayload(
                frames: 3, entries: 3, plaintextBytes: 1016,
                firstMilliseconds: 1_764_000_000_000, lastMilliseconds: 1_764_000_001_000,
                head: writer.head, reason: 1)
            let payload = header.type == .final ? final.encoded : frame.payload
            try writer.append(
                header.type, payload.rawSpan, [], firstSequence: UInt64(index),
                entries: header.entries, salt: Array(bytes(frame.header)[36..<48]))
        }
        writer.abandon()
        return try files.contents(of: "segment", maximum: 1 << 20)
    }
}

/// The bytes that `digits` write in hexadecimal.
func bytes(_ digits: String) -> [UInt8] { Hexadecimal.bytes(of: digits) ?? [] }

/// SHA-256 of `bytes` in hexadecimal.
func sha256(_ bytes: [UInt8]) throws -> String { try SHA256().digest(bytes.rawSpan).hexadecimal }

/// What a reader says of a segment of the vectors, in their words: `intact final 4 3 CHAIN` or a
/// fault and how many frames hold.
func verdict(on segment: [UInt8], _ key: borrowing LogKey) throws -> String {
    let files = MemoryFiles()
    let file = try files.create("segment")
    try files.append(segment.rawSpan, to: file)
    do {
        let source = try SegmentSource("segment", files)
        let reader = try SegmentReader(source, source.header(), key, SegmentCiphers())
        while true {
            guard case .end(let fault) = try reader.next() else { continue }
            guard let fault else {
                return "intact final \(reader.frames) \(reader.entries) \(reader.head.text)"
            }
            return "\(fault.rawValue) \(reader.frames)"
        }
    } catch {
        guard case .segment(let fault, _, let frame) = error else { throw error }
        return "\(fault.rawValue) \(frame)"
    }
}
