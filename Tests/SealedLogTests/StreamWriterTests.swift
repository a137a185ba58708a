import Cryptography
import Testing

@testable import SealedLog

@Suite struct StreamWriterTests {
    @Test("Entries come back as they were, in order, over frames, segments and restarts")
    func roundTrip() throws {
        let log = try TestLog(MemoryFiles(), .init(largestFrameBytes: 4096))
        for start in 0..<3 {
            let writer = try log.open()
            #expect(writer.nextSequence == UInt64(150 * start))
            for _ in 0..<3 {
                #expect(writer.append(log.batch(50, bodyBytes: 100), now: log.time).count == 50)
                log.pass(milliseconds: 16 * 60_000)
                writer.write(now: log.time)
            }
            writer.close(now: log.time)
            #expect(writer.failure == nil && writer.durableSequence == writer.nextSequence)
        }
        let (report, entries) = try log.read()
        #expect(report.findings == [] && report.notes == [])
        #expect(report.segments == 12)
        #expect(entries.map(\.sequence) == Array(0..<450))
        #expect(entries[49][.body] == [UInt8](repeating: 49, count: 100))
        #expect(log.files.openFiles == 0)
        let structure = try StreamReader(log.streamID, in: "log", keys: nil, log.files).verify()
        #expect(structure.findings == [] && structure.isStructureOnly)
        #expect(structure.frames == report.frames)
    }

    @Test("A loss begins another segment where an entry would")
    func lossAtTheLimit() throws {
        let log = try TestLog()
        let writer = try log.open()
        for _ in 0..<3 {
            _ = writer.append(log.batch(1), now: log.time)
            log.pass(milliseconds: 16 * 60_000)
            writer.count(lost: 0, bodies: 1, .queueFull, now: log.time)
        }
        #expect(try log.segments().count == 4)
        writer.close(now: log.time)
        #expect(try log.read().report.findings == [])
    }

    @Test(
        "An entry larger than a frame runs over several, also filled up and under hbi",
        arguments: [SegmentHeader.Flags.bodies, [.padded, .hbi, .bodies]])
    func largeEntries(flags: SegmentHeader.Flags) throws {
        let log = try TestLog(MemoryFiles(), .init(flags: flags, largestFrameBytes: 1024))
        let writer = try log.open()
        for bytes in [0, 900, 975, 1100, 5000, 1, 40_000, 2] {
            _ = writer.append(log.batch(1, bodyBytes: bytes), now: log.time)
        }
        writer.close(now: log.time)
        let (report, entries) = try log.read()
        #expect(report.findings == [])
        #expect(
            entries.map { $0[.body]?.count } == [0, 900, 975, 1100, 5000, 1, 40_000, 2])
        for name in try log.segments() where flags.contains(.padded) {
            let source = try SegmentSource(log.folder + "/" + name.text, log.files)
            let header = try source.header()
            #expect(header.createdMilliseconds == 0)
            let reader = try SegmentReader(structureOf: source, header, SegmentCiphers())
            while case .frame(let frame) = try reader.next() {
                #expect(frame.plaintextBytes == 1024)
            }
        }
    }

    @Test("Index frames name every entry by offset, time and request id; the final frame counts")
    func index() throws {
        let log = try TestLog(MemoryFiles(), .init(largestFrameBytes: 2048))
        let writer = try log.open()
        for round in 0..<300 {
            _ = writer.append(log.batch(7, firstID: UInt64(7 * round)), now: log.time)
            log.pass(milliseconds: 1)
            writer.write(now: log.time)
        }
        writer.close(now: log.time)
        let name = try #require(try log.segments().last)
        let source = try SegmentSource(log.folder + "/" + name.text, log.files)
        let ring = log.log.keyRing
        let header = try source.header()
        let key = try log.vault.logKey(of: ring.entry(header.logKeyID))
        let reader = try SegmentReader(source, header, key, SegmentCiphers())
        var offsets: [UInt64: (FrameHeader, UInt64)] = [:]
        var indexed: [UInt64: UInt32] = [:]
        var ids: Set<LogIdentifier> = []
        var sinceIndex = 0
        while true {
            let offset = UInt64(reader.validBytes)
            guard case .frame(let frame) = try reader.next() else { break }
            sinceIndex += 1
            #expect(sinceIndex <= 256)
            switch frame.type {
            case .entries: offsets[offset] = (frame, frame.firstSequence)
            case .index:
                let payload = reader.payload
                let decoded = SegmentIndex(decoding: payload.rawSpan)
                let index = try #require(decoded)
                for found in index.frames {
                    indexed[found.offset] = found.entries
                    #expect(offsets[found.offset]?.1 == found.firstSequence)
                    #expect(found.lastNanoseconds - found.firstNanoseconds < 1_000_000)
                }
                ids.formUnion(index.requests.map(\.id))
                sinceIndex = 0
            default: break
            }
        }
        #expect(Set(indexed.keys) == Set(offsets.keys) && ids.count == 2100)
        let final = try #require(reader.final)
        #expect(final.entries == 2100)
        #expect(final.lastMilliseconds - final.firstMilliseconds == 299)
    }

    @Test("A segment ends at its limit of bytes, and none has more")
    func segmentBytes() throws {
        let files = MemoryFiles()
        let log = try TestLog(files, .init(largestFrameBytes: 1 << 20, retainedBytes: 4 << 20))
        let writer = try log.open()
        var batch = log.batch(1, bodyBytes: 60 << 20)
        for _ in 0..<5 { _ = writer.append(batch, now: log.time) }
        batch.removeAll()
        writer.close(now: log.time)
        #expect(writer.failure == nil)
        let names = try log.segments()
        #expect(names.count == 2)
        for name in names {
            let source = try SegmentSource(log.folder + "/" + name.text, files)
            #expect(source.byteCount <= SegmentLimits.bytes)
        }
        let (report, entries) = try log.read()
        #expect(report.findings == [] && entries.count == 5)
    }

    @Test("A log key is followed by another when it is a day old, and at once when told")
    func logKeys() throws {
        let log = try TestLog()
        let writer = try log.open()
        #expect(!writer.wantsKey(now: log.time))
        _ = writer.append(log.batch(1), now: log.time)
        try log.supply(writer, isAtOnce: true)
        log.pass(milliseconds: 23 * 3_600_000)
        #expect(writer.wantsKey(now: log.time))
        try log.supply(writer, isAtOnce: false)
        writer.write(now: log.time)
        _ = writer.append(log.batch(1), now: log.time)
        log.pass(milliseconds: 2 * 3_600_000)
        writer.write(now: log.time)
        _ = writer.append(log.batch(1), now: log.time)
        // No further key was supplied: after a day the stream stops rather than go on with this one.
        log.pass(milliseconds: 25 * 3_600_000)
        writer.write(now: log.time)
        #expect(writer.failure == .keyUsedUp)
        #expect(writer.append(log.batch(1), now: log.time).count == 1)
        try log.supply(writer, isAtOnce: true)
        #expect(writer.failure == nil)
        writer.close(now: log.time)
        let (report, entries) = try log.read()
        #expect(report.findings == [] && entries.count == 4)
        #expect(try log.log.keyRing.ids().count == 4)
        #expect(writer.anchor?.logKeys.count == 4)
    }

    @Test("Revocation drops and counts what is not sealed; the stream goes on under another key")
    func revocation() throws {
        let log = try TestLog()
        let writer = try log.open()
        _ = writer.append(log.batch(3), now: log.time)
        writer.write(now: log.time)
        _ = writer.append(log.batch(4), now: log.time)
        writer.revoke(now: log.time)
        #expect(writer.failure == .revoked)
        #expect(writer.append(log.batch(5), now: log.time).isEmpty)
        writer.resume(now: log.time)
        #expect(writer.failure == .revoked)
        try log.supply(writer, isAtOnce: true)
        #expect(writer.append(log.batch(1), now: log.time) == 12..<13)
        writer.close(now: log.time)
        let (report, entries) = try log.read()
        #expect(report.findings == [])
        #expect(entries.map(\.sequence) == [0, 1, 2, 12])
        let gaps = report.notes.compactMap { note -> GapPayload? in
            if case .gap(_, let gap) = note { gap } else { nil }
        }
        #expect(gaps.map(\.entries) == [4, 5] && gaps.allSatisfy { $0.reason == .revoked })
    }

    @Test("A revocation wipes the keys before it waits for the disk, whatever that does then")
    func wipedFirst() throws {
        for failingCall in 0..<6 {
            let log = try TestLog()
            let writer = try log.open()
            _ = writer.append(log.batch(3), now: log.time)
            #expect(writer.synchronize(now: log.time))
            _ = writer.append(log.batch(4), now: log.time)
            var (calls, callsWithKey) = (0, 0)
            log.files.willCall = {
                calls += 1
                if writer.key?.id != nil || writer.ciphers.hasKey { callsWithKey += 1 }
            }
            // The first round has a disk that takes everything.
            if failingCall > 0 { log.files.failingCall = log.files.calls + failingCall }
            writer.revoke(now: log.time)
            log.files.willCall = {}
            #expect(calls >= 1 && callsWithKey == 0, "\(failingCall)")
            #expect(writer.failure == .revoked)
            log.files.failingCall = .max
            try log.supply(writer, isAtOnce: true)
            #expect(writer.append(log.batch(1), now: log.time) == 7..<8)
            writer.close(now: log.time)
            let (report, entries) = try log.read()
            #expect(report.findings == [], "\(failingCall)")
            #expect(entries.map(\.sequence) == [0, 1, 2, 7], "\(failingCall)")
            let gaps = report.notes.compactMap { note -> UInt64? in
                if case .gap(_, let gap) = note { gap.entries } else { nil }
            }
            #expect(gaps == [4], "\(failingCall)")
        }
    }

    @Test("A revocation's event follows what was dropped, under the keys that are wiped after it")
    func revocationEvent() throws {
        let log = try TestLog()
        let writer = try log.open()
        _ = writer.append(log.batch(3), now: log.time)
        writer.write(now: log.time)
        _ = writer.append(log.batch(4), now: log.time)
        var event = EntryBatch()
        event.begin(.event, nanoseconds: 0, requestID: .zero)
        event.append(.event, utf8: #"{"event":"revoked"}"#)
        event.end()
        writer.revoke(now: log.time, event: event)
        writer.close(now: log.time)
        let (report, entries) = try log.read()
        #expect(report.findings == [])
        #expect(entries.map(\.sequence) == [0, 1, 2, 7])
        #expect(entries.last?[.event] == Array(#"{"event":"revoked"}"#.utf8))
        #expect(writer.durableSequence == 8)
    }

    @Test("What a revocation dropped is counted, also if the process ends before it is over")
    func revocationBeforeEnd() throws {
        let log = try TestLog()
        let revoked = try log.open()
        _ = revoked.append(log.batch(3), now: log.time)
        revoked.write(now: log.time)
        _ = revoked.append(log.batch(4), now: log.time)
        revoked.revoke(now: log.time)
        revoked.close(now: log.time)
        let writer = try log.open()
        #expect(writer.append(log.batch(1), now: log.time) == 7..<8)
        writer.close(now: log.time)
        let (report, entries) = try log.read()
        #expect(report.findings == [])
        #expect(entries.map(\.sequence) == [0, 1, 2, 7])
        let gaps = report.notes.compactMap { note -> GapPayload? in
            if case .gap(_, let gap) = note { gap } else { nil }
        }
        #expect(gaps.map(\.entries) == [4] && gaps.first?.reason == .revoked)
    }

    @Test("What was lost while there was no key is counted by the next process, once")
    func lossBeforeEnd() throws {
        let log = try TestLog()
        let revoked = try log.open()
        _ = revoked.append(log.batch(3), now: log.time)
        revoked.write(now: log.time)
        revoked.revoke(now: log.time)
        _ = revoked.append(log.batch(5), now: log.time)
        revoked.close(now: log.time)
        let anchor = try #require(revoked.takeAnchor())
        for start in 0..<2 {
            let writer = try log.open(anchor: anchor)
            #expect(writer.append(log.batch(1), now: log.time).lowerBound == 8 + UInt64(start))
            writer.close(now: log.time)
        }
        let (report, entries) = try log.read()
        #expect(report.findings == [])
        #expect(entries.map(\.sequence) == [0, 1, 2, 8, 9])
        let gaps = report.notes.compactMap { note -> GapPayload? in
            if case .gap(_, let gap) = note { gap } else { nil }
        }
        #expect(gaps.map(\.entries) == [5] && gaps.first?.reason == .revoked)
    }

    @Test("A clock that steps back changes no order and loses nothing")
    func clockSteppingBack() throws {
        let log = try TestLog()
        let writer = try log.open()
        _ = writer.append(log.batch(2), now: log.time)
        log.time.unixNanoseconds -= 3_600_000_000_000
        log.time.monotonicNanoseconds += 1
        _ = writer.append(log.batch(2), now: log.time)
        #expect(!writer.wantsKey(now: log.time))
        log.time.monotonicNanoseconds += SegmentLimits.nanoseconds
        writer.write(now: log.time)
        _ = writer.append(log.batch(2), now: log.time)
        writer.close(now: log.time)
        let (report, entries) = try log.read()
        #expect(report.findings == [] && entries.map(\.sequence) == Array(0..<6))
        #expect(report.segments == 2)
    }

    @Test("Segments that are too old go, and the log says so; others are missed")
    func retention() throws {
        let log = try TestLog()
        let writer = try log.open()
        for _ in 0..<6 {
            _ = writer.append(log.batch(3), now: log.time)
            log.pass(milliseconds: 16 * 60_000)
            writer.write(now: log.time)
        }
        let cut = log.time.unixMilliseconds - 40 * 60_000
        #expect(try writer.expire(writtenBefore: cut, now: log.time) == 3)
        #expect(try writer.expire(writtenBefore: cut, now: log.time) == 0)
        writer.close(now: log.time)
        let (report, entries) = try log.read()
        #expect(report.findings == [])
        #expect(entries.first?.sequence == 6)
        let names = try log.segments()
        try log.files.remove(log.folder + "/" + names[0].text)
        let missing = try log.read().report
        #expect(missing.findings == [.missing(0...3)])
    }

    @Test("a batch that fills a frame becomes one, and its entries stay in order among small ones")
    func wholeBatches() throws {
        let log = try TestLog()
        let writer = try log.open()
        var numbers: [Range<UInt64>] = []
        var taken: [Bool] = []
        var id: UInt64 = 0
        for (count, bodyBytes) in [(2, 10), (40, 1000), (1, 10), (50, 1000), (3, 500), (90, 1000)] {
            var batch = log.batch(count, bodyBytes: bodyBytes, firstID: id)
            id += UInt64(count)
            numbers.append(writer.append(taking: &batch, now: log.time))
            taken.append(batch.entries == 0)
        }
        writer.close(now: log.time)
        // The second fits in with the first; the last is more than a frame.
        #expect(taken == [false, false, false, true, false, false])
        #expect(numbers == [0..<2, 2..<42, 42..<43, 43..<93, 93..<96, 96..<186])
        let (report, entries) = try log.read()
        #expect(report.findings == [] && report.notes == [])
        #expect(entries.map(\.sequence) == Array(0..<186))
        #expect(entries.map(\.requestID.low) == Array(0..<186))
        #expect(Set(entries.map { $0[.body]?.count }) == [10, 1000, 500])
    }
}
