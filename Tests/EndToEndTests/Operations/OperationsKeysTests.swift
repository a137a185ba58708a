import Foundation
import NIOCore
import Testing

/// Endpoint keys changed by command line under a gateway that serves.
@Suite("Operations: endpoint keys")
struct OperationsKeysTests {
    @Test("A regenerated key replaces the old one on every worker; the other slot never fails")
    func regenerate() async throws {
        try await Installation.run { installation in
            let (old, other) = (
                try await installation.key(), try await installation.key("secondary")
            )
            var clients: [RawClient] = []
            // Sixteen connections are on both workers but once in 32,768 times.
            for _ in 0..<16 {
                let client = try await installation.connect()
                await client.send(installation.request(old))
                #expect(try await client.answer().status == 200)
                clients.append(client)
            }
            let isDone = Watched(false)
            async let failures = Self.load(installation, other, until: isDone)
            let outcome = try await installation.command("keys", "regenerate", "iris")
            for client in clients { await client.send(installation.request(old)) }
            for client in clients { #expect(await client.answers(2).last?.status == 401) }
            isDone.update { $0 = true }
            #expect(try await failures == 0)
            #expect(outcome.code == 0)
            #expect(outcome.errors.contains("in force on 2 of 2 workers"))
            let new = outcome.output.trimmingCharacters(in: .whitespacesAndNewlines)
            #expect(try await installation.status(new) == 200)
        }
    }

    /// Requests, one after the other, until `isDone`; how many failed.
    private static func load(
        _ installation: Installation, _ key: String, until isDone: Watched<Bool>
    ) async throws -> Int {
        var failures = 0
        while !isDone.value {
            if try await installation.status(key) != 200 { failures += 1 }
        }
        return failures
    }

    @Test("Revoking a key ends at once what it has let in, and nothing else")
    func revoke() async throws {
        try await Installation.run { installation in
            let (key, other) = (
                try await installation.key(), try await installation.key("secondary")
            )
            let cut = try await installation.beginGated(key)
            let kept = try await installation.beginGated(other)
            let outcome = try await installation.command(
                "keys", "revoke", "iris", "--slot", "primary")
            #expect(outcome.code == 0)
            #expect(outcome.output.contains("in force on 2 of 2 workers"))
            #expect(await cut.received.wait { $0.isClosed || $0.isInputClosed })
            #expect(
                !String(decoding: cut.received.value.bytes, as: UTF8.self).contains("0\r\n\r\n"))
            let isCutThere = await installation.backend.connections.wait {
                $0.filter(\.isClosed).count == 1
            }
            #expect(isCutThere)
            await kept.send("}")
            #expect(try await kept.answer().text == "hiho")
            #expect(try await installation.status(key) == 401)
            #expect(try await installation.status(other) == 200)
            let metrics = try await installation.admin("/metrics").body
            #expect(metrics.contains("gateway_requests_in_flight 0\n"))
        }
    }

    @Test("--keep-streams lets in nothing more, and spares what is in progress")
    func keepStreams() async throws {
        try await Installation.run { installation in
            let key = try await installation.key()
            let kept = try await installation.beginGated(key)
            let outcome = try await installation.command(
                "keys", "revoke", "iris", "--slot", "primary", "--keep-streams")
            #expect(outcome.code == 0)
            #expect(try await installation.status(key) == 401)
            // A new key in the slot spares it as well.
            _ = try await installation.key()
            await kept.send("}")
            #expect(try await kept.answer().text == "hiho")
            let list = try await installation.command("keys", "list", "iris").output
            #expect(list.split(separator: "\n").count == 1)
        }
    }

    @Test("Revoking what is not there, or without a gateway, says so")
    func nothing() async throws {
        try await Installation.run(starts: false) { installation in
            let made = try await installation.command("keys", "regenerate", "iris")
            #expect(made.code == 0)
            #expect(made.errors.contains("no gateway is running"))
            let none = try await installation.command(
                "keys", "revoke", "iris", "--slot", "secondary")
            #expect(none.code == 1)
            let unknown = try await installation.command("keys", "list", "rose")
            #expect(unknown.code == 1)
            #expect(unknown.errors.contains(#"there is no endpoint "rose""#))
        }
    }

    @Test(
        "A key that has a week at most is told by the process's log, at start and reload, and by doctor"
    )
    func expiring() async throws {
        try await Installation.run(starts: false) { installation in
            let made = try await installation.command("keys", "regenerate", "iris", "--days", "7")
            #expect(made.code == 0)
            let long = try await installation.command(
                "keys", "regenerate", "iris", "--days", "9", "--slot", "secondary")
            #expect(long.code == 0)
            try await installation.start()
            #expect(try await installation.logged("an endpoint key expires soon"))
            try installation.gateway.signal(SIGHUP)
            #expect(try await installation.logged("an endpoint key expires soon", before: 1))
            let log = try installation.gateway.errors.value
            #expect(log.contains("slot=primary") && !log.contains("slot=secondary"), "\(log)")
            let doctor = try await installation.command("doctor", "--output", "json")
            #expect(doctor.code == 1)
            #expect(doctor.output.contains(#""name":"endpoint key of iris, primary""#))
            #expect(doctor.output.contains("expires on "))
            #expect(!doctor.output.contains("iris, secondary"))
        }
    }

    @Test("A key that would have expired already is not made, and the one there stays")
    func noDays() async throws {
        try await Installation.run(starts: false) { installation in
            _ = try await installation.key()
            let before = try await installation.command("keys", "list", "iris").output
            let refused = try await installation.command(
                "keys", "regenerate", "iris", "--days", "0")
            #expect(refused.code == 2, "\(refused)")
            #expect(refused.errors.contains("--days is at least 1"))
            #expect(try await installation.command("keys", "list", "iris").output == before)
        }
    }

    @Test("Keys of an endpoint that is not configured any more are listed, revoked and disabled")
    func removedEndpoint() async throws {
        try await Installation.run(starts: false) { installation in
            _ = try await installation.key()
            let rotated = try await installation.command("keys", "wrapping", "rotate", "iris")
            #expect(rotated.code == 0, "\(rotated)")
            try installation.write(
                "gateway.yaml", installation.text.replacing("  iris:", with: "  rose:"))
            let note = #"endpoint "iris" is not in "#
            let listed = try await installation.command("keys", "list", "iris")
            #expect(listed.code == 0 && listed.output.contains("primary"), "\(listed)")
            #expect(listed.errors.contains(note))
            let made = try await installation.command("keys", "regenerate", "iris")
            #expect(made.code == 1 && made.errors.contains("there is no endpoint"), "\(made)")
            let revoked = try await installation.command("keys", "revoke", "iris")
            #expect(revoked.code == 0 && revoked.output.contains("revoked"), "\(revoked)")
            #expect(revoked.errors.contains(note))
            for (command, text) in [
                ("list", "active"), ("disable", "disabled: "), ("enable", "enabled: "),
            ] {
                let outcome = try await installation.command("keys", "wrapping", command, "iris")
                #expect(outcome.code == 0 && outcome.output.contains(text), "\(outcome)")
                #expect(outcome.errors.contains(note))
            }
            let again = try await installation.command("keys", "wrapping", "rotate", "iris")
            #expect(again.code == 1, "\(again)")
        }
    }

    @Test(
        "Changing the wrapping key of an endpoint that logs nothing says that it changes no answer")
    func wrappingKeyOfNoLog() async throws {
        try await Installation.run(starts: false) { installation in
            let rotated = try await installation.command("keys", "wrapping", "rotate", "iris")
            #expect(rotated.code == 0, "\(rotated)")
            #expect(rotated.output.contains("version 1 made"), "\(rotated)")
            #expect(!rotated.output.contains("seals from now on"))
            let disabled = try await installation.command("keys", "wrapping", "disable", "iris")
            #expect(disabled.code == 0, "\(disabled)")
            for outcome in [rotated, disabled] {
                #expect(outcome.errors.contains("logs nothing"), "\(outcome)")
            }
            #expect(disabled.errors.contains("no request is refused"))
        }
    }
}
