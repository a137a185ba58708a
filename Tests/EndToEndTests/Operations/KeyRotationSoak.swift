import Foundation
import HTTPTransport
import NIOCore
import Synchronization
import TLS
import Testing

/// Requests while endpoint keys are made anew, again and again; `SCOREGATE_SOAK` says how often.
@Suite("Endpoint key rotations: soak")
struct KeyRotationSoak {
    private static let rotations =
        ProcessInfo.processInfo.environment["SCOREGATE_SOAK"].flatMap { Int($0) } ?? 3
    /// Requests while one key is made anew.
    private static let requests = 1000
    private static let clients = 8

    @Test("no request with a key in force is refused, and none with another is let in")
    func rotations() async throws {
        try await Peers.runModel(version: "http1") { stage, _ in
            let client = try Self.client(of: stage)
            var keys = ["primary": stage.key, "secondary": ""]
            keys["secondary"] = try await stage.gateway.regenerateKey(slot: "secondary")
            var refused = 0
            var admitted = 0
            for rotation in 0..<Self.rotations {
                let (slot, other) =
                    rotation.isMultiple(of: 2)
                    ? ("primary", "secondary") : ("secondary", "primary")
                let (old, steady) = (try #require(keys[slot]), try #require(keys[other]))
                async let made = stage.gateway.regenerateKey(slot: slot)
                refused += try await Self.failures(client, key: steady, count: Self.requests)
                let new = try await made
                keys[slot] = new
                // From the moment the command returns.
                async let late = Self.status(client, key: old)
                async let wrong = Self.status(client, key: Self.altered(new))
                if try await Self.status(client, key: new) != 200 { refused += 1 }
                if try await late != 401 { admitted += 1 }
                if try await wrong != 401 { admitted += 1 }
            }
            print(
                "FIGURE: \(Self.rotations) rotations, \(Self.rotations * (Self.requests + 3)) requests, "
                    + "\(refused) refused wrongly, \(admitted) let in wrongly")
            #expect(refused == 0 && admitted == 0)
            await client.stop()
        }
    }

    /// How many of `count` requests are not answered with 200.
    private static func failures(
        _ client: HTTPClient, key: String, count: Int
    ) async throws -> Int {
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<self.clients {
                group.addTask {
                    var failures = 0
                    for _ in 0..<(count / self.clients) {
                        failures += try await self.status(client, key: key) == 200 ? 0 : 1
                    }
                    return failures
                }
            }
            return try await group.reduce(0, +)
        }
    }

    private static func status(_ client: HTTPClient, key: String) async throws -> Int {
        var request = HTTPClient.Request(
            "/score",
            fields: [
                ("host", "localhost"), ("authorization", "Bearer \(key)"),
                ("content-type", "application/json"),
            ])
        request.method = .post
        request.body = Array(#"{"input_data": [[5.1, 3.5, 1.4, 0.2]]}"#.utf8)
        return try await client.answer(to: request, timeout: .seconds(30)).status
    }

    /// The key with another first digit of its secret, and so a wrong checksum too.
    private static func altered(_ key: String) -> String {
        var digits = Array(key)
        digits[20] = digits[20] == "a" ? "b" : "a"
        return String(digits)
    }

    private static func client(of stage: Stage) throws -> HTTPClient {
        var settings = HTTPClient.Settings()
        settings.connections = self.clients
        return try HTTPClient(
            .host("127.0.0.1", port: stage.port),
            tls: TLSClientConfiguration(
                trustRoots: stage.materials.root, peer: .dnsName("localhost")),
            settings: settings)
    }
}
