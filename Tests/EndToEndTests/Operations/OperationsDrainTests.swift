import Foundation
import NIOCore
import Testing

/// The end of a gateway, wanted or not, and its next start.
@Suite("Operations: drain and restart")
struct OperationsDrainTests {
    @Test("SIGTERM lets what is in progress finish, and nothing begin")
    func drain() async throws {
        try await Installation.run { installation in
            let key = try await installation.key()
            let gateway = try installation.gateway
            let inFlight = try await installation.beginGated(key)
            let idle = try await installation.connect()
            await idle.send(installation.request(key))
            #expect(try await idle.answer().status == 200)
            #expect(try await installation.admin("/readyz").status == 200)

            gateway.signal(SIGTERM)
            #expect(await idle.untilClosed(.seconds(5)) != nil)
            #expect(idle.received.value.error == nil)
            let ready = try await installation.admin("/readyz")
            #expect(ready.status == 503)
            #expect(ready.body.contains(#""reasons":["draining"]"#))
            #expect(try await installation.command("health").code == 1)
            await #expect(throws: (any Error).self) { try await installation.connect() }
            #expect(gateway.exit.value == nil)

            await inFlight.send("}")
            #expect(try await inFlight.answer().text == "hiho")
            await gateway.exit.wait { $0 != nil }
            #expect(gateway.exit.value == 0)
        }
    }

    @Test("drain_timeout_ms ends what does not finish")
    func timeout() async throws {
        try await Installation.run(Installation.Setup(drainMilliseconds: 300)) { installation in
            let key = try await installation.key()
            let gateway = try installation.gateway
            let begun = try await installation.beginGated(key)
            installation.backend.script("/silent", [.receiveRequest])
            let waiting = try await installation.connect()
            await waiting.send(installation.request(key, "/silent"))
            #expect(await installation.backend.requests(path: "/silent").count == 1)
            let start = ContinuousClock.now
            gateway.signal(SIGTERM)
            #expect(await gateway.exit.wait(.seconds(25)) { $0 != nil })
            #expect(gateway.exit.value == 0)
            #expect(ContinuousClock.now - start >= .milliseconds(300))
            #expect(await begun.untilClosed() != nil)
            #expect(gateway.errors.value.contains("drain timed out"))
            // Neither is the client's doing.
            let answer = try await waiting.answer()
            #expect(answer.status == 503)
            #expect(answer.text.contains("shutting_down"))
            let lines = installation.read("access.log").split(separator: "\n")
            #expect(lines.count == 2)
            for (path, status) in [("/gated", 200), ("/silent", 503)] {
                let line = try #require(lines.first { $0.contains(#""Path":"\#(path)""#) })
                #expect(line.contains(#""ResponseCode":\#(status),"#), "\(line)")
                #expect(line.contains(#""ResponseCodeReason":"shutting_down""#), "\(line)")
                #expect(line.contains(#""ErrorSource":"internal""#), "\(line)")
            }
        }
    }

    @Test("A second SIGTERM ends at once")
    func second() async throws {
        try await Installation.run(Installation.Setup(drainMilliseconds: 600_000)) {
            installation in
            let key = try await installation.key()
            let gateway = try installation.gateway
            let client = try await installation.beginGated(key)
            gateway.signal(SIGTERM)
            #expect(try await installation.logged("draining"))
            #expect(gateway.exit.value == nil)
            gateway.signal(SIGTERM)
            #expect(await gateway.exit.wait { $0 != nil })
            #expect(await client.untilClosed() != nil)
        }
    }

    @Test("Killed under load, it starts again at once with its keys and state")
    func kill() async throws {
        let setup = Installation.Setup(
            listeners: """
                  - address: unix:gateway.sock
                    tls:
                      certificates: [{chain: certs/server.pem, key: certs/server.key}]

                """)
        try await Installation.run(setup, starts: false) { installation in
            // The same port again: that is what a restart must get.
            let port = try await FreePort.find()
            try installation.write(
                "gateway.yaml",
                installation.text.replacing("127.0.0.1:0", with: "127.0.0.1:\(port)"))
            try await installation.start()
            let (key, other) = (
                try await installation.key(), try await installation.key("secondary")
            )
            _ = try await installation.command("keys", "revoke", "iris", "--slot", "secondary")
            for _ in 0..<3 {
                var clients: [RawClient] = []
                for _ in 0..<4 { clients.append(try await installation.beginGated(key)) }
                let gateway = try installation.gateway
                gateway.signal(SIGKILL)
                await gateway.exit.wait { $0 != nil }
                try await installation.start()
                #expect(try installation.gateway.port == port)
                #expect(try await installation.status(key) == 200)
                #expect(try await installation.status(other) == 401)
            }
            let made = try await installation.command("keys", "regenerate", "iris")
            #expect(made.errors.contains("in force on 2 of 2 workers"))
            let overSocket = try await installation.shell(
                """
                curl --silent --output /dev/null --write-out '%{http_code}' --cacert certs/ca.pem \
                --unix-socket gateway.sock --header 'Authorization: Bearer \(key)' \
                https://localhost/score
                """)
            #expect(overSocket.output == "401")
        }
    }
}
