import Foundation
import Testing

@Suite("Guessing keys", .serialized)
struct KeyGuessingTests {
    @Test("After 20 refusals a minute each further one waits 250 ms; a right key never does")
    func slowsDown() async throws {
        try await Installation.run(Installation.Setup(workers: 1)) { installation in
            let key = try await installation.key()
            for _ in 0..<20 { _ = try await Self.guess(installation) }
            // On a slow machine some of the twenty are forgiven before the next are sent.
            var late = 0
            for _ in 0..<40 where late < 3 {
                let before = try await Self.delayed(installation)
                let time = try await Self.guess(installation)
                guard try await Self.delayed(installation) > before else { continue }
                late += 1
                #expect(time >= .milliseconds(245))
            }
            #expect(late == 3)
            for _ in 0..<20 { #expect(try await installation.status(key) == 200) }
            #expect(try await Self.delayed(installation) == late)
        }
    }

    @Test("Behind a trusted proxy who guesses is slowed down, and not who comes by it too")
    func behindProxy() async throws {
        let setup = Installation.Setup(workers: 1, lines: "trusted_proxies: [127.0.0.0/8]\n")
        try await Installation.run(setup) { installation in
            for _ in 0..<40 { _ = try await Self.guess(installation, from: "192.0.2.1") }
            let guesser = try await Self.delayed(installation)
            #expect(guesser > 0)
            for other in 1...8 {
                _ = try await Self.guess(installation, from: "198.51.\(other).1")
            }
            #expect(try await Self.delayed(installation) == guesser)
        }
    }

    /// Sends a wrong key and gives how long its refusal took.
    private static func guess(
        _ installation: Installation, from address: String = "192.0.2.1"
    ) async throws -> Duration {
        let client = try await RawClient.connect(
            port: installation.gateway.port, root: installation.trustRoot)
        let start = ContinuousClock.now
        await client.send(
            """
            POST /score HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: \(address)\r\n\
            Authorization: Bearer wrong-\(UUID().uuidString)\r\nContent-Length: 0\r\n\r\n
            """)
        #expect(try await client.answer(method: "POST").status == 401)
        return ContinuousClock.now - start
    }

    /// Refusals held back so far.
    private static func delayed(_ installation: Installation) async throws -> Int {
        let name = "gateway_delayed_refusals_total "
        let lines = try await installation.admin("/metrics").body.split(separator: "\n")
        let line = try #require(lines.first { $0.hasPrefix(name) })
        return try #require(Int(line.dropFirst(name.count)))
    }

    @Test("Without a key a path that is there and one that is not are told apart by nothing")
    func paths() async throws {
        let stage = try await Stage.start(StageSetup(endpointLines: "    path_prefix: /iris\n"))
        do {
            for (name, value) in [("absent", ""), ("basic", "Basic eDp5"), ("wrong", "Bearer x")] {
                var answers: [String] = []
                for path in ["/iris/score", "/none/score"] {
                    let line = value.isEmpty ? "" : "Authorization: \(value)\r\n"
                    let answer = try await stage.exchange(
                        "GET \(path) HTTP/1.1\r\nHost: localhost\r\n\(line)\r\n", method: "GET")
                    answers.append("\(answer.status) \(answer.text)")
                }
                #expect(answers[0] == answers[1], "\(name): \(answers)")
            }
            let known = try await stage.exchange(stage.request("GET", "/iris/score"), method: "GET")
            #expect(known.status == 200)
            let unknown = try await stage.exchange(
                stage.request("GET", "/none/score"), method: "GET")
            #expect(unknown.status == 404)
        } catch {
            await stage.stop()
            throw error
        }
        await stage.stop()
    }
}
