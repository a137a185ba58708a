import Cryptography
import Testing

@testable import SealedLog

@Suite struct EntryAssemblerTests {
    private let entries: [UInt8]

    init() throws {
        var batch = EntryBatch()
        for number in UInt64(0)..<3 {
            batch.begin(
                number == 1 ? .event : .request, nanoseconds: number,
                requestID: LogIdentifier(high: 1, low: number))
            batch.append(.endpoint, "iris")
            if number == 2 { batch.append(.path, "") }
            batch.append(.body, [UInt8](repeating: UInt8(number), count: 20).rawSpan)
            batch.append(.bodyBytes, UInt64(20))
            batch.end()
        }
        batch.setSequence(from: 7)
        self.entries = batch.bytes.array
    }

    /// Which entries begin in each of the pieces, and what an assembler gives for them.
    private func read(
        _ bytes: [UInt8], cut cuts: [Int], _ wanted: EntryFilter? = EntryFilter()
    ) -> [LogEntry]? {
        var assembler = EntryAssembler(wanted)
        var found: [LogEntry] = []
        var start = 0
        for end in cuts + [bytes.count] {
            let begins = self.begins.filter { start..<end ~= $0 }
            var flags: FrameHeader.Flags =
                start > 0 && !self.begins.contains(start)
                ? .continuation : []
            if end < bytes.count, !self.begins.contains(end) { flags.insert(.continues) }
            let header = FrameHeader(
                type: .entries, flags: flags, index: 0,
                firstSequence: 7 + UInt64(self.begins.filter { $0 < start }.count)
                    - (flags.contains(.continuation) ? 1 : 0),
                entries: UInt32(begins.count), plaintextBytes: end - start)
            guard let part = assembler.entries(of: Array(bytes[start..<end]).rawSpan, header)
            else { return nil }
            found += part
            start = end
        }
        return found
    }

    /// Where entries begin.
    private var begins: [Int] {
        var begins: [Int] = []
        var offset = 0
        while offset < self.entries.count {
            begins.append(offset)
            offset += 4 + Int(self.entries.rawSpan.bigEndian(UInt32.self, at: offset))
        }
        return begins
    }

    @Test("entries are the same however they are cut into frames")
    func cuts() throws {
        let whole = try #require(self.read(self.entries, cut: []))
        #expect(whole.map(\.sequence) == [7, 8, 9])
        #expect(whole.map(\.kind) == [.request, .event, .request])
        #expect(whole[2][.path] == [] && whole[2][.body] == [UInt8](repeating: 2, count: 20))
        #expect(whole.map { $0.fields.count } == [3, 3, 4])
        for first in 1..<self.entries.count {
            #expect(self.read(self.entries, cut: [first]) == whole, "\(first)")
            for second in [first + 1, first + 5, first + 41] where second < self.entries.count {
                #expect(self.read(self.entries, cut: [first, second]) == whole)
            }
        }
        let single = Array(1..<self.entries.count)
        #expect(self.read(self.entries, cut: single) == whole)
    }

    @Test("what is not wanted has no fields, but for events")
    func unwanted() throws {
        var wanted = EntryFilter()
        wanted.requestID = LogIdentifier(high: 1, low: 2)
        let some = try #require(self.read(self.entries, cut: [50, 90], wanted))
        #expect(some.map { $0.fields.count } == [0, 3, 4])
        let none = try #require(self.read(self.entries, cut: [50, 90], nil))
        #expect(none.map { $0.fields.count } == [0, 3, 0])
        #expect(none.map(\.sequence) == [7, 8, 9])
    }

    @Test("what is no entry is told, whatever is wanted")
    func malformed() {
        let second = self.begins[1]
        for (offset, value) in [
            // Shorter than a head, longer than the frame says, a kind that is none, bytes that are
            // zero, another number, a field longer than its entry, tags that do not ascend.
            (second + 3, 10), (second + 3, 255), (second + 4, 9), (second + 6, 1),
            (second + 15, 1), (second + 45, 200), (second + 51, 1),
        ] as [(Int, UInt8)] {
            var bytes = self.entries
            bytes[offset] = value
            for wanted in [EntryFilter(), nil] {
                #expect(self.read(bytes, cut: [], wanted) == nil, "\(offset - second)")
                #expect(self.read(bytes, cut: [second + 20], wanted) == nil)
            }
        }
        #expect(self.read(Array(self.entries.dropLast()), cut: []) == nil)
        #expect(self.read(self.entries + [0], cut: []) == nil)
    }
}
