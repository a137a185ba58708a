import Cryptography
import Foundation
import Testing

@testable import SealedLog

@Suite struct FormatVectorTests {
    let vectors: FormatVectors

    init() throws {
        self.vectors = try FormatVectors.load()
    }

    @Test("The wrapped form of a log key binds it to stream, id and time")
    func wrapInput() throws {
        let wrap = self.vectors.wrap
        let key = try self.vectors.logKey(created: wrap.created)
        let input = try key.wrapInput()
        #expect(input.bytes.array == bytes(wrap.input))
        var entry = KeyRingEntry(
            key, provider: "test", wrappingKey: "key/1", algorithm: .a256KW, wrapped: [1])
        let again = try LogKey(unwrapped: input, of: entry)
        #expect(again.id == key.id && again.step == 0)
        entry.created = "2026-01-02T03:04:06Z"
        #expect(throws: SealedLogError.keyRing(path: entry.fileName, .foreign)) {
            _ = try LogKey(unwrapped: input, of: entry)
        }
    }

    @Test("Entries are encoded as the vectors have them, and read back")
    func entries() throws {
        let id = LogIdentifier("505152535455565758595a5b5c5d5e5f")!
        let body = Array(#"{"data":[1]}"#.utf8)
        let answer = Array("[0]".utf8)
        var batch = EntryBatch()
        batch.begin(.request, nanoseconds: 0x187A_FCA7_6F25_CD15, requestID: id)
        batch.append(.endpoint, "iris")
        batch.append(.deployment, "blue")
        batch.append(.method, "POST")
        batch.append(.path, "/score")
        batch.append(.headers, "content-type: application/json\r\n")
        batch.append(.body, body.rawSpan)
        batch.append(.bodyBytes, UInt64(12))
        batch.append(.bodyDigest, bytes(try sha256(body)).rawSpan)
        batch.append(.requestIDText, "req-1")
        batch.end()
        batch.begin(.response, nanoseconds: 0x187A_FCA7_6F3D_5940, requestID: id)
        batch.append(.endpoint, "iris")
        batch.append(.deployment, "blue")
        batch.append(.status, UInt16(200))
        batch.append(.headers, "content-type: application/json\r\n")
        batch.append(.body, answer.rawSpan)
        batch.append(.bodyBytes, UInt64(3))
        batch.append(.bodyDigest, bytes(try sha256(answer)).rawSpan)
        batch.append(.outcome, LogEntry.Outcome.complete.rawValue)
        batch.end()
        var encoded = batch.bytes.array
        encoded.replace(at: 8, withBigEndian: UInt64(0x29))
        encoded.replace(at: 0xC9 + 8, withBigEndian: UInt64(0x2A))
        #expect(encoded == bytes(self.vectors.entriesPayload))
        let header = FrameHeader(
            type: .entries, flags: [], index: 0, firstSequence: 0x29, entries: 2,
            plaintextBytes: encoded.count)
        var assembler = EntryAssembler(EntryFilter())
        let assembled = assembler.entries(of: encoded.rawSpan, header)
        let entries = try #require(assembled)
        #expect(entries.map(\.kind) == [.request, .response])
        #expect(entries[0][.body] == body && entries[1][.status] == [0, 200])
        #expect(entries[1].requestID == id && entries[1].sequence == 0x2A)
        var index = SegmentIndex()
        index.add(encoded.rawSpan, at: 256, 0x29, 2)
        #expect(index.encoded == bytes(self.vectors.indexPayload))
        #expect(SegmentIndex(decoding: index.encoded.rawSpan) == index)
    }

    @Test("Recovery, gap and filled payloads are encoded as the vectors have them")
    func otherPayloads() throws {
        let recovery = RecoveryPayload(
            segmentID: LogIdentifier("101112131415161718191a1b1c1d1e1f")!, frames: 7,
            validBytes: 4096,
            head: ChainHead("707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f")!,
            tornBytes: 4, tornDigest: ChainHead(try sha256(Array("torn".utf8)))!)
        #expect(recovery.encoded == bytes(self.vectors.recoveryPayload))
        #expect(RecoveryPayload(decoding: recovery.encoded.rawSpan) == recovery)
        let gap = GapPayload(
            firstSequence: 100, entries: 5, bodies: 7, firstMilliseconds: 1_764_000_000_000,
            lastMilliseconds: 1_764_000_000_500, reason: .diskFull)
        #expect(gap.encoded == bytes(self.vectors.gapPayload))
        #expect(GapPayload(decoding: gap.encoded.rawSpan) == gap)
        var padded: [UInt8] = [0, 0, 0, 5] + Array("hello".utf8)
        padded.setCount(Padding.filledBytes(payloadBytes: 5, largest: 65_536))
        #expect(try sha256(padded) == self.vectors.paddedHelloSha256)
        #expect(Padding.payload(in: padded.rawSpan, largest: 65_536) == 4..<9)
    }

    @Test("We write the vectors' segments byte for byte, at step 0 and at step 3")
    func writing() throws {
        let segment = try self.vectors.writtenSegment()
        #expect(Array(segment[224..<256]) == bytes(self.vectors.segment.commitment))
        var offset = 256
        for frame in self.vectors.segment.frames {
            #expect(Array(segment[offset..<offset + 64]) == bytes(frame.header))
            let end = offset + 64 + frame.payload.count + 16
            let sealed = Array(segment[offset + 64..<end])
            if frame.ctTag.hasPrefix("sha256:") {
                #expect(try "sha256:" + sha256(sealed) == frame.ctTag)
            } else {
                #expect(sealed == bytes(frame.ctTag))
            }
            offset = (end + 7) / 8 * 8
        }
        #expect(segment.count == self.vectors.segment.bytes)
        #expect(try sha256(segment) == self.vectors.segment.sha256)
        let step = self.vectors.step
        let stepped = try self.vectors.writtenSegment(step: step.number)
        #expect(Array(stepped[224..<256]) == bytes(step.commitment))
        #expect(try sha256(stepped) == step.segmentSha256)
    }

    @Test("We read the vectors' segment, and give the vectors' verdict on each change of it")
    func verdicts() throws {
        let segment = try self.vectors.writtenSegment()
        let ends = [0, 256, 352, 432, 1512, 1672]
        let part = { Array(segment[ends[$0]..<ends[$0 + 1]]) }
        let changed: [String: [UInt8]] = [
            "intact": segment,
            "frame 1 dropped": part(0) + part(1) + part(3) + part(4),
            "frames 0 and 1 swapped": part(0) + part(2) + part(1) + part(3) + part(4),
            "frame 0 duplicated": part(0) + part(1) + part(1) + part(2) + part(3) + part(4),
            "final dropped": part(0) + part(1) + part(2) + part(3),
            "last byte cut": Array(segment.dropLast()),
            "cut inside a header": Array(segment[..<(352 + 30)]),
            "frame after final": segment + part(1),
        ]
        let key = try self.vectors.logKey()
        for line in self.vectors.segment.verdicts {
            guard let (name, bytes) = changed.first(where: { line.hasPrefix($0.key) }) else {
                #expect(line.hasPrefix("wrong log key"))
                continue
            }
            let expected =
                name == "intact"
                ? line : line.dropFirst(name.count).trimmingCharacters(in: .whitespaces)
            #expect(try verdict(on: bytes, key) == expected, "\(name)")
        }
        let wrong = try LogKey(
            id: key.id, streamID: key.streamID, created: key.created,
            secret: SystemRandom.secret(count: 32))
        #expect(try verdict(on: segment, wrong) == "commitment 0")
    }

    @Test("Every bit that is flipped and every byte that is cut off is noticed")
    func tampering() throws {
        let segment = try self.vectors.writtenSegment()
        let key = try self.vectors.logKey()
        var faults: [String: Int] = [:]
        for index in segment.indices {
            var changed = segment
            changed[index] ^= 1 << UInt8(index % 8)
            let found = try verdict(on: changed, key)
            #expect(!found.hasPrefix("intact"), "byte \(index)")
            faults[String(found.split(separator: " ")[0]), default: 0] += 1
        }
        #expect(Set(faults.keys).isSuperset(of: ["header", "commitment", "frame-header", "aead"]))
        for count in segment.indices {
            let found = try verdict(on: Array(segment[..<count]), key)
            #expect(["torn", "unfinalised"].contains { found.hasPrefix($0) }, "\(count) bytes")
        }
    }
}
