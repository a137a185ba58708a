import Foundation
import Testing

/// Server-sent events, read by real clients that ask for each event when they have the one before.
@Suite("Event streams", .serialized, .timeLimit(.minutes(10)))
struct EventStreamTests {
    @Test("each event leaves by itself, over both versions")
    func events() async throws {
        try await Peers.run("events_backend.py", version: "http1", timeout: 1000) { stage, _ in
            try await Peers.expect(
                ["httpx2", "httpx1", "curl2", "curl1"], of: "events_client.py",
                environment: "clients", stage)
        }
    }

    @Test("an answer streams down while its request streams up")
    func duplex() async throws {
        try await Peers.run("events_backend.py", version: "http1") { stage, _ in
            try await Peers.expect(
                ["duplex"], of: "events_client.py", environment: "clients", stage)
        }
    }

    @Test("a client that leaves ends its backend's stream at once; 499 is logged")
    func left() async throws {
        try await Peers.run("events_backend.py", version: "http1") { stage, backend in
            try await Peers.expect(
                ["leave"], of: "events_client.py", environment: "clients", stage)
            #expect(
                await backend.output.wait { $0.components(separatedBy: "left\n").count - 1 == 2 })
            let log = try await stage.accessLog(4)
            #expect(
                log.count {
                    $0.contains(#""ResponseCode":499"#) && $0.contains("client_closed_request")
                } == 2)
        }
    }
}
