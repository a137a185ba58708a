import Foundation
import NIOCore
import Testing

/// Certificates and configuration replaced under a gateway that serves.
@Suite("Operations: reload")
struct OperationsReloadTests {
    /// Requests on connections that live for five of them, until `isDone`; what went wrong.
    private static func load(
        _ installation: Installation, _ key: String, until isDone: Watched<Bool>
    ) async throws -> [String] {
        var wrong: [String] = []
        while !isDone.value {
            let client = try await installation.connect()
            for number in 1...5 {
                await client.send(installation.request(key))
                let answer = await client.answers(number).last
                if answer?.status != 200 { wrong.append(client.received.value.error ?? "no 200") }
            }
            await client.close()
        }
        return wrong
    }

    @Test("A new certificate is shown after the file changed, or at SIGHUP, and no request fails")
    func certificate() async throws {
        try await Installation.run { installation in
            let key = try await installation.key()
            let stays = try await installation.connect()
            await stays.send(installation.request(key))
            #expect(try await stays.answer().status == 200)
            let isDone = Watched(false)
            async let first = Self.load(installation, key, until: isDone)
            async let second = Self.load(installation, key, until: isDone)
            for (arguments, isTold) in [([String](), false), (["--algorithm", "rsa"], true)] {
                try await installation.issueServer(arguments)
                if isTold { try installation.gateway.signal(SIGHUP) }
                let new = try await installation.storedCertificate()
                #expect(!new.isEmpty)
                #expect(try await eventually { try await installation.shownCertificate() == new })
            }
            isDone.update { $0 = true }
            #expect(try await first + second == [])
            await stays.send(installation.request(key))
            #expect(await stays.answers(2).last?.status == 200)
        }
    }

    @Test(
        "A bad new certificate or key keeps the old one and says why",
        arguments: [
            ("certs/server.pem", "garbage", "no certificate in PEM"),
            ("certs/server.key", "another key", "does not belong to the certificate"),
            ("certs/server.key", "readable", "lets group or others at it"),
            ("certs/server.pem", "expired", "the certificate expired on"),
        ])
    func badCertificate(file: String, what: String, reason: String) async throws {
        try await Installation.run { installation in
            let key = try await installation.key()
            let shown = try await installation.shownCertificate()
            switch what {
            case "another key":
                try installation.write(file, installation.read("certs/caller.key"), mode: 0o600)
            case "readable":
                try installation.write(file, installation.read(file), mode: 0o644)
            case "expired":
                let expired = try ExpiredCertificate.make()
                try installation.write("certs/server.key", expired.key, mode: 0o600)
                try installation.write(file, expired.certificate)
            default:
                try installation.write(file, what)
            }
            try installation.gateway.signal(SIGHUP)
            #expect(try await installation.logged(reason))
            #expect(try installation.gateway.errors.value.contains("reload failed"))
            #expect(try await installation.shownCertificate() == shown)
            #expect(try await installation.status(key) == 200)
            let metrics = try await installation.admin("/metrics").body
            #expect(!metrics.contains(#"gateway_reloads_total{result="failure"} 0"#))
        }
    }

    @Test("Reloads fail no request that waits for a backend, and none that is in progress")
    func inProgress() async throws {
        try await Installation.run { installation in
            let key = try await installation.key()
            // A connection for each request, so that there is always one being opened.
            installation.backend.script(
                "/score",
                [
                    .receiveRequest,
                    .send(Array("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".utf8)), .close,
                ])
            let gated = try await installation.beginGated(key)
            let isDone = Watched(false)
            async let first = Self.load(installation, key, until: isDone)
            async let second = Self.load(installation, key, until: isDone)
            // An endpoint before the other gives that one another number.
            let added = """
                endpoints:
                  aaa:
                    hosts: [127.0.0.1]
                    traffic: {blue: 100}
                    deployments: {blue: {backends: ["unix:nobody.sock"]}}
                """
            // Few enough to be done before the request in progress is too slow with its body.
            for number in 1...8 {
                let text = installation.text.replacing("endpoints:", with: added)
                    .replacing("  iris:", with: "  iris:\n    hosts: [localhost]")
                try installation.write(
                    "gateway.yaml", number.isMultiple(of: 2) ? installation.text : text)
                let before =
                    try installation.gateway.errors.value
                    .components(separatedBy: "configuration in force").count - 1
                try installation.gateway.signal(SIGHUP)
                try #require(await installation.logged("configuration in force", before: before))
            }
            isDone.update { $0 = true }
            #expect(try await first + second == [])
            await gated.send("}")
            #expect(try await gated.answer().text == "hiho")
        }
    }

    @Test("Changed routes take effect at SIGHUP; a broken file changes nothing")
    func configuration() async throws {
        try await Installation.run { installation in
            let key = try await installation.key()
            let text = installation.text
            try installation.write(
                "gateway.yaml", text.replacing("traffic: {blue: 100}", with: "traffic: {blue: 0}"))
            try installation.gateway.signal(SIGHUP)
            #expect(try await eventually { try await installation.status(key) == 404 })

            try installation.write("gateway.yaml", text.replacing("  iris:", with: "  rose:"))
            try installation.gateway.signal(SIGHUP)
            #expect(try await eventually { try await installation.status(key) == 401 })

            try installation.write("gateway.yaml", text)
            try installation.gateway.signal(SIGHUP)
            #expect(try await eventually { try await installation.status(key) == 200 })

            try installation.write("gateway.yaml", text.replacing("workers:", with: "workes:"))
            try installation.gateway.signal(SIGHUP)
            #expect(try await installation.logged("gateway.yaml:5:1: unknown key"))
            #expect(try await installation.status(key) == 200)

            for (old, new, name) in [
                ("workers: 2", "workers: 1", "workers"),
                ("workers: 2", "workers: 2\nlimits: {connections: 99}", "limits.connections"),
            ] {
                try installation.write("gateway.yaml", text.replacing(old, with: new))
                try installation.gateway.signal(SIGHUP)
                let message = "a restart is needed for a change of \(name)"
                #expect(try await installation.logged(message))
                #expect(try await installation.status(key) == 200)
            }
        }
    }
}
