import Cryptography
import Foundation
import KeyVault
import NIOCore
import Testing

@Suite("Identities from a vault", .serialized, .timeLimit(.minutes(10)))
struct IdentityTests {
    @Test("services join with tokens, and a request is scored through their identities")
    func joinAndScore() async throws {
        try await IdentityFleet.run { fleet in
            #expect(try await fleet.score() == 200)
            let list = try await fleet.identities("list", "--output", "json")
            #expect(list.output.contains("spiffe://test.local/agent/blue"))
            #expect(list.output.contains("spiffe://test.local/gateway/edge"))
            let attributes = try FileManager.default.attributesOfItem(
                atPath: fleet.path("agent-identity/current/key.pem"))
            #expect(attributes[.posixPermissions] as? Int == 0o600)
            let leaf = try #require(
                try IdentityFolder(path: fleet.path("agent-identity")).certificate())
            #expect(leaf.dnsNames == ["localhost"] && leaf.notAfter - leaf.notBefore == 960)
        }
    }

    @Test("renewals under load fail no request")
    func renewUnderLoad() async throws {
        try await IdentityFleet.run { fleet in
            let (gateway, agent) = (try #require(fleet.gateway), try #require(fleet.agent))
            var statuses: [Int] = []
            for round in 1...5 {
                for process in [gateway, agent] { process.signal(SIGHUP) }
                let isRenewed = { @Sendable (log: String) in
                    log.components(separatedBy: "identity renewed").count > round
                        && log.components(separatedBy: "configuration in force").count > round
                }
                // One request after the other for the whole of the round.
                let end = ContinuousClock.now + .seconds(30)
                var isDone = false
                while !isDone, ContinuousClock.now < end {
                    statuses.append(try await fleet.score())
                    isDone = isRenewed(gateway.errors.value) && isRenewed(agent.errors.value)
                }
                #expect(isDone, "round \(round)")
            }
            #expect(statuses.allSatisfy { $0 == 200 }, "\(statuses)")
            for process in [gateway, agent] {
                #expect(!process.errors.value.contains("could not be renewed"))
            }
        }
    }

    @Test("a token used, forged, for another service or shown to another vault gets nothing")
    func tokens() async throws {
        try await IdentityFleet.run(services: false) { fleet in
            try await fleet.makeToken("agent/a", file: "a.token")
            let first = try fleet.client("agent/a", name: "a")
            _ = try await first.join()
            // Another machine with a copy of the token.
            try FileManager.default.copyItem(
                atPath: fleet.path("a.token"), toPath: fleet.path("b.token"))
            await self.expectUnusable(try fleet.client("agent/a", name: "b"), "refuses (403)")
            await self.expectUnusable(
                IdentityClient(
                    identity: try SPIFFEID("spiffe://test.local/agent/c"),
                    folder: IdentityFolder(path: fleet.path("c")),
                    tokenPath: fleet.path("b.token")), "the token is for")
            // A vault whose root is not the one expected never sees the token.
            try await fleet.makeToken("agent/d", file: "d.token")
            let text = try String(contentsOfFile: fleet.path("d.token"), encoding: .utf8)
            let digest = try JoinToken(path: fleet.path("d.token")).trustRoots[0]
            let other = String(repeating: "0", count: 64)
            try fleet.materials.write(
                "e.token", text.replacing(digest, with: other), mode: 0o600)
            let stranger = IdentityClient(
                identity: try SPIFFEID("spiffe://test.local/agent/d"),
                folder: IdentityFolder(path: fleet.path("e")), tokenPath: fleet.path("e.token"))
            await self.expectUnusable(stranger, "another trust root than the join token is for")
            _ = try await fleet.client("agent/d", name: "d").join()
        }
    }

    @Test("once the new certificate was shown to the vault, the old one gets no other")
    func usedSuccessor() async throws {
        try await IdentityFleet.run(services: false) { fleet in
            try await fleet.makeToken("agent/a", file: "a.token")
            let client = try fleet.client("agent/a", name: "a")
            _ = try await client.join()
            // Somebody has taken a copy.
            try FileManager.default.copyItem(atPath: fleet.path("a"), toPath: fleet.path("b"))
            let thief = try fleet.client("agent/a", name: "b")
            _ = try await client.renew()
            await #expect(throws: KeyVaultError.self) { try await thief.renew() }
            await #expect(throws: KeyVaultError.self) { try await thief.rejoin() }
            _ = try await client.renew()
        }
    }

    @Test("five wrong tries, and the address gets 429 even with a right token")
    func guesses() async throws {
        try await IdentityFleet.run(services: false) { fleet in
            try await fleet.makeToken("agent/a", file: "a.token")
            let token = try JoinToken(path: fleet.path("a.token"))
            let text = try String(contentsOfFile: fleet.path("a.token"), encoding: .utf8)
            let guess = Base64URL.text(of: Array(repeating: 7, count: 32).rawSpan)
            try fleet.materials.write(
                "b.token", text.replacing(token.token, with: guess), mode: 0o600)
            for _ in 1...5 {
                await self.expectUnusable(
                    IdentityClient(
                        identity: try SPIFFEID(token.identity),
                        folder: IdentityFolder(path: fleet.path("b")),
                        tokenPath: fleet.path("b.token")), "refuses (403)")
            }
            let client = try fleet.client("agent/a", name: "a")
            await #expect(throws: KeyVaultError.throttled(retryAfterMilliseconds: 60_000)) {
                try await client.join()
            }
            let hasReason = fleet.vault.errors.value.contains("the join token is unknown")
            #expect(hasReason)
        }
    }

    @Test("who holds connections to the join listener keeps no other address out")
    func held() async throws {
        let ports = try await IdentityFleet.Ports.find()
        try await IdentityFleet.run(services: false, ports: ports) { _ in
            let outcome = try await Command.run(
                "/bin/bash",
                [
                    "-c",
                    """
                    for i in 1 2 3 4 5 6 7 8; do exec {held}<>/dev/tcp/127.0.0.1/\(ports.join); done
                    exec {ninth}<>/dev/tcp/127.0.0.1/\(ports.join)
                    read -t 60 -u $ninth; (($? <= 128)) && echo ninth is closed
                    openssl s_client -connect 127.0.0.1:\(ports.join) -bind 127.0.0.2:0 \
                    </dev/null 2>/dev/null | grep 'BEGIN CERTIFICATE'
                    """,
                ])
            // On a machine so busy that handshakes timed out meanwhile, all of them are closed.
            #expect(outcome.output.contains("ninth is closed"), "\(outcome)")
            #expect(outcome.output.contains("BEGIN CERTIFICATE"), "\(outcome)")
        }
    }

    @Test("a vault that is away is waited for; the key of a certificate gets another")
    func outage() async throws {
        try await IdentityFleet.run(services: false) { fleet in
            try await fleet.makeToken("agent/a", file: "a.token")
            let client = try fleet.client("agent/a", name: "a")
            let first = try await client.join()
            try await fleet.restartVault {
                do {
                    _ = try await client.renew()
                    Issue.record("renewed without a vault")
                } catch let error as KeyVaultError {
                    guard case .unavailable = error else { throw error }
                }
                #expect(try client.folder.certificate()?.serial == first.serial)
            }
            let second = try await client.renew()
            #expect(second.serial != first.serial)
            let third = try await client.rejoin()
            #expect(third.serial != second.serial)
            #expect(try client.folder.certificate()?.serial == third.serial)
        }
    }

    @Test(
        "a token of a vault whose trust root is another one is used, the certificate valid or not")
    func otherRoot() async throws {
        try await IdentityFleet.run(services: false) { fleet in
            try await fleet.makeToken("agent/a", file: "a.token")
            let old = try fleet.client("agent/a", name: "a")
            let first = try await old.join()
            // Used long ago, and the vault is another one.
            try await fleet.restartVault {
                try FileManager.default.removeItem(atPath: fleet.path("vault-state"))
            }
            #expect(try await old.ensure().serial == first.serial)
            let later = CertificateAuthority.now + 7200
            await #expect {
                _ = try await old.ensure(now: later)
            } throws: {
                if case KeyVaultError.unavailable = $0 { true } else { false }
            }
            for (name, now) in [("b", later), ("c", CertificateAuthority.now)] {
                try FileManager.default.copyItem(
                    atPath: fleet.path("a"), toPath: fleet.path(name))
                try await fleet.makeToken("agent/a", file: "\(name).token")
                let client = try fleet.client("agent/a", name: name)
                let second = try await client.ensure(now: now)
                #expect(second.serial != first.serial)
                #expect(try await client.renew().serial != second.serial)
            }
            // A service that goes on and finds the token when it is to renew.
            let (renewed, tell) = AsyncStream.makeStream(of: Bool.self)
            try await fleet.makeToken("agent/a", file: "d.token")
            try FileManager.default.copyItem(atPath: fleet.path("a"), toPath: fleet.path("d"))
            let keeper = IdentityKeeper(try fleet.client("agent/a", name: "d")) { event in
                if case .renewed = event { tell.yield(true) } else { tell.yield(false) }
            }
            keeper.renewNow()
            let running = Task { await keeper.run() }
            for await isRenewed in renewed.prefix(1) { #expect(isRenewed) }
            running.cancel()
            await running.value
        }
    }

    @Test("a denied service is cut off and gets nothing more, until it is allowed")
    func denied() async throws {
        try await IdentityFleet.run(services: false) { fleet in
            try await fleet.makeToken("agent/a", file: "a.token")
            let client = try fleet.client("agent/a", name: "a")
            _ = try await client.join()
            let id = "spiffe://test.local/agent/a"
            let denied = try await fleet.identities("deny", id, "--reason", "lost")
            #expect(denied.code == 0 && denied.output.contains("in force in the vault"))
            await #expect(throws: KeyVaultError.self) { try await client.renew() }
            await #expect(throws: KeyVaultError.self) { try await client.rejoin() }
            #expect(fleet.vault.errors.value.contains("peer turned away"))
            #expect(try await fleet.identities("list").output.contains("denied\t\(id)"))
            #expect(try await fleet.identities("allow", id).code == 0)
            _ = try await client.renew()
            #expect(try await fleet.identities("allow", id).code == 1)
        }
    }

    @Test("a denied agent is cut off by the gateway within five seconds, and comes back")
    func deniedAgent() async throws {
        try await IdentityFleet.run { fleet in
            let gateway = try #require(fleet.gateway)
            #expect(try await fleet.score() == 200)
            let id = "spiffe://test.local/agent/blue"
            // Once is enough: on a busy machine all takes longer, and not each time.
            var quickest = Duration.seconds(60)
            for round in 1...3 where quickest > .seconds(5) {
                #expect(try await fleet.identities("deny", id).code == 0)
                let denied = ContinuousClock.now
                let isClosed = await gateway.errors.wait {
                    $0.components(separatedBy: "connection of a denied peer closed").count > round
                }
                quickest = min(quickest, ContinuousClock.now - denied)
                #expect(isClosed)
                #expect(try await fleet.score() == 503)
                #expect(try await fleet.identities("allow", id).code == 0)
                #expect(try await eventually { try await fleet.score() == 200 })
            }
            #expect(quickest <= .seconds(5))
        }
    }

    @Test("an operator joins by the command line, and renews")
    func operatorJoins() async throws {
        try await IdentityFleet.run(services: false) { fleet in
            func join(_ arguments: String...) async throws -> GatewayProcess.Outcome {
                try await GatewayProcess.run(
                    ["identities", "join", "--directory", fleet.path("ops")] + arguments)
            }
            let renewal = try await join("--renew")
            #expect(renewal.code == 1 && renewal.errors.contains("there is no certificate"))
            #expect(try await join().code == 2)
            try await fleet.makeToken("operator/ops", file: "ops.token")
            let joined = try await join("--token", fleet.path("ops.token"))
            #expect(joined.code == 0, "\(joined.errors)")
            #expect(joined.output.contains("spiffe://test.local/operator/ops"))
            let folder = IdentityFolder(path: fleet.path("ops"))
            let first = try #require(try folder.certificate())
            for (path, mode) in [(folder.path, 0o700), (folder.key, 0o600)] {
                let attributes = try FileManager.default.attributesOfItem(atPath: path)
                #expect(attributes[.posixPermissions] as? Int == mode)
            }
            // A token is good once, and a refusal changes nothing.
            #expect(try await join("--token", fleet.path("ops.token")).code == 1)
            #expect(try folder.certificate()?.serial == first.serial)
            // Over mutual TLS: the vault takes the certificate for what it is.
            let renewed = try await join("--renew")
            #expect(renewed.code == 0, "\(renewed.errors)")
            #expect(try folder.certificate()?.serial != first.serial)
            try await fleet.restartVault {
                let away = try await join("--renew")
                #expect(away.code == 3, "\(away)")
            }
        }
    }

    @Test("commands refuse what is no identity, or a second rotation")
    func commands() async throws {
        try await IdentityFleet.run(services: false) { fleet in
            #expect(try await fleet.identities("deny", "agent/a").code == 2)
            let vault = try await fleet.identities("token", "spiffe://test.local/vault/b")
            #expect(vault.code == 1)
            let other = try await fleet.identities("token", "spiffe://other/agent/b")
            #expect(other.code == 1)
            let name = try await fleet.identities(
                "token", "spiffe://test.local/agent/b", "--dns", "a b")
            #expect(name.code == 1)
            #expect(try await fleet.identities("rotate-root").code == 0)
            #expect(try await fleet.identities("rotate-root").code == 1)
            #expect(try await fleet.identities("list").output.contains("root\tpublished"))
            // A service that joins now trusts both roots.
            try await fleet.makeToken("agent/a", file: "a.token")
            let client = try fleet.client("agent/a", name: "a")
            _ = try await client.join()
            let bundle = try WholeFile.read(client.folder.trustBundle, maximum: 1 << 16)
            #expect(try Certificate.chain(pem: bundle).count == 2)
        }
    }

    private func expectUnusable(_ client: IdentityClient, _ reason: String) async {
        do {
            _ = try await client.join()
            Issue.record("joined")
        } catch {
            #expect("\(error)".contains(reason), "\(error)")
        }
    }
}
