import Foundation
import Testing

/// Python's websockets on both sides.
@Suite("WebSocket", .serialized, .timeLimit(.minutes(10)))
struct WebSocketTests {
    private static let allowed = "    websocket: true\n"

    @Test("frames of any size pass both ways, and the closing handshake")
    func messages() async throws {
        try await Peers.run("websocket_backend.py", version: "http1", lines: Self.allowed) {
            stage, backend in
            try await Peers.expect(
                ["echo", "large", "closing", "wrong_key"], of: "websocket_client.py", stage)
            #expect(await backend.output.wait { $0.contains("asked /chat\n") })
            let log = try await stage.accessLog(4)
            #expect(log.count { $0.contains(#""ResponseCode":101"#) } == 3)
            #expect(log.count { $0.contains(#""ResponseCode":401"#) } == 1)
            // What passed is counted: 32 MiB and their frames, each way.
            let large = log.first { $0.contains(#""RequestPayloadSize":335"#) }
            #expect(large?.contains(#""ResponsePayloadSize":335"#) == true)
        }
    }

    @Test("where it is not allowed it is a request as any other")
    func notAllowed() async throws {
        try await Peers.run("websocket_backend.py", version: "http1") { stage, backend in
            try await Peers.expect(["not_allowed"], of: "websocket_client.py", stage)
            #expect(!backend.output.value.contains("asked"))
        }
    }

    @Test("a connection on which nothing passes ends with the idle timeout")
    func idle() async throws {
        try await Peers.run(
            "websocket_backend.py", version: "http1", limits: "{idle_timeout_ms: 1000}",
            lines: Self.allowed
        ) { stage, _ in
            try await Peers.expect(["idle"], of: "websocket_client.py", stage)
        }
    }

    /// A row: fields of the request, and whether the model may see them.
    @Test(
        "what asks wrongly is refused",
        arguments: [
            ("Sec-WebSocket-Version: 13\r\n", 400),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 400),
            (
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 12\r\n",
                400
            ),
            ("Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n", 400),
            (
                """
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
                Sec-WebSocket-Version: 13\r\n
                """, 400
            ),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n", 101),
        ])
    func wrongly(fields: String, status: Int) async throws {
        try await Peers.run("websocket_backend.py", version: "http1", lines: Self.allowed) {
            stage, backend in
            let client = try await stage.connect()
            await client.send(
                stage.request(
                    "GET",
                    lines: "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
                        + fields))
            let hasHead = await client.received.wait {
                $0.bytes.firstRange(of: Array("\r\n\r\n".utf8)) != nil
            }
            #expect(hasHead)
            let head = String(decoding: client.received.value.bytes, as: UTF8.self).lowercased()
            #expect(head.hasPrefix("http/1.1 \(status) "), "\(head)")
            #expect(head.contains("upgrade: websocket\r\n") == (status == 101))
            if status == 101 {
                #expect(await backend.output.wait { $0.contains("asked") })
            } else {
                #expect(!backend.output.value.contains("asked"))
            }
            await client.close()
        }
    }
}
