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

    @Test(
        "an answer that has begun and stands still breaks off after the idle time",
        arguments: ["http/1.1", "h2"])
    func answer(alpn: String) async throws {
        let stage = try Stage.current
        let path = "/stalled-\(alpn.prefix(2))"
        stage.backend.script(
            path,
            [
                .receiveRequest,
                .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n"), .hang,
            ])
        let client = try await stage.connect(alpn: [alpn])
        if alpn == "h2" {
            await client.send(RawFrame.start + RawFrame.headers(stage.fields("GET", path)))
            let frames = await client.frames { $0.contains { $0.type == 3 } }
            #expect(frames.first { $0.type == 1 }?.status == 200)
            #expect(frames.contains { $0.type == 0 && $0.payload == Array("begun".utf8) })
            #expect(frames.contains { $0.type == 3 && $0.stream == 1 })
        } else {
            await client.send(stage.request("GET", path))
            let text = String(decoding: await client.untilClosed() ?? [], as: UTF8.self)
            #expect(text.hasPrefix("HTTP/1.1 200") && text.hasSuffix("begun\r\n"), "\(text)")
        }
        #expect(await BackendAnswerTests.isClosed(after: path, stage))
        let log = try await stage.accessLog { $0.contains { $0.contains(path) } }
        #expect(log.contains { $0.contains(path) && $0.contains("request_timeout") }, "\(log)")
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
