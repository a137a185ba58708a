import NIOCore
import Testing

@Suite(
    "HTTP/2 clients that stand still", .serialized,
    .stage(StageSetup(limits: "{header_timeout_ms: 1000, idle_timeout_ms: 1000}")))
struct StalledStreamTests {
    @Test(
        "a head that does not come, or not whole, ends the connection",
        arguments: [
            [], RawFrame.preface, RawFrame.start,
            RawFrame.start + RawFrame.headers([("a", "b")], endsHeaders: false),
            RawFrame.start + RawFrame.headers([(":method", "POST"), ("a", "b")]).dropLast(3),
        ])
    func head(_ bytes: [UInt8]) async throws {
        let client = try await Stage.current.connect(alpn: ["h2"])
        await client.send(bytes)
        #expect(await client.untilClosed(.seconds(20)) != nil)
    }

    @Test("a connection without streams ends with GOAWAY after the idle time")
    func idle() async throws {
        let stage = try Stage.current
        let client = try await stage.connectHTTP2()
        await client.send(RawFrame.headers(stage.fields("GET")))
        await client.frames { $0.contains { $0.type == 1 } }
        #expect(await client.untilClosed(.seconds(20)) != nil)
        #expect(client.frames.last { $0.type == 7 }?.code == 0)
    }
}
