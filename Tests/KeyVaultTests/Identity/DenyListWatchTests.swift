import Cryptography
import Foundation
import NIOCore
import Synchronization
import TLS
import Testing

@testable import KeyVault

@Suite("The deny list", .timeLimit(.minutes(5))) struct DenyListWatchTests {
    /// The beginning of a stream of events that says nothing more.
    private static let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"

    /// Follows the list of a vault that does what `script` says until one with `expected` comes.
    private static func follow(
        until expected: String, keptIn folder: String? = nil,
        _ script: @escaping @Sendable (FakeVault.Question) -> FakeVault.Action,
        onSilence: @escaping @Sendable () -> Void = {}
    ) async throws -> (lists: [DenyList], silences: Int) {
        let materials = try VaultMaterials()
        let fake = try await FakeVault(
            materials.vault, clientRoots: materials.root, script)
        let address = try #require(VaultAddress("https://127.0.0.1:\(fake.port)"))
        let watch = DenyListWatch(
            of: address,
            TLSClientConfiguration(
                trustRoots: materials.root, identity: materials.gateway,
                peer: .identity(VaultMaterials.identity), minimumVersion: .tls13), keptIn: folder)
        let (lists, heard) = AsyncStream.makeStream(of: DenyList.self)
        let silences = Mutex(0)
        let following = Task {
            await watch.run {
                heard.yield($0)
            } onSilence: { _ in
                silences.withLock { $0 += 1 }
                onSilence()
            }
        }
        var seen: [DenyList] = []
        for await list in lists {
            seen.append(list)
            if list.denied.contains(expected) { break }
        }
        following.cancel()
        await following.value
        await fake.stop()
        return (seen, silences.withLock { $0 })
    }

    @Test("is asked for when the vault tells of a change")
    func told() async throws {
        let asked = Mutex(0)
        let (lists, _) = try await Self.follow(until: "b") { question in
            if question.path.hasPrefix("/events") {
                let event = "id: x-1\nevent: deny-list\ndata: {}\n\n"
                return .both(
                    .send(Array(Self.head.utf8)),
                    .after(.milliseconds(200), .send(Array(event.utf8))))
            }
            let count = asked.withLock { asked in
                asked += 1
                return asked
            }
            return .answer(200, count == 1 ? #"{"denied":["a"]}"# : #"{"denied":["a","b"]}"#)
        }
        #expect(lists == [DenyList(["a"]), DenyList(["a", "b"])])
    }

    @Test("is asked for again when a connection falls silent, without waiting for its end")
    func silent() async throws {
        let connections = Mutex(0)
        let (lists, silences) = try await Self.follow(until: "b") { question in
            guard question.path.hasPrefix("/events") else {
                // A question that waits at the vault for a change would wait for ever.
                if question.path.contains("?") { return .hang }
                let denied = connections.withLock { $0 } < 2 ? #"["a"]"# : #"["a","b"]"#
                return .answer(200, #"{"denied":\#(denied)}"#)
            }
            connections.withLock { $0 += 1 }
            return .send(Array(Self.head.utf8))
        }
        #expect(lists == [DenyList(["a"]), DenyList(["a", "b"])])
        #expect(silences == 1)
    }

    @Test("is kept in the end where that failed once")
    func kept() async throws {
        let folder = NSTemporaryDirectory() + "scoregate-denied-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let asked = Mutex(0)
        let keptBefore = Mutex(DenyList([]))
        _ = try await Self.follow(until: "b", keptIn: folder) { question in
            if question.path.hasPrefix("/events") { return .send(Array(Self.head.utf8)) }
            // The second time it is asked again because the list could not be kept.
            let count = asked.withLock { asked in
                asked += 1
                return asked
            }
            guard count > 2 else { return .answer(200, #"{"denied":["a"]}"#) }
            keptBefore.withLock { $0 = IdentityFolder(path: folder).denyList }
            return .answer(200, #"{"denied":["a","b"]}"#)
        } onSilence: {
            try? FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true)
        }
        #expect(keptBefore.withLock { $0 } == DenyList(["a"]))
    }
}
