import Foundation
import Testing

/// grpcio, whose TLS and HTTP/2 are its own, on both sides.
@Suite("gRPC", .serialized, .timeLimit(.minutes(10)))
struct GRPCTests {
    @Test(
        "grpcio calls grpcio: all four kinds, health checks, statuses", arguments: [true, false])
    func calls(isEncrypted: Bool) async throws {
        try await Peers.run("grpc_backend.py", version: "http2", isEncrypted: isEncrypted) {
            stage, _ in
            let cases = [
                "unary", "server_stream", "client_stream", "bidirectional", "large", "many",
                "health", "fail", "unimplemented", "wrong_key",
            ]
            try await Peers.expect(cases, of: "grpc_client.py", stage)
            let log = try await stage.accessLog(64)
            #expect(log.contains { $0.contains(#""GrpcStatus":0"#) })
            #expect(log.contains { $0.contains(#""GrpcStatus":9"#) })
            #expect(
                log.contains {
                    $0.contains(#""GrpcStatus":16"#) && $0.contains("key_auth_access_denied")
                })
        }
    }

    @Test(
        "calls of all four kinds end as they do without a log, and stand in it whole",
        arguments: ["strict", "bounded"])
    func logged(durability: String) async throws {
        try await Peers.run("grpc_backend.py", version: "http2", durability: durability) {
            stage, _ in
            let cases = [
                "unary", "server_stream", "client_stream", "bidirectional", "large", "many", "fail",
            ]
            try await Peers.expect(cases, of: "grpc_client.py", stage)
            #expect(await stage.gateway.end() == 0)
            let entries = try await SealedLogStage.entries(stage)
            let requests = entries.filter { $0.kind == "request" }
            let responses = entries.filter { $0.kind == "response" }
            #expect(requests.count >= cases.count)
            #expect(
                Set(requests.map(\.requestID)) == Set(responses.map(\.requestID))
                    && requests.count == responses.count)
            #expect(
                responses.allSatisfy { $0.status == 200 && $0.outcome == "complete" },
                "\(responses.filter { $0.outcome != "complete" })")
        }
    }

    @Test("the request timeout ends a call that has not begun to be answered, and no other")
    func timeouts() async throws {
        try await Peers.run("grpc_backend.py", version: "http2", timeout: 500) { stage, backend in
            try await Peers.expect(["request_timeout", "paced"], of: "grpc_client.py", stage)
            #expect(await backend.output.wait { $0.contains("cancelled\n") })
        }
    }

    @Test("a caller's deadline and its leaving reach the backend; 499 is logged")
    func cancelled() async throws {
        try await Peers.run("grpc_backend.py", version: "http2") { stage, backend in
            try await Peers.expect(["own_deadline", "cancel"], of: "grpc_client.py", stage)
            #expect(
                await backend.output.wait {
                    $0.components(separatedBy: "cancelled\n").count - 1 == 2
                })
            let log = try await stage.accessLog(2)
            #expect(log.last?.contains(#""ResponseCode":499"#) == true)
        }
    }

    @Test("a backend that is down is UNAVAILABLE")
    func unavailable() async throws {
        try await Peers.run("grpc_backend.py", version: "http2") { stage, backend in
            await backend.end()
            try await Peers.expect(["unavailable"], of: "grpc_client.py", stage)
        }
    }

    @Test(
        "a message over the limit is RESOURCE_EXHAUSTED, a path without an endpoint UNIMPLEMENTED, a head with a bad field INTERNAL"
    )
    func refused() async throws {
        let setup = StageSetup(
            limits: "{body_bytes: 5}", endpointLines: "    path_prefix: /test.Echo\n")
        let stage = try await Stage.start(setup)
        do {
            for (path, message, field, status) in [
                ("test.Echo/Unary", "\0\0\0\0\u{1}a", "x: y", 8),
                ("test.Other/Unary", "\0\0\0\0\0", "x: y", 12),
                ("test.Echo/Unary", "\0\0\0\0\0", "bad_name: x", 13),
            ] {
                let outcome = try await Self.call(
                    stage, path, stage.materials.write("message", message), field: field)
                #expect(outcome.output.contains("content-type: application/grpc"))
                #expect(outcome.output.contains("HTTP/2 200"))
                #expect(outcome.output.contains("grpc-status: \(status)\r\n"), "\(outcome.output)")
            }
            #expect(stage.backend.requests.isEmpty)
        } catch {
            await stage.stop()
            throw error
        }
        await stage.stop()
    }

    /// A call by curl, which shows what came.
    private static func call(
        _ stage: Stage, _ path: String, _ message: String, field: String = "te: trailers"
    ) async throws -> GatewayProcess.Outcome {
        try await Command.run(
            "/usr/bin/curl",
            [
                "--silent", "--http2", "--cacert", stage.materials.root, "--dump-header",
                "-", "--header", "Authorization: Bearer \(stage.key)", "--header",
                "content-type: application/grpc+proto", "--header", field,
                "--header", "grpc-timeout: 300m", "--data-binary", "@\(message)",
                "https://localhost:\(stage.port)/\(path)",
            ])
    }

    @Test("grpc-timeout ends a call in the gateway too, before and within its answer")
    func deadline() async throws {
        try await Peers.run("grpc_backend.py", version: "http2") { stage, _ in
            let message = try stage.materials.write("message", "\0\0\0\0\0")
            for (method, text) in [("Hang", "HTTP/2 200"), ("BeginAndHang", "begun")] {
                let outcome = try await Self.call(stage, "test.Echo/\(method)", message)
                #expect(outcome.output.contains(text))
                #expect(outcome.output.contains("grpc-status: 4\r\n"), "\(outcome.output)")
                #expect(outcome.output.contains("content-type: application/grpc"))
            }
        }
    }
}
