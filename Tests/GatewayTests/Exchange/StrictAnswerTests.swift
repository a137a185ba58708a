import Dispatch
import HTTPTransport
import NIOCore
import SealedLog
import Synchronization
import Testing

@testable import Gateway

/// What `strict` means for answers, the gateway's own above all.
@Suite("Exchange: strict", .timeLimit(.minutes(10)))
struct StrictAnswerTests {
    private func with(
        sampling: Int64 = 1_000_000, logsRequests: Bool = true, idleMilliseconds: Int64 = 60_000,
        _ body: (ExchangeBench, LogKeeper, ScriptedBackend) async throws -> Void
    ) async throws {
        let backend = try await ScriptedBackend { _, _, text in
            if text.hasPrefix("GET /silent ") { return .nothing }
            if text.hasPrefix("GET /garbage ") { return .send("garbage\r\n\r\n") }
            if text.hasPrefix("GET /half ") {
                return .sendAndClose("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhi")
            }
            if text.hasPrefix("GET /stalled ") {
                return .send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhi")
            }
            return text.hasPrefix("GET /close ") ? .close : .ok()
        }
        let bench = try await ExchangeBench([backend]) {
            $0.log = LogConfiguration(directory: $0.stateDirectory + ".log")
            var collector = DataCollectorConfiguration()
            collector.durability = .strict
            collector.samplingMillionths = sampling
            collector.logsRequests = logsRequests
            collector.logsResponses = true
            $0.limits.idleTimeoutMilliseconds = idleMilliseconds
            $0.endpoints[0].allowsWebSocket = true
            $0.endpoints[0].deployments[0].collector = collector
            $0.endpoints[0].deployments[0].requestTimeoutMilliseconds = 300
        }
        do {
            try await body(bench, try #require(bench.gateway.keeper), backend)
        } catch {
            await bench.stop()
            throw error
        }
        await bench.stop()
    }

    @Test(
        "an answer of ours to a logged request whose entry is lost says that the log failed",
        arguments: [("/close", 502), ("/garbage", 502), ("/silent", 408)])
    func lost(_ target: String, _ status: Int) async throws {
        try await self.with { bench, keeper, _ in
            let kept = try await bench.ask(.get, target)
            #expect(kept.status == status)
            await keeper.thread.ask { writer, now in writer.revoke(0, now: now) }
            let lost = try await bench.ask(.get, target)
            #expect(lost.status == 503)
            #expect(String(decoding: lost.body, as: UTF8.self).contains("log_unavailable"))
        }
    }

    @Test("that the log takes longer than a backend may is no fault of the backend")
    func slowLog() async throws {
        try await self.with(idleMilliseconds: 200) { bench, keeper, _ in
            let gate = DispatchSemaphore(value: 0)
            defer { gate.signal() }
            keeper.thread.tell { _, _ in gate.wait() }
            for _ in 0..<3 {
                let answer = try await bench.ask(.get, "/stalled")
                #expect(answer.status == 503)
                #expect(String(decoding: answer.body, as: UTF8.self).contains("log_unavailable"))
            }
            let metrics = try await bench.gateway.metrics().split(separator: "\n")
            #expect(
                metrics.contains { $0.hasPrefix("gateway_backend_healthy{") && $0.hasSuffix(" 1") })
        }
    }

    @Test("an answer of ours whose own entry is lost stays without its end")
    func cut() async throws {
        try await self.with(logsRequests: false) { bench, keeper, _ in
            let kept = try await bench.ask(.get, "/close")
            #expect(kept.status == 502)
            await keeper.thread.ask { writer, now in writer.revoke(0, now: now) }
            await #expect(throws: StreamError.self) { try await bench.ask(.get, "/close") }
        }
    }

    @Test("a request that is not sampled is answered whatever becomes of the log")
    func unsampled() async throws {
        try await self.with(sampling: 0) { bench, keeper, _ in
            await keeper.thread.ask { writer, now in writer.revoke(0, now: now) }
            let answer = try await bench.ask(.get, "/close")
            #expect(answer.status == 502)
        }
    }

    /// Of `/half` the model's head and half a body have come and wait, when the answer becomes ours.
    @Test(
        "an answer ends once its entries are durable, and not before",
        arguments: [("/close", 502), ("/half", 502), ("/score", 200)])
    func waits(_ target: String, _ expected: Int) async throws {
        // Who asks for WebSocket and gets no 101 is treated as any other.
        let fields = [
            ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ]
        try await self.with { bench, keeper, backend in
            let gate = DispatchSemaphore(value: 0)
            defer { gate.signal() }
            let order = Mutex<[String]>([])
            keeper.thread.tell { _, _ in gate.wait() }
            async let status = {
                let answer = try await bench.ask(.get, target, fields: fields)
                order.withLock { $0.append("answered") }
                return answer.status
            }()
            while backend.requests.isEmpty { await Task.yield() }
            // Turns enough of the worker's loop for an answer that does not wait; the client waits for 10 s.
            let end = ContinuousClock.now + .seconds(1)
            while ContinuousClock.now < end { _ = try await bench.gateway.metrics() }
            order.withLock { $0.append("durable") }
            gate.signal()
            let answered = try await status
            #expect(answered == expected)
            #expect(order.withLock { $0 } == ["durable", "answered"])
        }
    }
}
