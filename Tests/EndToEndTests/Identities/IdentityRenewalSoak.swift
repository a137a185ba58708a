import Cryptography
import Foundation
import KeyVault
import Testing

/// Renews again and again; `SCOREGATE_SOAK` says how often.
@Suite("Identity renewals: soak")
struct IdentityRenewalSoak {
    private static let times =
        ProcessInfo.processInfo.environment["SCOREGATE_SOAK"].flatMap { Int($0) } ?? 20

    @Test("each renewal gives a new certificate and key, and none fails")
    func renewals() async throws {
        try await IdentityFleet.run(services: false) { fleet in
            try await fleet.makeToken("agent/a", file: "a.token")
            let client = try fleet.client("agent/a", name: "a")
            var serials: Set<String> = [try await client.join().serial]
            for _ in 0..<Self.times { serials.insert(try await client.renew().serial) }
            #expect(serials.count == Self.times + 1)
            // The present one and the one before it; the rest is gone.
            let names = try FileManager.default.contentsOfDirectory(atPath: client.folder.path)
            #expect(names.count { serials.contains($0) } == 2)
        }
    }
}
