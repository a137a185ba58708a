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
