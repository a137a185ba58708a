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
    private static let ok200 = field(":status", "200")
    /// A literal without indexing, its name a new one.
    private static func field(_ name: String, _ value: String) -> String {
        let bytes = [0, UInt8(name.utf8.count)] + Array(name.utf8) + [UInt8(value.utf8.count)]
        return String(decoding: bytes, as: UTF8.self) + value
    }
    private static let begun = frame(0, 0, stream: 1, "ok")
    /// An answer of unknown length that has begun.
    private static let open = settings + head("200") + begun
    private static func trailers(_ fields: String, flags: UInt8 = 5) -> String {
        frame(1, flags, stream: 1, fields)
    }
    /// 125 trailer fields, 25 a frame.
    private static let manyTrailers: String = {
        let fields = String(repeating: field("x", "y"), count: 25)
        return frame(1, 1, stream: 1, fields)
            + (1...4).map { frame(9, $0 == 4 ? 4 : 0, stream: 1, fields) }.joined()
    }()
    /// A head that says how long the body is.
    private static func sized(_ length: String) -> String {
        settings + frame(1, 4, stream: 1, ok200 + field("content-length", length))
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

    @Test("a backend that takes no streams for now is waited for, on the connection there is")
    func heldBack() async throws {
        // SETTINGS_MAX_CONCURRENT_STREAMS of nothing; the first request was on its way.
        let (statuses, connections) = try await Self.statuses(count: 3) { _ in
            .send(Self.frame(4, 0, stream: 0, "\0\u{3}\0\0\0\0"))
        }
        #expect(statuses == [408, 408, 408])
        #expect(connections == 1)
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
            Sent(
                "name in half",
                settings + frame(1, 5, stream: 1, ok200 + field("x-requesT-id", "b"))),
            Sent("no name", settings + frame(1, 5, stream: 1, ok200 + field("", "b"))),
            Sent(
                "CR for -", settings + frame(1, 5, stream: 1, ok200 + field("content\rtype", "b"))),
            Sent("space in name", settings + frame(1, 5, stream: 1, ok200 + field("a b", "b"))),
            Sent("LF in value", settings + frame(1, 5, stream: 1, ok200 + field("x", "b\nc"))),
            Sent("DEL in value", settings + frame(1, 5, stream: 1, ok200 + field("x", "\u{7f}"))),
            Sent("blank value end", settings + frame(1, 5, stream: 1, ok200 + field("x", "b "))),
            Sent("te", settings + frame(1, 5, stream: 1, ok200 + field("te", "gzip"))),
            Sent("connection", settings + frame(1, 5, stream: 1, ok200 + field("connection", "x"))),
            Sent(
                "transfer-encoding",
                settings + frame(1, 5, stream: 1, ok200 + field("transfer-encoding", "chunked"))),
            Sent("late status", settings + frame(1, 5, stream: 1, field("x", "y") + ok200)),
            Sent("no status", settings + frame(1, 5, stream: 1, field("x", "y"))),
            Sent("path", settings + frame(1, 5, stream: 1, ok200 + field(":path", "/"))),
            Sent("status 20", settings + head("20", flags: 5)),
            Sent("status 2000", settings + frame(1, 5, stream: 1, field(":status", "2000"))),
            Sent("status +20", settings + head("+20", flags: 5)),
            Sent("100 and the end", settings + head("100", flags: 5)),
            Sent("100 and DATA", settings + head("100") + frame(0, 1, stream: 1, "ok")),
            Sent(
                "length without body",
                settings + frame(1, 5, stream: 1, ok200 + field("content-length", "2"))),
            Sent(
                "two lengths",
                settings
                    + frame(
                        1, 4, stream: 1,
                        ok200 + field("content-length", "2") + field("content-length", "2"))
                    + frame(0, 1, stream: 1, "ok")),
            Sent(
                "length of letters",
                settings + frame(1, 4, stream: 1, ok200 + field("content-length", "a"))
                    + frame(0, 1, stream: 1, "ok")),
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

    @Test(
        "an answer whose body or end is not as it said breaks off for the client",
        arguments: [
            Sent("too long", sized("2") + frame(0, 1, stream: 1, "oka")),
            Sent("too short", sized("3") + frame(0, 1, stream: 1, "ok")),
            Sent("too short with trailers", sized("3") + begun + trailers(field("x", "y"))),
            Sent("trailers that are not the end", open + trailers(field("x", "y"), flags: 4)),
            Sent("a status in trailers", open + trailers(ok200)),
            Sent("a path in trailers", open + trailers(field(":path", "/"))),
            Sent("upper case in trailers", open + trailers(field("X", "y"))),
            Sent("connection in trailers", open + trailers(field("connection", "y"))),
            Sent("no name in trailers", open + trailers(field("", "y"))),
            Sent("more than a hundred trailers", open + manyTrailers),
        ])
    func brokenBody(_ reply: Sent) async throws {
        let (statuses, _) = try await Self.statuses { _ in .send(reply.text) }
        #expect(statuses == [0])
    }

    @Test(
        "what comes after a complete answer does not reach its client; the connection is not used again",
        arguments: [
            Sent("204 and DATA", settings + head("204") + frame(0, 1, stream: 1, "ok")),
            Sent("a byte too many", sized("2") + begun + frame(0, 1, stream: 1, "a")),
            Sent("trailers with a length", sized("2") + begun + trailers(field("connection", "y"))),
        ])
    func afterTheEnd(_ reply: Sent) async throws {
        let (statuses, connections) = try await Self.statuses(count: 2) { connection in
            .send(connection == 1 ? reply.text : Self.ok)
        }
        #expect([200, 204].contains(statuses.first) && statuses.last == 200)
        #expect(connections == 2)
    }

    @Test(
        "what HTTP/2 allows comes through",
        arguments: [
            Sent("100 before", settings + head("100") + head("200") + frame(0, 1, stream: 1, "ok")),
            Sent(
                "trailers",
                sized("2") + frame(0, 0, stream: 1, "ok") + frame(1, 5, stream: 1, field("x", "y"))),
            Sent(
                "te: trailers", settings + frame(1, 5, stream: 1, ok200 + field("te", "Trailers"))),
            Sent("no value", settings + frame(1, 5, stream: 1, ok200 + field("x", ""))),
            Sent("_ and HT", settings + frame(1, 5, stream: 1, ok200 + field("x_y", "a\tb"))),
            Sent(
                "length 0", settings + frame(1, 5, stream: 1, ok200 + field("content-length", "0"))),
        ])
    func allowed(_ reply: Sent) async throws {
        let (statuses, connections) = try await Self.statuses { _ in .send(reply.text) }
        #expect(statuses == [200] && connections == 1)
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
