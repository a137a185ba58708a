import Testing

@testable import SealedLog

@Suite struct RollBackTests {
    /// Writes an entry as a process does that starts; gives the writer.
    private func goOn(_ log: TestLog, _ anchor: StreamAnchor) throws -> StreamWriter {
        let writer = try log.open(anchor: anchor)
        _ = writer.append(log.batch(1), now: log.time)
        writer.close(now: log.time)
        return writer
    }

    @Test(
        "Segments that vanish while nobody writes are missed from then on", arguments: [1, 2, 4])
    func segmentsGone(count: Int) throws {
        let (log, anchor) = try TestLog.fourSegments()
        for name in try log.segments().suffix(count) {
            try log.files.remove(log.folder + "/" + name.text)
        }
        let writer = try self.goOn(log, anchor)
        #expect(writer.lostEnd == anchor)
        let kept = try #require(writer.anchor)
        #expect(kept.number == 4)
        #expect(try log.read(anchor: kept).report.findings == [.missing(UInt64(4 - count)...3)])
        // Once is enough: the stream is now as it was left.
        #expect(try self.goOn(log, kept).lostEnd == nil)
    }

    @Test("A last segment that is cut within its header hides nothing of those before it")
    func headerCut() throws {
        let (log, anchor) = try TestLog.fourSegments()
        let names = try log.segments()
        let last = try #require(names.last)
        for name in names.dropLast() { try log.files.remove(log.folder + "/" + name.text) }
        log.change(last) { $0.removeLast($0.count - 100) }
        #expect(try log.read().report.findings == [.missing(0...2)])
        let report = try log.read(anchor: anchor).report
        #expect(report.findings == [.truncated(last), .missing(0...2)])

        for isCut in [false, true] {
            let (log, anchor) = try TestLog.fourSegments()
            let names = try log.segments()
            log.change(names[2]) { $0[SegmentHeader.byteCount + FrameHeader.byteCount + 3] ^= 1 }
            if isCut { log.change(names[3]) { $0.removeAll() } }
            let findings = try log.read(anchor: anchor).report.findings
            #expect(findings.contains(.segment(names[2], .aead, frame: 0)))
            #expect(findings.contains(.truncated(names[3])) == isCut)
        }
    }

    @Test("What no writer writes into a header ends no reader")
    func forgedNumbers() throws {
        let log = try TestLog()
        let killed = try log.open()
        _ = killed.append(log.batch(2), now: log.time)
        #expect(killed.synchronize(now: log.time))
        let last = try #require(try log.segments().last)
        var frame = [UInt8](repeating: 0, count: 96)
        FrameHeader(
            type: .entries, flags: [], index: 1, firstSequence: .max - 2, entries: 1,
            plaintextBytes: 10
        ).encode(into: &frame)
        log.change(last) { $0 += frame }
        #expect(try log.read().entries.count == 2)
        let writer = try log.open()
        #expect(writer.append(log.batch(5), now: log.time).count == 5)
        #expect(UTCTime.milliseconds("1970-01-01T-1:00:00Z") == nil)
        #expect(UTCTime.milliseconds("1970-01-01T01:00:00Z") == 3_600_000)
        withExtendedLifetime(killed) {}
    }

    @Test("A segment that lost its end, or is another one, is told from the next segment on")
    func endChanged() throws {
        for bytes in [160, 500] {
            let (log, anchor) = try TestLog.fourSegments()
            let last = try #require(try log.segments().last)
            log.change(last) { $0.removeLast(min(bytes, $0.count)) }
            let writer = try self.goOn(log, anchor)
            #expect(writer.lostEnd == anchor)
            let kept = try #require(writer.anchor)
            let report = try log.read(anchor: kept).report
            #expect(report.findings == [.previousDiffers(try #require(try log.segments().last))])
        }
        let (log, anchor) = try TestLog.fourSegments()
        var other = anchor
        other.segmentID = try .random()
        let writer = try self.goOn(log, other)
        #expect(writer.lostEnd == other)
        let report = try log.read(anchor: writer.anchor).report
        #expect(report.findings == [.previousDiffers(try #require(try log.segments().last))])
    }

    @Test("A stream that ends where its anchor says, or later, is as it was left")
    func asItWas() throws {
        let (log, anchor) = try TestLog.fourSegments()
        let killed = try log.open(anchor: anchor)
        #expect(killed.lostEnd == nil)
        _ = killed.append(log.batch(2), now: log.time)
        #expect(killed.synchronize(now: log.time))
        let begun = try #require(killed.anchor)
        let writer = try self.goOn(log, begun)
        #expect(writer.lostEnd == nil)
        #expect(try log.read(anchor: writer.anchor).report.findings == [])
        #expect(try self.goOn(log, begun).lostEnd == nil)
        withExtendedLifetime(killed) {}
    }
}
