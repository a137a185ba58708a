import NIOCore
import Testing

@Suite(
    "Backpressure", .serialized, .stage(StageSetup(requestTimeoutMilliseconds: 60_000)))
struct BackpressureTests {
    /// 64 MiB: what no buffer of the kernel holds.
    private static let large = 64 << 20
    /// 12 MiB: what the gateway may grow by, whatever size bodies have.
    private static let allowedKilobytes = 12 << 10

    /// Waits until `count` has stood still for a while, and gives it.
    private static func settled(_ count: () -> Int) async throws -> Int {
        var last = -1
        _ = try await eventually(.seconds(30), every: .milliseconds(500)) {
            let now = count()
            defer { last = now }
            return now > 0 && now == last
        }
        return last
    }

    @Test("A client that does not read stops the backend's answer, and gets it when it reads")
    func slowReader() async throws {
        let stage = try Stage.current
        stage.backend.script(
            "/large",
            [
                .receiveRequest,
                .send("HTTP/1.1 200 OK\r\nContent-Length: \(Self.large)\r\n\r\n"),
                .stream(Self.large), .hang,
            ])
        try await stage.expectNextRequestWorks()
        let before = stage.gateway.residentKilobytes
        let client = try await stage.connect()
        await client.setReading(false)
        await client.send(stage.request("GET", "/large"))
        _ = await stage.backend.requests(path: "/large")
        _ = try await Self.settled { stage.gateway.residentKilobytes }
        #expect(stage.gateway.residentKilobytes - before < Self.allowedKilobytes)
        await client.setReading(true)
        #expect(await client.received.wait(.seconds(60)) { $0.bytes.count > Self.large / 2 })
        #expect(stage.gateway.residentKilobytes - before < Self.allowedKilobytes)
        await client.close()
        try await stage.expectNextRequestWorks()
    }

    @Test("That a client does not read its answer is no fault of the backend")
    func blame() async throws {
        let stage = try await Stage.start(StageSetup(limits: "{idle_timeout_ms: 500}"))
        stage.backend.script(
            "/large",
            [
                .receiveRequest,
                .send("HTTP/1.1 200 OK\r\nContent-Length: \(Self.large)\r\n\r\n"),
                .stream(Self.large), .hang,
            ])
        do {
            let client = try await stage.connect()
            await client.setReading(false)
            await client.send(stage.request("GET", "/large"))
            let log = try await stage.accessLog(1)
            #expect(log.allSatisfy { $0.contains(#""ErrorSource":"downstream""#) })
        } catch {
            await stage.stop()
            throw error
        }
        await stage.stop()
    }

    @Test("A backend that does not read stops the client's body")
    func slowBackend() async throws {
        let stage = try Stage.current
        stage.backend.script("/stuck", [.stopReading, .hang])
        try await stage.expectNextRequestWorks()
        let before = stage.gateway.residentKilobytes
        let client = try await stage.connect()
        await client.send(
            """
            POST /stuck HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(stage.key)\r\n\
            Content-Length: \(Self.large)\r\n\r\n
            """)
        let start = stage.backend.byteCount
        client.post([UInt8](repeating: 0x61, count: Self.large))
        _ = try await Self.settled { stage.gateway.residentKilobytes }
        #expect(stage.gateway.residentKilobytes - before < Self.allowedKilobytes)
        #expect(stage.backend.byteCount - start < Self.large)
        await client.cut()
        try await stage.expectNextRequestWorks()
    }
}
