import Testing

@testable import SealedLog

@Suite("Looking entries up by index") struct SegmentLookupTests {
    /// Three segments of 40 entries with the ids 0 to 119, an hour between them.
    private static func log(
        _ flags: SegmentHeader.Flags, isClosed: Bool = true
    ) throws -> TestLog {
        let log = try TestLog(MemoryFiles(), .init(flags: flags, largestFrameBytes: 2048))
        let writer = try log.open()
        for segment in 0..<3 as Range<UInt64> {
            for start in [0, 20] as [UInt64] {
                _ = writer.append(log.batch(20, firstID: segment * 40 + start), now: log.time)
            }
            writer.write(now: log.time)
            guard segment < 2 else { break }
            log.pass(milliseconds: 3_600_000)
            // What comes an hour later comes into another segment.
            writer.write(now: log.time)
        }
        if isClosed { writer.close(now: log.time) } else { _ = writer.synchronize(now: log.time) }
        return log
    }

    private static func search(
        _ log: TestLog, _ wanted: EntryFilter
    ) throws -> (report: StreamReport, ids: [UInt64]) {
        let ring = KeyRing(log: "log", log.files)
        let keys = LogKeyCache { id throws(SealedLogError) in
            try log.vault.logKey(of: try ring.entry(id))
        }
        var ids: [UInt64] = []
        let reader = try StreamReader(log.streamID, in: "log", keys: keys, log.files)
        let report = try reader.search(wanted) { (entry) throws(SealedLogError) in
            ids.append(entry.requestID.low)
        }
        return (report, ids)
    }

    @Test(
        "A request is found in the one segment that is read",
        arguments: [SegmentHeader.Flags.bodies, [.padded, .hbi, .bodies]])
    func request(flags: SegmentHeader.Flags) throws {
        let log = try Self.log(flags)
        for id in [0, 39, 40, 77, 119] as [UInt64] {
            var wanted = EntryFilter()
            wanted.requestID = LogIdentifier(high: 7, low: id)
            let (report, ids) = try Self.search(log, wanted)
            #expect(ids == [id])
            #expect(report.segments == 1 && report.findings == [])
        }
        var unknown = EntryFilter()
        unknown.requestID = LogIdentifier(high: 7, low: 120)
        let (report, ids) = try Self.search(log, unknown)
        #expect(ids == [] && report.segments == 0 && report.findings == [])
    }

    @Test("Segments of other times are passed over, but not under hbi, which has none")
    func time() throws {
        let log = try Self.log(.bodies)
        let hour: UInt64 = 3_600_000_000_000
        let begin = log.time.unixNanoseconds - 2 * hour
        for (since, until, segments, count) in [
            (begin + hour, begin + hour + 10, 1, 20), (begin + hour, nil, 2, 80),
            (nil, begin + 5, 1, 10), (nil, begin, 0, 0), (begin + 3 * hour, nil, 0, 0),
        ] as [(UInt64?, UInt64?, Int, Int)] {
            var wanted = EntryFilter()
            (wanted.since, wanted.until) = (since, until)
            let (report, ids) = try Self.search(log, wanted)
            // A final frame's times are whole milliseconds: one more segment may be read.
            #expect((segments...segments + 1).contains(report.segments))
            #expect(ids.count == count)
        }
        var wanted = EntryFilter()
        wanted.since = begin + 3 * hour
        #expect(try Self.search(Self.log([.padded, .hbi, .bodies]), wanted).report.segments == 3)
    }

    @Test("A segment without an end is read, for nothing says what is in it")
    func open() throws {
        let log = try Self.log(.bodies, isClosed: false)
        var wanted = EntryFilter()
        wanted.requestID = LogIdentifier(high: 7, low: 100)
        let (report, ids) = try Self.search(log, wanted)
        #expect(ids == [100] && report.segments == 1)
        #expect(report.findings == [])
    }

    @Test("What is given out is proven: a changed byte before it is found")
    func changed() throws {
        let log = try Self.log(.bodies)
        let name = try log.segments()[1]
        log.change(name) { $0[SegmentHeader.byteCount + FrameHeader.byteCount + 20] ^= 1 }
        var wanted = EntryFilter()
        wanted.requestID = LogIdentifier(high: 7, low: 79)
        let (report, ids) = try Self.search(log, wanted)
        #expect(ids == [])
        #expect(report.findings == [.segment(name, .aead, frame: 0)])
    }

    @Test("A final frame that is another's is not believed: its segment is read")
    func foreignFinal() throws {
        let log = try Self.log(.bodies)
        let names = try log.segments()
        var last: [UInt8] = []
        log.change(names[2]) { last = Array($0.suffix(160)) }
        log.change(names[0]) { $0.replaceSubrange($0.count - 160..<$0.count, with: last) }
        var wanted = EntryFilter()
        wanted.since = log.time.unixNanoseconds
        let (report, _) = try Self.search(log, wanted)
        #expect(report.segments == 2)
        #expect(report.findings.count == 1)
    }
}
