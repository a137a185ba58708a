import Cryptography
import Foundation
import Testing

@testable import SealedLog

/// The power is lost after each operation, and what was not synchronised is kept, cut, holed or
/// lost piece by piece.
///
/// A round has some 250 cases; `SCOREGATE_SOAK` makes it two rounds for each
/// five, so that its usual 1,000 give 100,000 cases.
@Suite struct PowerCutSoak {
    static let rounds =
        ProcessInfo.processInfo.environment["SCOREGATE_SOAK"].flatMap { Int($0) }
        .map { ($0 * 2 + 4) / 5 } ?? 1

    /// Rounds in which a writer had to name three segments, and lost its power before all were named.
    private static let telling = [98, 121]

    @Test(
        "After a loss of power at any point all that was durable is there, and every file verifies")
    func powerCuts() throws {
        var cases = 0
        var audit = NonceAudit()
        for round in Set(0..<Self.rounds).union(Self.telling) {
            var random = SeededRandom(state: UInt64(round))
            let log = try TestLog(MemoryFiles(), .init(largestFrameBytes: 1024))
            let durable = try self.work(log, &random)
            audit.add(log.files)
            for cut in 0...log.files.operations.count {
                let disk = log.files.afterPowerCut(at: cut, &random)
                let promised = durable.last { $0.operations <= cut }?.sequence ?? 0
                // A second loss of power while the process that starts recovers.
                let first = try TestLog(
                    disk, log.settings, vault: log.vault, streamID: log.streamID)
                let writer = try first.open()
                _ = writer.append(first.batch(3, bodyBytes: 300), now: log.time)
                writer.write(now: log.time)
                let again = disk.afterPowerCut(
                    at: Int.random(in: 0...disk.operations.count, using: &random), &random,
                    before: disk.start)
                for files in [disk, again] {
                    try self.check(files, log, promised, "round \(round), cut \(cut)")
                    cases += 1
                }
                audit.add(disk)
            }
        }
        #expect(audit.repeats == 0)
        #expect(cases > 100 * Self.rounds)
        print("power cuts: \(cases) cases, \(audit.frames) frames, no nonce twice")
    }

    private func check(
        _ files: MemoryFiles, _ log: TestLog, _ promised: UInt64, _ place: String
    ) throws {
        let restarted = try TestLog(
            files, log.settings, vault: log.vault, streamID: log.streamID)
        let writer = try restarted.open()
        _ = writer.append(restarted.batch(1), now: log.time)
        writer.close(now: log.time)
        let (report, entries) = try restarted.read()
        // Entries may be missing that were never promised: a hole in what was not synchronised.
        let findings = report.findings.filter {
            if case .sequenceMissing(_, let expected, _) = $0 { expected < promised } else { true }
        }
        #expect(findings == [], "\(place)")
        let found = Set(entries.map(\.sequence))
        #expect(found.count == entries.count, "\(place): no entry twice")
        #expect((0..<promised).allSatisfy { found.contains($0) }, "\(place): all promised is there")
    }

    /// Work with restarts; gives after which operation which entries were durable.
    private func work(
        _ log: TestLog, _ random: inout SeededRandom
    ) throws -> [(operations: Int, sequence: UInt64)] {
        var durable: [(operations: Int, sequence: UInt64)] = []
        for start in 0..<3 {
            let writer = try log.open()
            for _ in 0..<6 {
                _ = writer.append(
                    log.batch(
                        Int.random(in: 1...4, using: &random),
                        bodyBytes: Int.random(in: 0...1500, using: &random)), now: log.time)
                log.pass(
                    milliseconds: Int.random(in: 0..<6, using: &random) == 0 ? 16 * 60_000 : 1)
                writer.write(now: log.time)
                if Bool.random(using: &random) { _ = writer.synchronize(now: log.time) }
                durable.append((log.files.operations.count, writer.durableSequence))
            }
            // Once as ended in order, otherwise as killed.
            if start == 1 { writer.close(now: log.time) }
            durable.append((log.files.operations.count, writer.durableSequence))
        }
        return durable
    }
}
