import Cryptography
import Foundation
import GRDB
import KeyVault
import Testing

/// A trust root's whole way out, with the services of its trust domain.
@Suite("The rotation of a trust root", .serialized, .timeLimit(.minutes(10)))
struct RootRotationTests {
    @Test("services go from one trust root to the next, and know each other all the way")
    func whole() async throws {
        try await IdentityFleet.run { fleet in
            let old = try Self.roots(fleet)
            #expect(old.count == 1)
            #expect(try await fleet.identities("rotate-root").code == 0)
            try await Self.renew(fleet)
            let both = try Self.roots(fleet)
            #expect(both.count == 2 && both.isSuperset(of: old))
            #expect(try await eventually { try await fleet.score() == 200 })

            // Two lives of a certificate later the new one signs.
            try await Self.age(fleet)
            #expect(try await fleet.identities("list").output.contains("root\toutgoing"))
            try await Self.renew(fleet)
            #expect(try Self.roots(fleet) == both)
            #expect(try await eventually { try await fleet.score() == 200 })

            // And two more later the old one is nobody's any more.
            try await Self.age(fleet)
            try await Self.renew(fleet)
            #expect(try Self.roots(fleet) == both.subtracting(old))
            #expect(try await eventually { try await fleet.score() == 200 })
            let kept = try await Self.state(fleet).read { database in
                try Int.fetchOne(
                    database,
                    sql: """
                        SELECT count(*) FROM authority
                        WHERE state = 'retired' AND sealed IS NOT NULL
                        """)
            }
            #expect(kept == 0)
        }
    }

    /// What the agent and the gateway trust, by fingerprint: the same.
    private static func roots(_ fleet: IdentityFleet) throws -> Set<String> {
        let bundles = try ["agent-identity", "gateway-identity"].map { name in
            let bundle = IdentityFolder(path: fleet.path(name)).trustBundle
            return Set(
                try Certificate.chain(pem: WholeFile.read(bundle, maximum: 1 << 16))
                    .map(\.fingerprint.hexadecimal))
        }
        #expect(bundles[0] == bundles[1])
        return bundles[0]
    }

    /// Has both services renew, and waits until they have.
    private static func renew(_ fleet: IdentityFleet) async throws {
        for process in [try #require(fleet.agent), try #require(fleet.gateway)] {
            let count = { @Sendable (log: String) in
                log.components(separatedBy: "identity renewed").count
            }
            let before = count(process.errors.value)
            process.signal(SIGHUP)
            #expect(await process.errors.wait { count($0) > before }, "\(process.errors.value)")
        }
    }

    /// Lets everything that waits for its time in the vault have waited two hours longer.
    private static func age(_ fleet: IdentityFleet) async throws {
        try await fleet.restartVault {
            try await self.state(fleet).write { database in
                try database.execute(
                    sql: "UPDATE authority SET since_ms = since_ms - 2 * 60 * 60 * 1000")
            }
        }
    }

    private static func state(_ fleet: IdentityFleet) throws -> DatabaseQueue {
        try DatabaseQueue(path: fleet.path("vault-state/state.sqlite"))
    }
}
