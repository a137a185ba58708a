import Foundation
import HTTPTransport
import NIOCore
import Testing

/// A customer's key that lives in a PKCS#11 token, and what becomes of it there.
@Suite("A customer's key in a token", .serialized, .timeLimit(.minutes(10)))
struct CustomerKeyTokenTests {
    @Test("destroyed in the token it is revoked, as if deleted; with the token away it is not")
    func destroyed() async throws {
        guard SoftToken.Kind.softHSM.isPossible else { return }
        try await CustomerKeyStage.run(kind: .softHSM) { customer in
            let stage = customer.stage
            let token = try #require(customer.token)
            #expect(try await stage.exchange(stage.request(body: "one")).status == 200)
            let entry = try #require(try customer.keyRing().first)
            #expect(try await Self.unwrap(entry, customer).status == 200)

            try FileManager.default.moveItem(
                atPath: token.folder, toPath: token.folder + ".pulled")
            let away = try await Self.unwrap(entry, customer)
            #expect(away.status == 503)
            #expect(String(decoding: away.body, as: UTF8.self).contains("ServiceUnavailable"))
            #expect(try await customer.ask(.get, "/keys/iris-log").status == 200)
            try FileManager.default.moveItem(
                atPath: token.folder + ".pulled", toPath: token.folder)
            #expect(try await Self.unwrap(entry, customer).status == 200)

            try await token.deleteSecretKey(labelPrefix: "iris-log")
            let gone = try await Self.unwrap(entry, customer)
            #expect(gone.status == 404)
            #expect(String(decoding: gone.body, as: UTF8.self).contains("KeyNotFound"))
            #expect(try await customer.ask(.get, "/keys/iris-log").status == 404)
            #expect(
                await stage.gateway.errors.wait { $0.contains("wrapping key revoked") },
                "\(stage.gateway.errors.value)")
            _ = try await customer.wait(for: 503)
        }
    }

    /// Unwraps what is in the key ring, as a reader of the log.
    private static func unwrap(
        _ entry: CustomerKeyStage.KeyRingFile, _ customer: CustomerKeyStage
    ) async throws -> HTTPFetch.Answer {
        let version = try #require(entry.wrappingKey.split(separator: "/").last)
        return try await customer.askAsReader(
            "/keys/iris-log/\(version)/unwrapkey",
            #"{"alg":"\#(entry.algorithm)","value":"\#(entry.wrapped)"}"#)
    }
}
