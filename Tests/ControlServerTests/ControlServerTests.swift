import ControlServer
import Cryptography
import HTTPTransport
import NIOCore
import Synchronization
import Testing

@Suite("Control server", .timeLimit(.minutes(10)))
struct ControlServerTests {
    /// Says what it was asked.
    private static func said(_ request: ControlRequest) -> ControlAnswer {
        var answer = ControlAnswer(
            status: 201, contentType: "text/plain",
            text: [
                request.path, request.parameters["name"] ?? "-", request.query["q"] ?? "-",
                request.field("X-Some") ?? "-", request.peer?.identity.text ?? "nobody",
                String(decoding: request.body, as: UTF8.self),
            ].joined(separator: "|"))
        answer.fields["X-Serial"] = request.peer?.certificate.serial
        return answer
    }

    private static var routes: [ControlRoute] {
        [
            ControlRoute(.post, "/items/:name/make") { Self.said($0) },
            ControlRoute(.get, "/items/:name") { Self.said($0) },
            ControlRoute(.post, "/large", bodyBytes: 100_000) { Self.said($0) },
        ]
    }

    @Test("a route gets path, query, fields, body, and who asks")
    func echo() async throws {
        let served = try await ServedRoutes.start(.mutual, Self.routes)
        let answer = try await served.ask(
            "/items/a-1/make?q=x%20y", .post, body: Array("body".utf8),
            fields: [("x-some", "thing")])
        #expect(answer.status == 201)
        #expect(
            String(decoding: answer.body, as: UTF8.self)
                == "/items/a-1/make|a-1|x y|thing|spiffe://test.local/gateway/edge|body")
        #expect(answer.value(of: "x-serial")?.count == 32)
        #expect(answer.value(of: "cache-control") == "no-store")
        #expect(try await served.ask("/items/a").status == 201)
        let unknown = try await served.ask("/nothing")
        #expect(unknown.status == 404)
        #expect(String(decoding: unknown.body, as: UTF8.self).contains(#""code":"NotFound""#))
        let other = try await served.ask("/items/a", .delete)
        #expect(other.status == 405 && other.value(of: "allow") == "GET")
        #expect(String(decoding: other.body, as: UTF8.self).contains(#""code":"MethodNotAllowed""#))
        await #expect(throws: (any Error).self) { try await served.ask("/items/a", as: nil) }
        await served.stop()
    }

    @Test("a listener for those without a certificate knows nobody")
    func serverOnly() async throws {
        let served = try await ServedRoutes.start(.server, Self.routes)
        for name in [nil, "edge"] {
            let answer = try await served.ask("/items/a", as: name)
            #expect(String(decoding: answer.body, as: UTF8.self).contains("|nobody|"))
        }
        await served.stop()
    }

    @Test("a body is bounded for each route, and where there is none")
    func bodies() async throws {
        let served = try await ServedRoutes.start(.mutual, Self.routes)
        let sizes = [
            ("/items/a/make", 65_536, 201), ("/items/a/make", 65_537, 413),
            ("/large", 100_000, 201), ("/large", 100_001, 413), ("/nothing", 70_000, 404),
            ("/nothing", 100_001, 413),
        ]
        for (path, count, status) in sizes {
            let body = [UInt8](repeating: 120, count: count)
            let answer = try await served.ask(path, .post, body: body)
            #expect(answer.status == status, "\(path) \(count)")
        }
        await served.stop()
    }

    @Test("a peer that is denied is cut off in mid-answer and not let in again; others stay")
    func denied() async throws {
        let isDenied = Flag()
        let (pieces, feed) = AsyncStream<[UInt8]>.makeStream()
        let served = try await ServedRoutes.start(
            .mutual,
            [
                ControlRoute(.get, "/stream") { _ in
                    ControlAnswer(
                        status: 200, contentType: "text/plain", body: .stream(pieces))
                }
            ],
            isAdmitted: { _ in !isDenied.value.load(ordering: .relaxed) })
        feed.yield(Array("one".utf8))
        let streaming = Task { try await served.ask("/stream") }
        while served.connections.count == 0 { await Task.yield() }
        served.connections.close { $0.identity.name == "other" }
        #expect(served.connections.count == 1)
        isDenied.value.store(true, ordering: .relaxed)
        served.connections.close { $0.identity.name == "edge" }
        await #expect(throws: (any Error).self) { try await streaming.value }
        await #expect(throws: (any Error).self) { try await served.ask("/stream") }
        while served.connections.count > 0 { await Task.yield() }
        await served.stop()
    }

    @Test("a stream's pieces arrive as they are sent, and its end ends a drain")
    func drained() async throws {
        let (pieces, feed) = AsyncStream<[UInt8]>.makeStream()
        let (signal, begin) = AsyncStream<Void>.makeStream()
        let served = try await ServedRoutes.start(
            .mutual,
            [
                ControlRoute(.get, "/stream") { _ in
                    ControlAnswer(
                        status: 200, contentType: "text/event-stream", body: .stream(pieces))
                }
            ], drain: { for await _ in signal {} })
        async let streaming = served.ask("/stream")
        while served.connections.count == 0 { await Task.yield() }
        feed.yield(Array("one ".utf8))
        begin.finish()
        feed.yield(Array("two".utf8))
        feed.finish()
        let answer = try await streaming
        #expect(String(decoding: answer.body, as: UTF8.self) == "one two")
        try await served.ended()
        await #expect(throws: (any Error).self) { try await served.ask("/stream") }
    }

    @Test("one source has so many connections and no more; others have theirs")
    func bounded() async throws {
        let (pieces, feed) = AsyncStream<[UInt8]>.makeStream()
        let isOther = Flag()
        var limits = ControlLimits()
        limits.connectionsPerSource = 2
        limits.source = { address in
            #expect(address == "127.0.0.1")
            return isOther.value.load(ordering: .relaxed) ? "other" : "one"
        }
        let served = try await ServedRoutes.start(
            .server,
            Self.routes + [
                ControlRoute(.get, "/stream") { _ in
                    ControlAnswer(status: 200, contentType: "text/plain", body: .stream(pieces))
                },
                ControlRoute(.get, "/wait") { _ in
                    ControlAnswer(
                        status: 200, contentType: "text/plain",
                        body: .stream(AsyncStream { _ in }))
                },
            ], limits: limits)
        let streaming = Task { try await served.ask("/stream", as: nil, timeout: .minutes(5)) }
        let waiting = Task { try await served.ask("/wait", as: nil, timeout: .minutes(5)) }
        while served.connections.count < 2 { await Task.yield() }
        await #expect(throws: (any Error).self) { try await served.ask("/items/a", as: nil) }
        isOther.value.store(true, ordering: .relaxed)
        #expect(try await served.ask("/items/a", as: nil).status == 201)
        isOther.value.store(false, ordering: .relaxed)
        // One that ends makes room.
        feed.finish()
        #expect(try await streaming.value.status == 200)
        var status: Int?
        while status != 201 { status = try? await served.ask("/items/a", as: nil).status }
        waiting.cancel()
        await served.stop()
        _ = await waiting.result
    }

    @Test("a connection without a request ends after the idle timeout")
    func idle() async throws {
        var limits = ControlLimits()
        limits.idleTimeout = .milliseconds(200)
        let served = try await ServedRoutes.start(.mutual, Self.routes, limits: limits)
        #expect(try await served.ask("/items/a").status == 201)
        while served.connections.count > 0 { await Task.yield() }
        await served.stop()
    }
}

/// An atomic that closures can share.
private final class Flag: Sendable {
    let value = Atomic(false)
}
