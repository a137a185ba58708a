import Testing

@testable import SealedLog

@Suite struct RetentionTests {
    /// Fills a segment, and begins the next 16 minutes later.
    private func fillSegment(_ log: TestLog, _ writer: StreamWriter) {
        _ = writer.append(log.batch(3), now: log.time)
        log.pass(milliseconds: 16 * 60_000)
        writer.write(now: log.time)
    }

    private func removals(_ report: StreamReport) -> [RemovalEvent] {
        report.notes.compactMap { note in
            if case .removed(let event) = note { event } else { nil }
        }
    }

    @Test(
        "Segments expire again and again, those too that say what expired before, and none is missed"
    )
    func again() throws {
        let log = try TestLog()
        let writer = try log.open()
        var removed = 0
        for _ in 0..<12 {
            self.fillSegment(log, writer)
            removed += try writer.expire(
                writtenBefore: log.time.unixMilliseconds - 40 * 60_000, now: log.time)
            #expect(try log.read().report.findings == [])
        }
        writer.close(now: log.time)
        #expect(removed == 9)
        let report = try log.read().report
        #expect(report.findings == [])
        // Of nine events five expired with the segments they were in.
        #expect(self.removals(report).count == 4)
    }

    @Test("Events that name one part each of what is gone are as good as one that names all")
    func parts() throws {
        let log = try TestLog()
        let writer = try log.open()
        for _ in 0..<6 { self.fillSegment(log, writer) }
        let names = try log.segments()
        let rounds: [([ClosedRange<UInt64>], [StreamReport.Finding])] = [
            ([0...1], [.missing(0...3)]), ([0...1, 3...3], [.missing(0...3)]), ([2...3], []),
        ]
        for (parts, findings) in rounds {
            for part in parts {
                let next = names[Int(part.upperBound) + 1].text
                let header = try SegmentSource(log.folder + "/" + next, log.files).header()
                let event = RemovalEvent(
                    name: .expired, streamID: log.streamID, first: part.lowerBound,
                    last: part.upperBound, head: header.previousHead, reason: "retention")
                var batch = EntryBatch()
                batch.begin(.event, nanoseconds: 1, requestID: log.streamID)
                batch.append(.event, utf8: event.text)
                batch.end()
                _ = writer.append(batch, now: log.time)
            }
            _ = writer.synchronize(now: log.time)
            let files = MemoryFiles(copying: log.files)
            for name in names[..<4] { try files.remove(log.folder + "/" + name.text) }
            #expect(try log.read(from: files).report.findings == findings, "\(parts)")
        }
        writer.close(now: log.time)
    }

    @Test("A full disk gets room from what is too old in the very stream that cannot be written")
    func fullDisk() throws {
        let files = MemoryFiles()
        let log = try TestLog(
            files, .init(largestFrameBytes: 4096, retainedBytes: 20_000), reserveBytes: 60_000)
        let queue = EntryQueue(capacityBytes: 1_000_000, doorbell: try Doorbell())
        let writer = LogWriter(
            queue, retentionMilliseconds: 60 * 60_000, report: { _ in }, keep: { _ in })
        writer.add(try log.open(), as: 0, .bounded)
        let stream = try #require(writer[0])
        let write = {
            _ = queue.push(.init(stream: 0, batch: log.batch(20, bodyBytes: 1000), ticket: nil))
            log.pass(milliseconds: 100)
            _ = writer.step(now: log.time)
            log.pass(milliseconds: 100)
            _ = writer.step(now: log.time)
        }
        for _ in 0..<4 {
            for _ in 0..<5 { write() }
            log.pass(milliseconds: 16 * 60_000)
        }
        files.capacity = files.usedBytes + 30_000
        for _ in 0..<3 { write() }
        #expect(stream.failure?.isDiskFull == true)
        let before = try log.segments().map(\.number)
        log.pass(milliseconds: 30 * 60_000)
        _ = writer.step(now: log.time)
        #expect(stream.failure == nil)
        write()
        writer.close(now: log.time)
        #expect(stream.failure == nil)
        #expect(try log.segments().map(\.number).prefix(1) != before.prefix(1))
        let (report, entries) = try log.read()
        #expect(report.findings == [])
        #expect(self.removals(report).count == 1)
        #expect(entries.last?.sequence == stream.nextSequence - 1)
    }

    @Test("While a stream cannot be written nothing expires, and no event says that it did")
    func failing() throws {
        let files = MemoryFiles()
        let log = try TestLog(files)
        let writer = try log.open()
        for _ in 0..<3 { self.fillSegment(log, writer) }
        files.capacity = files.usedBytes
        _ = writer.append(log.batch(1), now: log.time)
        #expect(!writer.synchronize(now: log.time))
        for _ in 0..<3 {
            #expect(throws: SealedLogError.self) {
                try writer.expire(writtenBefore: log.time.unixMilliseconds, now: log.time)
            }
        }
        #expect(writer.nextSequence == 10)
        files.capacity = .max
        writer.resume(now: log.time)
        #expect(try writer.expire(writtenBefore: log.time.unixMilliseconds, now: log.time) > 0)
        writer.close(now: log.time)
        let report = try log.read().report
        #expect(report.findings == [] && self.removals(report).count == 1)
    }

    @Test("A stream whose wrapping key was revoked keeps no other from losing what is too old")
    func revoked() throws {
        let files = MemoryFiles()
        let logs = [try TestLog(files), try TestLog(files)]
        let queue = EntryQueue(capacityBytes: 1_000_000, doorbell: try Doorbell())
        let writer = LogWriter(
            queue, retentionMilliseconds: 40 * 60_000, report: { _ in }, keep: { _ in })
        for (number, log) in logs.enumerated() {
            let stream = try log.open()
            for _ in 0..<6 { self.fillSegment(log, stream) }
            writer.add(stream, as: number, .bounded)
        }
        writer.revoke(0, now: logs[0].time)
        #expect(throws: SealedLogError.revoked) { try writer.expire(now: logs[1].time) }
        #expect(try logs[0].segments().first?.number == 0)
        #expect(try logs[1].segments().first?.number == 3)
        writer.close(now: logs[1].time)
    }
}
