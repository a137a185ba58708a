import Cryptography
import Testing

@testable import State

@Suite("What the state keeps of a stream of the log") struct LogStreamTests {
    @Test("the highest segment stays the highest, whatever is told after it")
    func highest() throws {
        let folder = StateFolder()
        let store = try StateStore(
            folder: folder.path, rootKey: try SystemRandom.secret(count: 32))
        let id = [UInt8](repeating: 7, count: 16)
        func end(_ number: Int64, _ byte: UInt8) -> LogStreamRecord.End {
            .init(
                number: number, segmentID: [UInt8](repeating: byte, count: 16),
                head: [UInt8](repeating: byte, count: 32), nextSequence: Int64(byte),
                lossReason: Int64(byte))
        }
        _ = try store.logStream(of: "iris", newID: id, now: 1)
        let key = [[UInt8](repeating: 1, count: 16): [UInt8](repeating: 1, count: 32)]
        for (told, kept) in [
            (end(3, 1), end(3, 1)), (end(2, 2), end(3, 1)), (end(3, 3), end(3, 3)),
            (end(4, 4), end(4, 4)),
        ] {
            try store.keepEnd(told, logKeys: told.number == 2 ? key : [:], of: id)
            #expect(try store.logStreams().first?.end == kept)
        }
        // What is known of log keys does not depend on it.
        #expect(try store.logStreams().first?.logKeys == key)
    }

    @Test("a log key is known before the stream has an end; what is known of it stays")
    func logKey() throws {
        let folder = StateFolder()
        let store = try StateStore(
            folder: folder.path, rootKey: try SystemRandom.secret(count: 32))
        let id = [UInt8](repeating: 7, count: 16)
        _ = try store.logStream(of: "iris", newID: id, now: 1)
        let key = [UInt8](repeating: 1, count: 16)
        for byte in [1, 2] as [UInt8] {
            try store.keepLogKey(key, digest: [UInt8](repeating: byte, count: 32), of: id)
            let record = try #require(try store.logStreams().first)
            #expect(record.logKeys == [key: [UInt8](repeating: 1, count: 32)])
            #expect(record.end == nil)
        }
    }

    @Test("a stream is out of use from one generation to another, and its successor is not")
    func suspended() throws {
        let folder = StateFolder()
        let store = try StateStore(
            folder: folder.path, rootKey: try SystemRandom.secret(count: 32))
        func set(_ isSuspended: Bool) throws -> Int64 {
            try store.setLogStream(
                of: "iris", isSuspended: isSuspended, now: 1, actor: "test")
        }
        let before = try set(true)
        #expect(try store.suspendedLogStreams() == [], "there is none")
        _ = try store.logStream(of: "iris", newID: [UInt8](repeating: 1, count: 16), now: 1)
        _ = try store.logStream(of: "rose", newID: [UInt8](repeating: 2, count: 16), now: 1)
        #expect(try set(true) == before + 1)
        #expect(try set(true) == before + 1, "nothing changed")
        #expect(try store.suspendedLogStreams() == ["iris"])
        #expect(try set(false) == before + 2)
        #expect(try store.suspendedLogStreams() == [])
        _ = try set(true)
        try store.retireLogStream(of: "iris", now: 1, actor: "test")
        _ = try store.logStream(of: "iris", newID: [UInt8](repeating: 3, count: 16), now: 1)
        #expect(try store.suspendedLogStreams() == [])
    }
}
