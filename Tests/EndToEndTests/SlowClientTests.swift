import NIOCore
import Testing

/// Clients that hold a connection and hardly use it.
@Suite("Slow clients", .stage(StageSetup(limits: "{header_timeout_ms: 2000}")))
struct SlowClientTests {
    @Test("a head that does not end is answered with 408")
    func head() async throws {
        let client = try await Stage.current.connect()
        await client.send("GET /score HTTP/1.1\r\nHost: localhost\r\n")
        #expect(try await client.answer(method: "GET").status == 408)
        #expect(await client.untilClosed() != nil)
    }

    // Row 146: 240 bytes a second, looked at after ten seconds.
    @Test(
        "a body that hardly comes is answered with 408, or its stream reset",
        arguments: ["http/1.1", "h2"])
    func body(alpn: String) async throws {
        let stage = try Stage.current
        let path = "/slow-\(alpn.prefix(2))"
        stage.backend.script(path, [.receiveRequest, .answer])
        let client = try await stage.connect(alpn: [alpn])
        if alpn == "h2" {
            await client.send(
                RawFrame.start
                    + RawFrame.headers(
                        stage.fields("POST", path, [("content-length", "10000")]),
                        endsStream: false) + RawFrame.data("slow", endsStream: false))
            let frames = await client.frames { $0.contains { $0.type == 3 || $0.type == 1 } }
            #expect(frames.contains { $0.type == 3 || $0.status == 408 })
        } else {
            await client.send(
                stage.request("POST", path).replacing(
                    "Content-Length: 0", with: "Content-Length: 10000") + "slow")
            #expect(try await client.answer().status == 408)
            #expect(await client.untilClosed() != nil)
        }
        // What the backend has heard of it ends, too.
        #expect(await BackendAnswerTests.isClosed(after: path, stage))
        try await stage.expectNextRequestWorks()
    }

    // Row 147: less than 1 KiB in 30 seconds.
    @Test("a client that does not read its answer loses its connection after 30 seconds")
    func reader() async throws {
        let stage = try Stage.current
        let large = 64 << 20
        Self.script("/unread", bytes: large, stage)
        let client = try await stage.connect()
        await client.setReading(false)
        await client.send(stage.request("GET", "/unread"))
        #expect(
            await stage.backend.connections.wait(.seconds(120)) { connections in
                connections.contains { connection in
                    connection.isClosed && connection.requests.contains { $0.path == "/unread" }
                }
            })
        await client.setReading(true)
        let bytes = await client.untilClosed()
        #expect((bytes ?? []).count < large)
        try await stage.expectNextRequestWorks()
    }

    // Row 139: the windows of HTTP/2 allow everything, TCP nothing.
    @Test("100 streams with open windows that nobody reads cost little, and end after 30 seconds")
    func openWindows() async throws {
        let stage = try Stage.current
        let large = 16 << 20
        Self.script("/window", bytes: large, stage)
        try await stage.expectNextRequestWorks()
        let before = stage.gateway.residentKilobytes
        let client = try await stage.connect(alpn: ["h2"])
        await client.setReading(false)
        let largest = UInt32(Int32.max)
        var bytes =
            RawFrame.preface + RawFrame.settings([(4, largest)])
            + RawFrame.windowUpdate(0, largest - 65_535)
        for number in 0..<UInt32(100) {
            bytes += RawFrame.headers(stage.fields("GET", "/window"), stream: number * 2 + 1)
        }
        await client.send(bytes)
        _ = await stage.backend.requests(path: "/window", count: 100)
        #expect(
            await stage.backend.connections.wait(.seconds(120)) { connections in
                connections.filter { $0.requests.contains { $0.path == "/window" } }
                    .allSatisfy(\.isClosed)
            })
        // 64 KiB of each backend's, and what the kernel would not take.
        #expect(stage.gateway.residentKilobytes - before < 24 << 10)
        await client.close()
        try await stage.expectNextRequestWorks()
    }

    /// An answer of so many bytes, and nothing after it.
    private static func script(_ path: String, bytes: Int, _ stage: Stage) {
        stage.backend.script(
            path,
            [
                .receiveRequest, .send("HTTP/1.1 200 OK\r\nContent-Length: \(bytes)\r\n\r\n"),
                .stream(bytes), .hang,
            ])
    }
}
