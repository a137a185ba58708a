import HTTPTransport
import NIOCore
import Testing

@testable import Gateway

/// Backends that speak HTTP/2 badly, or say no.
///
/// All bytes they send are below 128, as the script's text needs.
@Suite("Exchange with HTTP/2 backends", .timeLimit(.minutes(10)))
struct HTTP2BackendTests {
    private static func frame(
        _ type: UInt8, _ flags: UInt8 = 0, stream: UInt8 = 0, _ payload: String = ""
    ) -> String {
        let header: [UInt8] = [
            0, 0, UInt8(payload.utf8.count), type, flags, 0, 0, 0, stream,
        ]
        return String(decoding: header, as: UTF8.self) + payload
    }

    private static let settings = frame(4)
    private static let refused = settings + frame(3, stream: 1, "\0\0\0\u{7}")
    private static let goAway = settings + frame(7, 0, stream: 0, "\0\0\0\0\0\0\0\0")
    /// `:status` by its number in the static table, as a literal.
    private static func head(_ status: String, flags: UInt8 = 4) -> String {
        frame(1, flags, stream: 1, "\u{8}\u{3}\(status)")
    }
    private static let ok = settings + head("200") + frame(0, 1, stream: 1, "ok")

    /// Before a backend that replies to each connection's preface as `script` says; POSTs `count`
    /// times, one after the other.
    private static func statuses(
        count: Int = 1, _ script: @escaping @Sendable (_ connection: Int) -> Reply
    ) async throws -> (statuses: [Int], connections: Int) {
        let backend = try await ScriptedBackend { connection, request, _ in
            // The preface has two empty lines.
            request == 1 ? script(connection) : .nothing
        }
        let bench = try await ExchangeBench([backend]) {
            $0.endpoints[0].deployments[0].version = .http2
            $0.endpoints[0].deployments[0].requestTimeoutMilliseconds = 3000
        }
        var statuses: [Int] = []
        do {
            for _ in 0..<count {
                statuses.append(try await bench.ask(.post, body: Array("data".utf8)).status)
            }
        } catch {
            statuses.append(0)
        }
        let connections = backend.requests.count { $0.hasPrefix("PRI ") }
        await bench.stop()
        return (statuses, connections)
    }

    /// What a backend sends, with a name that can be printed.
    struct Sent: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let text: String

        init(_ name: String, _ text: String) {
            self.testDescription = name
            self.text = text
        }
    }

    @Test("an HTTP/2 backend's answer comes through")
    func answered() async throws {
        let (statuses, connections) = try await Self.statuses { _ in .send(Self.ok) }
        #expect(statuses == [200] && connections == 1)
    }

    @Test(
        "what a backend has not touched is asked for once more, on another connection",
        arguments: [Sent("REFUSED_STREAM", refused), Sent("GOAWAY", goAway)])
    func untouched(_ reply: Sent) async throws {
        let (statuses, connections) = try await Self.statuses { connection in
            .send(connection == 1 ? reply.text : Self.ok)
        }
        #expect(statuses == [200] && connections == 2)
        let again = try await Self.statuses { _ in .send(reply.text) }
        #expect(again.statuses == [502] && again.connections == 2)
    }

    @Test(
        "a backend that breaks HTTP/2 is 502, and its connection not used again",
        arguments: [
            Sent("HTTP/1.1", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
            Sent("status abc", settings + head("abc")), Sent("status 099", settings + head("099")),
            Sent("status 101", settings + head("101")),
            Sent("upper case", settings + frame(1, 5, stream: 1, "\0\u{1}A\u{1}b")),
            Sent("two", settings + frame(1, 5, stream: 1, "\u{8}\u{3}200\u{8}\u{3}200")),
            Sent("upgrade", settings + frame(1, 5, stream: 1, "\u{8}\u{3}200\0\u{7}upgrade\u{1}b")),
            Sent("DATA first", settings + frame(0, 1, stream: 1, "ok")),
            Sent("idle stream", settings + frame(1, 5, stream: 9, "\u{8}\u{3}200")),
            Sent("push", settings + frame(5, 4, stream: 1, "\0\0\0\u{2}")),
        ])
    func malformed(_ reply: Sent) async throws {
        let (statuses, connections) = try await Self.statuses(count: 2) { connection in
            .send(connection == 1 ? reply.text : Self.ok)
        }
        #expect(statuses == [502, 200])
        #expect(connections == 2)
    }

    @Test("a backend that closes without an answer is 502 for a POST")
    func closed() async throws {
        let (statuses, connections) = try await Self.statuses { _ in .close }
        #expect(statuses == [502] && connections == 1)
    }

    @Test(
        "an answer that breaks off breaks off for the client",
        arguments: [true, false])
    func cut(isReset: Bool) async throws {
        let begun = Self.settings + Self.head("200") + Self.frame(0, 0, stream: 1, "o")
        let reset = Self.frame(3, stream: 1, "\0\0\0\u{2}")
        let (statuses, _) = try await Self.statuses { _ in
            isReset ? .send(begun + reset) : .sendAndClose(begun)
        }
        #expect(statuses == [0])
    }
}
