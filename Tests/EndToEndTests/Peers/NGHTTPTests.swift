import Foundation
import Testing

/// nghttp2's own clients.
@Suite("nghttp2 clients", .serialized, .timeLimit(.minutes(10)))
struct NGHTTPTests {
    @Test("nghttp: ten requests over one connection", arguments: ["http1", "http2"])
    func nghttp(version: String) async throws {
        guard isInstalled("nghttp") else { return }
        try await Peers.runModel(version: version) { stage, _ in
            let body = try stage.materials.write("body", #"{"input_data": [[5.1, 3.5, 1.4, 0.2]]}"#)
            let outcome = try await Command.run(
                "/usr/bin/nghttp",
                [
                    "--verbose", "--no-verify-peer", "--multiply=10", "--data=\(body)",
                    "--header=content-type: application/json",
                    "--header=authorization: Bearer \(stage.key)",
                    "https://localhost:\(stage.port)/score",
                ])
            #expect(outcome.code == 0, "\(outcome.errors)")
            #expect(outcome.output.components(separatedBy: ":status: 200").count - 1 == 10)
            #expect(outcome.output.components(separatedBy: #"["setosa"]"#).count - 1 == 10)
            #expect(!outcome.output.contains("RST_STREAM"))
        }
    }
}

/// Many streams at once; `SCOREGATE_SOAK` says how many thousand requests, of both versions in all.
@Suite("h2load soak", .serialized)
struct H2LoadSoak {
    private static let requests =
        ProcessInfo.processInfo.environment["SCOREGATE_SOAK"].flatMap { Int($0) }
        .map { max($0 * 500, 320) } ?? 320

    @Test("20 streams on each of 16 connections, none fails", arguments: ["http1", "http2"])
    func load(version: String) async throws {
        guard isInstalled("h2load") else { return }
        try await Peers.runModel(version: version) { stage, _ in
            let body = try stage.materials.write("body", #"{"input_data": [[5.1, 3.5, 1.4, 0.2]]}"#)
            let outcome = try await Command.run(
                "/usr/bin/h2load",
                [
                    "--requests=\(Self.requests)", "--clients=16", "--max-concurrent-streams=20",
                    "--data=\(body)", "--header=content-type: application/json",
                    "--header=authorization: Bearer \(stage.key)",
                    "https://localhost:\(stage.port)/score",
                ])
            let count = Self.requests
            #expect(
                outcome.output.contains(
                    """
                    requests: \(count) total, \(count) started, \(count) done, \
                    \(count) succeeded, 0 failed, 0 errored, 0 timeout
                    """), "\(outcome.output)")
            #expect(outcome.output.contains("status codes: \(count) 2xx, 0 3xx, 0 4xx, 0 5xx"))
        }
    }
}
