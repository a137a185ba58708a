import NIOCore
import Testing

@testable import HTTPTransport

@Suite("HTTP/2 connections", .timeLimit(.minutes(10)))
struct HTTP2ConnectionTests {
    private static func ask(_ bench: HTTP2Bench, _ clients: [StreamClient]) async throws {
        try await bench.run { state in
            for client in clients { state.pool?.acquire(for: client) }
        }
    }

    @Test("all requests share one connection, and come back whole")
    func shared() async throws {
        let bench = try await HTTP2Bench()
        for _ in 0..<3 {
            let clients = (0..<50).map { StreamClient("/echo", body: [$0 * 300, 1]) }
            try await Self.ask(bench, clients)
            #expect(try await bench.wait { _ in clients.allSatisfy(\.isComplete) })
            for (number, client) in clients.enumerated() {
                #expect(client.received == number * 300 + 1 && client.status == 200)
            }
        }
        #expect(try await bench.run { $0.pool?.opened } == 1)
        // Stream objects are used again.
        #expect(try await bench.run { $0.serverStreams.count } <= 50 * 2)
        try await bench.stop()
    }

    @Test("above the peer's limit of streams another connection is opened, or one waits")
    func streamLimit() async throws {
        let bench = try await HTTP2Bench()
        let hanging = (0..<100).map { _ in StreamClient("/hang") }
        try await Self.ask(bench, hanging)
        #expect(try await bench.wait { $0.serverStreams.count == 100 })
        let more = (0..<5).map { _ in StreamClient("/echo", body: [3]) }
        try await Self.ask(bench, more)
        #expect(try await bench.wait { _ in more.allSatisfy(\.isComplete) })
        #expect(try await bench.run { $0.pool?.opened } == 2)
        try await bench.stop()

        var limits = PoolLimits()
        limits.connections = 1
        limits.waiting = 3
        let bounded = try await HTTP2Bench(limits: limits)
        let first = StreamClient("/echo", body: [1])
        try await Self.ask(bounded, [first])
        #expect(try await bounded.wait { _ in first.isComplete })
        let full = (0..<100).map { _ in StreamClient("/hang") }
        try await Self.ask(bounded, full)
        let waiting = (0..<4).map { _ in StreamClient("/echo", body: [2]) }
        try await Self.ask(bounded, waiting)
        #expect(waiting.map(\.failure) == [nil, nil, nil, "\(StreamError.exhausted)"])
        try await bounded.run { _ in for client in full.prefix(5) { client.cancel() } }
        #expect(try await bounded.wait { _ in waiting[..<3].allSatisfy(\.isComplete) })
        try await bounded.stop()
    }

    @Test("a reader that stands still holds up its own stream and no other; memory is bounded")
    func slowReader() async throws {
        let bench = try await HTTP2Bench()
        let slow = (0..<90).map { _ in StreamClient("/large", reads: false) }
        try await Self.ask(bench, slow)
        #expect(try await bench.wait { _ in slow.allSatisfy { $0.received >= 65_536 } })
        let quick = (0..<5).map { _ in StreamClient("/large") }
        try await Self.ask(bench, quick)
        #expect(
            try await bench.wait { _ in
                quick.allSatisfy { $0.isComplete && $0.received == 1 << 18 }
            })
        // A window of bytes passed on, and what the server's stream may queue.
        for client in slow { #expect(client.received == 65_536) }
        let queued = try await bench.run { $0.serverStreams.map(\.queued) }
        #expect(queued.filter { $0 < 1 << 18 }.allSatisfy { $0 <= 65_536 * 3 })
        try await bench.run { _ in for client in slow { client.resume() } }
        #expect(
            try await bench.wait { _ in
                slow.allSatisfy { $0.isComplete && $0.received == 1 << 18 }
            })
        try await bench.stop()
    }

    @Test("a server that reads no more gets a window's worth of each upload, and others go on")
    func slowUpload() async throws {
        let bench = try await HTTP2Bench()
        let stalled = (0..<50).map { _ in
            StreamClient("/stall", body: [Int](repeating: 16_384, count: 16))
        }
        try await Self.ask(bench, stalled)
        #expect(
            try await bench.wait { state in
                state.serverStreams.count { $0.received >= 65_536 } == 50
            })
        let quick = StreamClient("/echo", body: [Int](repeating: 16_384, count: 16))
        try await Self.ask(bench, [quick])
        #expect(try await bench.wait { _ in quick.isComplete })
        #expect(quick.received == 262_144)
        let received = try await bench.run { $0.serverStreams.map(\.received) }
        #expect(received.count { $0 == 65_536 } == 50)
        try await bench.stop()
    }

    @Test("a cancelled request is reset at the server, the connection goes on")
    func cancel() async throws {
        let bench = try await HTTP2Bench()
        let hanging = StreamClient("/hang")
        try await Self.ask(bench, [hanging])
        #expect(try await bench.wait { $0.serverStreams.count == 1 })
        try await bench.run { _ in hanging.cancel() }
        #expect(try await bench.wait { $0.serverStreams[0].failure != nil })
        let next = StreamClient("/echo", body: [5])
        try await Self.ask(bench, [next])
        #expect(try await bench.wait { _ in next.isComplete })
        #expect(try await bench.run { $0.pool?.opened } == 1)
        try await bench.stop()
    }

    @Test("the object of a cancelled request is no other's until its stream is closed")
    func cancelledObject() async throws {
        let bench = try await HTTP2Bench()
        let first = StreamClient("/echo", body: [5])
        try await Self.ask(bench, [first])
        #expect(try await bench.wait { _ in first.isComplete })
        let cancelled = StreamClient("/hang", body: [60_000])
        let next = StreamClient("/echo", body: [7])
        // In one turn: nothing of the first has left when the second asks.
        try await bench.run { state in
            state.pool?.acquire(for: cancelled)
            cancelled.cancel()
            state.pool?.acquire(for: next)
        }
        #expect(try await bench.wait { _ in next.isComplete })
        #expect(try await bench.run { _ in cancelled.stream !== next.stream })
        #expect(next.received == 7)
        // Afterwards it is.
        let last = StreamClient("/echo", body: [9])
        try await Self.ask(bench, [last])
        #expect(try await bench.wait { _ in last.isComplete })
        #expect(
            try await bench.run { _ in
                last.stream === cancelled.stream || last.stream === next.stream
            })
        try await bench.stop()
    }

    @Test("a server that drains: streams end, and the next request goes to a new connection")
    func drain() async throws {
        let bench = try await HTTP2Bench()
        let hanging = StreamClient("/hang")
        try await Self.ask(bench, [hanging])
        #expect(try await bench.wait { $0.serverStreams.count == 1 })
        try await bench.run { $0.servers[0].drain() }
        try await bench.run { $0.context.deadlines.advance(to: .now() + .seconds(2)) }
        let next = StreamClient("/echo", body: [5])
        #expect(
            try await bench.wait { state in
                if next.stream == nil, next.failure == nil, state.servers.count == 1 {
                    state.pool?.acquire(for: StreamClient("/echo", body: [1]))
                }
                return state.servers.count == 2
            })
        try await Self.ask(bench, [next])
        #expect(try await bench.wait { _ in next.isComplete })
        try await bench.stop()
    }

    @Test("pieces of a body wait in order, small ones copied, large ones kept")
    func streamBody() {
        var body = StreamBody()
        var expected: [UInt8] = []
        for (number, count) in [10, 9000, 20, 30, 16_384, 5].enumerated() {
            body.append(ByteBuffer(repeating: UInt8(number), count: count))
            expected += [UInt8](repeating: UInt8(number), count: count)
        }
        #expect(body.count == expected.count)
        var output = ByteBuffer()
        for count in [5, 6, 9000, 40, 10_000] { body.move(count, to: &output) }
        body.move(body.count, to: &output)
        #expect(Array(output.readableBytesView) == expected)
        #expect(body.count == 0)
    }

    @Test(
        "a body that is never all gone gives back the memory of what has left",
        arguments: [1024, 5000])
    func streamBodyMemory(size: Int) {
        var body = StreamBody()
        let piece = ByteBuffer(repeating: 0x61, count: size)
        for _ in 0..<12 { body.append(piece) }
        for _ in 0..<2000 {
            body.append(piece)
            var output = ByteBuffer()
            body.move(size, to: &output)
        }
        let held = body.pieces.reduce(body.first.capacity) { $0 + $1.capacity }
        #expect(held < 4 * body.count)
    }

    @Test("who waits for a fresh connection keeps nobody from the one there is")
    func freshIsWaitedForAlone() async throws {
        let bench = try await HTTP2Bench()
        let first = StreamClient("/echo", body: [5])
        try await Self.ask(bench, [first])
        #expect(try await bench.wait { _ in first.isComplete })
        let fresh = StreamClient("/echo", body: [6])
        let next = StreamClient("/echo", body: [7])
        let isServed = try await bench.run { state in
            state.pool?.acquire(for: fresh, isFreshWanted: true)
            state.pool?.acquire(for: next)
            return next.stream != nil && fresh.stream == nil
        }
        #expect(isServed)
        #expect(try await bench.wait { _ in fresh.isComplete && next.isComplete })
        #expect(try await bench.run { $0.pool?.opened } == 2)
        try await bench.stop()
    }

    @Test("a stream that is reset twice over is remembered once")
    func recentResets() {
        var resets = RecentResets()
        for id in Int32(1)...128 {
            resets.insert(id)
            resets.insert(id)
        }
        #expect((Int32(1)...128).allSatisfy { resets.contains($0) })
        resets.insert(129)
        #expect(!resets.contains(1) && resets.contains(129))
    }

    @Test("the bucket of glitches empties, warns before, and fills again")
    func glitches() {
        let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
        var bucket = GlitchBucket(now: start)
        var levels = (0..<101).map { _ in bucket.charge(.ping, now: start) }
        #expect(levels[73] == .enough && levels[74] == .low)
        #expect(levels[99] == .low && levels[100] == .empty)
        levels = (0..<30).map { _ in bucket.charge(.ping, now: start + .seconds(3)) }
        #expect(levels[0] != .empty)
        #expect(levels[29] == .empty)
    }
}
