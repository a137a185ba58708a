import NIOCore
import Testing

@Suite("HTTP/2 that must be refused", .serialized, .stage())
struct RefusedStreamTests {
    @Test(
        "gets its answer; the backend hears nothing",
        arguments: [
            RefusedStream.fields, RefusedStream.bytes, RefusedStream.trailers,
            RefusedStream.bodies, RefusedStream.frames,
        ].flatMap(\.self))
    func refused(_ input: RefusedStream) async throws {
        let stage = try Stage.current
        let before = stage.backend.byteCount
        let client = try await stage.connectHTTP2()
        await client.send(input.frames(stage.fields()))
        switch input.answer {
        case .reset:
            let frames = await client.frames { $0.contains { $0.type == 3 } }
            #expect(frames.filter { $0.type == 3 }.map(\.code) == [1])
            #expect(!frames.contains { $0.type == 1 || $0.type == 7 })
            try await Self.expectAlive(client, stage)
        case .status(let status):
            let frames = await client.frames { $0.contains { $0.type == 1 } }
            #expect(frames.first { $0.type == 1 }?.status == status)
            try await Self.expectAlive(client, stage)
        case .goAway(let codes):
            #expect(await client.untilClosed() != nil)
            let code = client.frames.first { $0.type == 7 }?.code
            #expect(code.map { codes.contains($0) } == true, "\(code ?? 999)")
        case .closed:
            #expect(await client.untilClosed() != nil)
        }
        let forwarded = stage.backend.byteCount - before
        try await stage.expectNextRequestWorks()
        if case .reset = input.answer {
            // The one that showed that the connection lives.
            #expect(stage.backend.requests.count > 0)
        } else if case .goAway = input.answer, ![127, 129].contains(input.row) {
            #expect(forwarded == 0)
        }
        #expect(!stage.backend.requests.contains { $0.path == "/x" })
    }

    @Test("a preface of the other version than ALPN agreed on ends the connection")
    func contradictsALPN() async throws {
        let stage = try Stage.current
        let before = stage.backend.byteCount
        let one = try await stage.connect(alpn: ["h2"])
        await one.send(stage.request())
        #expect(await one.untilClosed() != nil)
        #expect(!one.frames.contains { $0.type == 1 })
        let other = try await stage.connect(alpn: ["http/1.1"])
        await other.send(RawFrame.start)
        let bytes = try #require(await other.untilClosed())
        #expect(bytes.isEmpty)
        #expect(stage.backend.byteCount == before)
    }

    @Test(
        "another host than that of SNI is answered if the certificate covers it, else misdirected",
        arguments: [
            ("localhost", 200), ("iris.example.com", 200), ("IRIS.example.com:443", 200),
            ("x.apps.example.com", 200), ("example.com", 421), ("127.0.0.1", 421),
        ])
    func misdirected(_ host: String, _ status: Int) async throws {
        let stage = try Stage.current
        let client = try await stage.connect(serverName: "other.example.com", alpn: ["h2"])
        let fields = stage.fields().map { $0.0 == ":authority" ? ($0.0, host) : $0 }
        let before = stage.backend.requests.count
        await client.send(RawFrame.start + RawFrame.headers(fields))
        let frames = await client.frames { $0.contains { $0.type == 1 } }
        #expect(frames.first { $0.type == 1 }?.status == status)
        #expect(stage.backend.requests.count == before + (status == 200 ? 1 : 0))
    }

    /// Floods, each of which must end with GOAWAY(ENHANCE_YOUR_CALM) soon.
    static let floods: [(String, @Sendable ([(String, String)]) -> [UInt8])] = [
        ("PING", { _ in RawFrame(type: 6, stream: 0, payload: [0, 0, 0, 0, 0, 0, 0, 0]).bytes }),
        ("SETTINGS", { _ in RawFrame(type: 4, stream: 0).bytes }),
        ("PRIORITY", { _ in RawFrame(type: 2, stream: 1, payload: [0, 0, 0, 3, 1]).bytes }),
        ("unknown frames", { _ in RawFrame(type: 0xbb, stream: 0).bytes }),
        ("WINDOW_UPDATE by one", { _ in RawFrame.windowUpdate(0, 1) }),
    ]

    @Test("floods end the connection, the answers to them bounded", arguments: floods.indices)
    func flood(_ index: Int) async throws {
        let stage = try Stage.current
        let (_, frame) = Self.floods[index]
        let client = try await stage.connectHTTP2()
        client.post((0..<10_000).flatMap { _ in frame(stage.fields()) })
        #expect(await client.untilClosed() != nil)
        let frames = client.frames
        #expect(frames.last { $0.type == 7 }?.code == 11)
        #expect(frames.count < 1000)
        try await stage.expectNextRequestWorks()
    }

    @Test("empty DATA frames are a flood")
    func emptyData() async throws {
        let stage = try Stage.current
        let client = try await stage.connectHTTP2()
        client.post(
            RawFrame.headers(stage.fields(), endsStream: false)
                + (0..<10_000).flatMap { _ in RawFrame.data("", endsStream: false) })
        #expect(await client.untilClosed() != nil)
        #expect(client.frames.last { $0.type == 7 }?.code == 11)
        try await stage.expectNextRequestWorks()
    }

    // Row 137.
    @Test("fields without a name: their stream is reset; again and again, the client is sent away")
    func emptyNames() async throws {
        let stage = try Stage.current
        let before = stage.backend.byteCount
        let client = try await stage.connectHTTP2()
        let block = RawFrame.block(stage.fields() + [("", ""), ("", "y")])
        await client.send(RawFrame.headers(block: block))
        let frames = await client.frames { $0.contains { $0.type == 3 } }
        #expect(frames.filter { $0.type == 3 }.map(\.code) == [1])
        client.post(
            Self.streams(10_000) { RawFrame.headers(block: block, stream: $0 + 2) })
        #expect(await client.untilClosed() != nil)
        #expect(client.frames.last { $0.type == 7 }?.code == 11)
        #expect(stage.backend.byteCount == before)
        try await stage.expectNextRequestWorks()
    }

    // Row 141.
    @Test("a client's huge table of fields makes ours no larger")
    func tableSize() async throws {
        let stage = try Stage.current
        let client = try await stage.connectHTTP2()
        await client.send(
            RawFrame.settings([(1, .max)]) + RawFrame.headers(stage.fields("GET")))
        let frames = await client.frames { $0.contains { $0.type == 1 } }
        let head = try #require(frames.first { $0.type == 1 })
        // A block begins with the table's size where that changes (RFC 7541, 6.3): 001 and a number,
        // of which 4096 would be 31, 225, 31.
        let first = try #require(head.payload.first)
        if first & 0xe0 == 0x20 { #expect(head.payload.starts(with: [0x3f, 0xe1, 0x1f])) }
    }

    @Test("streams opened and reset at once: the backend hears of few, the client is sent away")
    func rapidReset() async throws {
        let stage = try Stage.current
        let before = stage.backend.connections.value.reduce(0) { $0 + $1.requests.count }
        let client = try await stage.connectHTTP2()
        let fields = stage.fields()
        client.post(
            Self.streams(10_000) { stream -> [UInt8] in
                RawFrame.headers(fields, stream: stream) + RawFrame.reset(stream)
            })
        #expect(await client.untilClosed() != nil)
        #expect(client.frames.last { $0.type == 7 }?.code == 11)
        let after = stage.backend.connections.value.reduce(0) { $0 + $1.requests.count }
        #expect(after - before <= 100)
        try await stage.expectNextRequestWorks()
    }

    @Test("streams that make the server reset them end the connection within twenty")
    func madeYouReset() async throws {
        let stage = try Stage.current
        let client = try await stage.connectHTTP2()
        let fields = stage.fields() + [("te", "gzip")]
        client.post(
            Self.streams(1000) { stream -> [UInt8] in
                RawFrame.headers(fields, stream: stream)
            })
        #expect(await client.untilClosed() != nil)
        let frames = client.frames
        #expect(frames.last { $0.type == 7 }?.code == 11)
        #expect(frames.count { $0.type == 3 } <= 21)
        try await stage.expectNextRequestWorks()
    }

    @Test("a stream above the limit is refused, the others are served")
    func streamLimit() async throws {
        let stage = try Stage.current
        let client = try await stage.connectHTTP2()
        // Bodies that never end keep the streams open.
        let fields = stage.fields()
        await client.send(
            Self.streams(101) { stream -> [UInt8] in
                RawFrame.headers(fields, stream: stream, endsStream: false)
            })
        let frames = await client.frames { $0.contains { $0.type == 3 } }
        #expect(frames.first { $0.type == 3 }?.stream == 201)
        #expect(frames.first { $0.type == 3 }?.code == 7)
        await client.send(RawFrame.data("next", stream: 1))
        let later = await client.frames { $0.contains { $0.type == 1 && $0.stream == 1 } }
        #expect(later.first { $0.type == 1 }?.status == 200)
        #expect(!later.contains { $0.type == 7 })
    }

    @Test("fields that decode to more than 64 KiB: 431; to far more: GOAWAY")
    func headerBomb() async throws {
        let stage = try Stage.current
        let value = String(repeating: "a", count: 4000)
        // Put into the dynamic table once, then named again and again by index 62.
        let entry = [UInt8(0x40)] + RawFrame.string("bomb") + RawFrame.string(value)
        let good = RawFrame.block(stage.fields())
        for (count, status) in [(17, 431), (15_000, 0)] {
            let client = try await stage.connectHTTP2()
            let before = stage.gateway.residentKilobytes
            let block = good + entry + [UInt8](repeating: 0xbe, count: count)
            client.post(
                RawFrame.headers(block: block))
            if status > 0 {
                let frames = await client.frames { $0.contains { $0.type == 1 } }
                #expect(frames.first { $0.type == 1 }?.status == status)
            } else {
                #expect(await client.untilClosed() != nil)
                #expect(client.frames.last { $0.type == 7 }?.code == 11)
            }
            #expect(stage.gateway.residentKilobytes - before < 4096)
        }
        try await stage.expectNextRequestWorks()
    }

    /// What `frames` gives for the first streams of a client.
    private static func streams(_ count: Int, _ frames: (UInt32) -> [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        for number in 0..<UInt32(count) { bytes += frames(number * 2 + 1) }
        return bytes
    }

    private static func expectAlive(_ client: RawClient, _ stage: Stage) async throws {
        await client.send(
            RawFrame.headers(stage.fields(), stream: 3, endsStream: false)
                + RawFrame.data("next", stream: 3))
        let frames = await client.frames { $0.contains { $0.type == 1 && $0.stream == 3 } }
        #expect(frames.contains { $0.type == 1 && $0.stream == 3 })
    }

    @Test("limits.header_bytes holds for HTTP/2 as for HTTP/1.1, and is announced")
    func headerBytes() async throws {
        let stage = try await Stage.start(StageSetup(limits: "{header_bytes: 8192}"))
        do {
            let client = try await stage.connectHTTP2()
            let pad = [("x", String(repeating: "a", count: 6000)), ("y", "b")]
            await client.send(RawFrame.headers(stage.fields() + pad))
            await client.send(
                RawFrame.headers(stage.fields() + pad + [("z", pad[0].1)], stream: 3))
            let frames = await client.frames { $0.count { $0.type == 1 } == 2 }
            #expect(frames.filter { $0.type == 1 }.compactMap(\.status).sorted() == [200, 431])
            let settings = try #require(frames.first(where: { $0.type == 4 })).payload
            #expect(settings.firstRange(of: [0, 6, 0, 0, 0x20, 0]) != nil)
        } catch {
            await stage.stop()
            throw error
        }
        await stage.stop()
    }
}
