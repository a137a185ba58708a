import Cryptography
import Foundation
import Testing

@testable import SealedLog

@Suite struct StreamFaultTests {
    @Test("A segment that was deleted, or put into another stream, is missed where it was and is")
    func segmentsMoved() throws {
        let (log, anchor) = try TestLog.fourSegments()
        let names = try log.segments()
        try #require(names.count == 4)
        let other = try TestLog(log.files, vault: log.vault)
        let writer = try other.open()
        _ = writer.append(other.batch(1), now: other.time)
        writer.close(now: other.time)
        let path = log.folder + "/" + names[1].text
        let node = try #require(log.files.names[path])
        try log.files.remove(path)
        #expect(try log.read().report.findings.contains(.missing(1...1)))
        log.files.names[other.folder + "/" + names[1].text] = node
        #expect(try other.read().report.findings.contains(.misplaced(names[1])))
        log.files.names[path] = node
        #expect(try log.read(anchor: anchor).report.findings == [])
        try log.files.remove(log.folder + "/" + names[3].text)
        #expect(
            try log.read(anchor: anchor).report.findings == [.rolledBack(anchored: 3, found: 2)])
    }

    @Test("A stream that was put back to an earlier state is noticed by its anchor")
    func rollBack() throws {
        let (log, anchor) = try TestLog.fourSegments()
        let last = try #require(try log.segments().last)
        log.change(last) { $0.removeLast(160) }
        let report = try log.read(anchor: anchor).report
        #expect(report.findings == [.truncated(last)])
        #expect(report.notes == [.open(last, torn: false)])
        var foreign = anchor
        foreign.logKeys = [try .random(): .zero]
        let strangers = try log.read(anchor: foreign).report.findings
        #expect(
            strangers.filter { if case .foreignLogKey = $0 { true } else { false } }.count == 4)
    }

    @Test("A byte that was changed in any segment of a stream is found, in that very segment")
    func changedBytes() throws {
        let (log, anchor) = try TestLog.fourSegments()
        for name in try log.segments() {
            let count = try log.files.contents(
                of: log.folder + "/" + name.text, maximum: 1 << 20
            ).count
            for index in stride(from: 0, to: count, by: 23) {
                log.change(name) { $0[index] ^= 0x10 }
                let findings = try log.read(anchor: anchor).report.findings
                #expect(!findings.isEmpty, "byte \(index) of \(name.number)")
                log.change(name) { $0[index] ^= 0x10 }
            }
        }
        #expect(try log.read(anchor: anchor).report.findings == [])
    }

    @Test("A key ring's entry that is missing, torn, swapped, foreign or from the future is named")
    func keyRing() throws {
        let (log, _) = try TestLog.fourSegments()
        let ring = log.log.keyRing
        let id = try #require(try ring.ids().first)
        let path = ring.folder + "/" + id.text + ".json"
        let node = try #require(log.files.names[path])
        let whole = log.files.nodes[node].bytes
        let problem = { () throws -> KeyRingProblem? in
            for finding in try log.read().report.findings {
                if case .logKey(_, let problem) = finding { return problem }
                if case .segment(_, .foreignKey, _) = finding { return .foreign }
            }
            return nil
        }
        #expect(try problem() == nil)
        for count in whole.indices.dropLast(2) {
            log.files.nodes[node].bytes = Array(whole[..<count])
            guard case .malformed = try problem() else {
                Issue.record("\(count) bytes of the entry were taken for all")
                continue
            }
        }
        let text = String(decoding: whole, as: UTF8.self)
        let change = { (old: String, new: String) in
            log.files.nodes[node].bytes = Array(text.replacingOccurrences(of: old, with: new).utf8)
        }
        change("\"format\": 1", "\"format\": 2")
        #expect(try problem() == .fromTheFuture(format: 2))
        change("\"provider\"", "\"more\": 1, \"provider\"")
        #expect(try problem() == .malformed("an unknown member"))
        change(id.text, try LogIdentifier.random().text)
        #expect(try problem() == .misplaced)
        change(log.streamID.text, try LogIdentifier.random().text)
        #expect(try problem() == .foreign)
        log.files.names[path] = nil
        #expect(try problem() == .missing)
        log.files.names[path] = node
        log.files.nodes[node].bytes = whole
        #expect(try problem() == nil)
    }

    @Test(
        "Whatever call fails, once or for ever, nothing that was made durable is lost",
        arguments: [1024, 2048])
    func failingCalls(largestFrameBytes: Int) throws {
        for failsOn in [false, true] {
            var call = 1
            while true {
                let files = MemoryFiles()
                let log = try TestLog(files, .init(largestFrameBytes: largestFrameBytes))
                files.failingCall = files.calls + call
                files.failsOn = failsOn
                let (durable, made) = self.work(log)
                let wasReached = files.calls >= files.failingCall
                files.failingCall = .max
                files.failsOn = false
                // Another process starts, and all that became durable is there.
                let writer = try log.open()
                _ = writer.append(log.batch(1), now: log.time)
                writer.close(now: log.time)
                let (report, entries) = try log.read()
                #expect(report.findings == [], "call \(call)")
                let found = Set(entries.map(\.sequence))
                #expect(found.count == entries.count, "call \(call): no entry is there twice")
                #expect((0..<durable).allSatisfy { made[$0] == true || found.contains($0) })
                #expect(files.openFiles == 0)
                var audit = NonceAudit()
                audit.add(files)
                #expect(audit.repeats == 0)
                guard wasReached else { break }
                call += 1
            }
            #expect(call > 30)
        }
    }

    /// Some work of a stream; gives the number below which all is durable, and which were lost.
    private func work(_ log: TestLog) -> (durable: UInt64, lost: [UInt64: Bool]) {
        var lost: [UInt64: Bool] = [:]
        guard let writer = try? log.open() else { return (0, lost) }
        for round in 0..<6 {
            let taken = writer.append(log.batch(4, bodyBytes: 400), now: log.time)
            for sequence in taken.upperBound..<writer.nextSequence { lost[sequence] = true }
            log.pass(milliseconds: round == 3 ? 16 * 60_000 : 1)
            writer.write(now: log.time)
            if round % 2 == 1 { _ = writer.synchronize(now: log.time) }
            writer.resume(now: log.time)
        }
        let durable = writer.durableSequence
        writer.close(now: log.time)
        return (writer.failure == nil ? writer.durableSequence : durable, lost)
    }

    @Test(
        "A full disk: what fits is kept, the rest is counted exactly, and it goes on with room",
        arguments: [4096, 8192])
    func diskFull(largestFrameBytes: Int) throws {
        let files = MemoryFiles()
        let log = try TestLog(
            files, .init(largestFrameBytes: largestFrameBytes, retainedBytes: 20_000),
            reserveBytes: 50_000)
        let writer = try log.open()
        files.capacity = 120_000
        var taken: Set<UInt64> = []
        for _ in 0..<60 {
            taken.formUnion(writer.append(log.batch(5, bodyBytes: 1000), now: log.time))
            _ = writer.synchronize(now: log.time)
            writer.resume(now: log.time)
        }
        #expect(writer.failure?.isDiskFull == true)
        #expect(taken.count < 300 && writer.nextSequence == 300)
        files.capacity = .max
        writer.resume(now: log.time)
        #expect(writer.failure == nil && writer.durableSequence == 300)
        taken.formUnion(writer.append(log.batch(5), now: log.time))
        writer.close(now: log.time)
        let (report, entries) = try log.read()
        #expect(report.findings == [])
        #expect(Set(entries.map(\.sequence)) == taken && entries.count == taken.count)
        var lost: UInt64 = 0
        for case .gap(_, let gap) in report.notes {
            #expect(gap.reason == .diskFull)
            lost += gap.entries
        }
        #expect(lost == 305 - UInt64(taken.count))
    }

    @Test("On a full disk the reserve lets a stream end with its gap and final frame")
    func reserve() throws {
        let files = MemoryFiles()
        let log = try TestLog(
            files, .init(largestFrameBytes: 4096, retainedBytes: 5000), reserveBytes: 50_000)
        let writer = try log.open()
        files.capacity = 80_000
        for _ in 0..<30 {
            _ = writer.append(log.batch(5, bodyBytes: 1000), now: log.time)
            _ = writer.synchronize(now: log.time)
        }
        #expect(writer.failure?.isDiskFull == true)
        writer.close(now: log.time)
        #expect(writer.failure == nil)
        let (report, entries) = try log.read()
        #expect(report.findings == [])
        var lost: UInt64 = 0
        for case .gap(_, let gap) in report.notes { lost += gap.entries }
        #expect(lost > 0 && lost + UInt64(entries.count) == 150)
    }

    @Test(
        "A reserve smaller than what waits takes some of it, and the count of the rest",
        arguments: [SegmentHeader.Flags.bodies, [.bodies, .padded]])
    func smallReserve(flags: SegmentHeader.Flags) throws {
        let files = MemoryFiles()
        let log = try TestLog(
            files, .init(flags: flags, largestFrameBytes: 4096, retainedBytes: 100_000),
            reserveBytes: 50_000)
        let writer = try log.open()
        files.capacity = 80_000
        for _ in 0..<30 {
            _ = writer.append(log.batch(5, bodyBytes: 1000), now: log.time)
            _ = writer.synchronize(now: log.time)
        }
        writer.close(now: log.time)
        #expect(writer.failure == nil)
        let (report, entries) = try log.read()
        #expect(report.findings == [])
        #expect(self.losses(report) + entries.count == 150)
        #expect(self.losses(report) > 0)
        // Some are in the reserve, besides what was there before; padded ones take more room.
        #expect(entries.count > (flags.contains(.padded) ? 15 : 30))
    }

    @Test("Where even the count finds no room, the anchor has it, and the next start tells it")
    func noRoomAtTheEnd() throws {
        let files = MemoryFiles()
        let log = try TestLog(files, .init(largestFrameBytes: 4096, retainedBytes: 10_000))
        let writer = try log.open()
        files.capacity = 20_000
        for _ in 0..<10 {
            _ = writer.append(log.batch(5, bodyBytes: 1000), now: log.time)
            _ = writer.synchronize(now: log.time)
        }
        writer.close(now: log.time)
        #expect(writer.failure?.isDiskFull == true)
        let anchor = try #require(writer.takeAnchor())
        files.capacity = .max
        let next = try log.open(anchor: anchor)
        _ = next.append(log.batch(1), now: log.time)
        next.close(now: log.time)
        let (report, entries) = try log.read(anchor: next.anchor)
        #expect(report.findings == [])
        #expect(self.losses(report) + entries.count == 51)
        #expect(entries.last?.sequence == 50)
    }

    /// How many entries a full disk cost, as the gaps tell it.
    private func losses(_ report: StreamReport) -> Int {
        report.notes.reduce(0) { sum, note in
            guard case .gap(_, let gap) = note else { return sum }
            #expect(gap.reason == .diskFull)
            return sum + Int(gap.entries)
        }
    }

    @Test("A log folder that cannot be written is refused at the start")
    func unwritable() throws {
        let files = MemoryFiles()
        files.failingCall = 1
        files.failsOn = true
        files.failure = 13
        #expect(throws: SealedLogError.self) { _ = try TestLog(files) }
    }

    @Test("Queue losses stand in the stream where they happened, with exact counts")
    func queueLosses() throws {
        let log = try TestLog()
        let writer = try log.open()
        _ = writer.append(log.batch(2), now: log.time)
        writer.count(lost: 3, bodies: 4, .queueFull, now: log.time)
        #expect(writer.append(log.batch(2), now: log.time) == 5..<7)
        writer.count(lost: 0, bodies: 2, .queueFull, now: log.time)
        writer.close(now: log.time)
        let (report, entries) = try log.read()
        #expect(report.findings == [])
        #expect(entries.map(\.sequence) == [0, 1, 5, 6])
        var gaps: [GapPayload] = []
        for case .gap(_, let gap) in report.notes { gaps.append(gap) }
        #expect(gaps.map(\.firstSequence) == [2, 7] && gaps.map(\.entries) == [3, 0])
        #expect(gaps.map(\.bodies) == [4, 2])
    }

    @Test("A count of losses that is the last thing before a kill is not forgotten by the restart")
    func gapBeforeKill() throws {
        let log = try TestLog()
        let killed = try log.open()
        _ = killed.append(log.batch(2), now: log.time)
        killed.count(lost: 3, bodies: 1, .queueFull, now: log.time)
        let writer = try log.open()
        #expect(writer.append(log.batch(1), now: log.time) == 5..<6)
        writer.close(now: log.time)
        let (report, entries) = try log.read()
        #expect(report.findings == [])
        #expect(entries.map(\.sequence) == [0, 1, 5])
        withExtendedLifetime(killed) {}
    }

    @Test("A file that claims a number no stream gets to is refused, and reported by name")
    func impossibleNumber() throws {
        for number in [UInt64.max, 1 << 63] {
            let (log, anchor) = try TestLog.fourSegments()
            var names: [SegmentName] = []
            for _ in 0..<2 {
                let name = SegmentName(number: number, segmentID: try .random())
                let path = log.folder + "/" + name.text
                log.files.close(try log.files.create(path))
                names.append(name)
            }
            #expect(throws: SealedLogError.self) { _ = try log.open() }
            let report = try log.read(anchor: anchor).report
            #expect(report.findings.count == 2)
            #expect(report.notes == [])
        }
    }
}
