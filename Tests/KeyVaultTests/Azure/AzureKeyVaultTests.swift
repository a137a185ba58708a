import Cryptography
import Foundation
import HTTPTransport
import Synchronization
import TLS
import Testing

@testable import KeyVault

@Suite("A vault across the network", .serialized) struct AzureKeyVaultTests {
    private static let version = "0123456789abcdef0123456789abcdef"
    private let materials: VaultMaterials

    init() throws { self.materials = try VaultMaterials() }

    /// Runs `body` with the client of a fake `scoregate vault`.
    private func withVault(
        certificate: TLSCertificateFiles? = nil, times: VaultTimes = .patient,
        _ script: @escaping @Sendable (FakeVault.Question, _ kid: String) -> FakeVault.Action,
        _ body: (AzureKeyVault, FakeVault, _ kid: String) async throws -> Void
    ) async throws {
        let kid = Mutex("")
        let fake = try await FakeVault(
            certificate ?? self.materials.vault, clientRoots: self.materials.root
        ) { question in script(question, kid.withLock { $0 }) }
        let address = try #require(VaultAddress("https://127.0.0.1:\(fake.port)"))
        kid.withLock { $0 = address.keyID("iris", version: Self.version) }
        do {
            try await body(
                AzureKeyVault(address, self.materials.service, times), fake, kid.withLock { $0 })
        } catch {
            await fake.stop()
            throw error
        }
        await fake.stop()
    }

    @Test("What is wrapped here under the public half the vault unwraps, on one connection")
    func roundTrip() async throws {
        let key = try FakeKey.usual.get()
        try await self.withVault { question, kid in
            question.method == "GET" ? .answer(200, key.text(kid)) : key.unwrap(kid, question.body)
        } _: { vault, fake, kid in
            let current = try await vault.current("iris")
            #expect(
                current
                    == WrappingKey(
                        id: kid, version: Self.version, algorithm: .rsaOAEP256,
                        createdMilliseconds: 1_700_000_000_000))
            let secret = try SystemRandom.secret(count: 64)
            let wrapped = try await vault.wrap(secret, under: current, "iris")
            // Nothing of it went to the vault.
            #expect(fake.questions.count == 1)
            let opened = try await vault.unwrap(wrapped, under: kid, .rsaOAEP256, "iris")
            #expect(bytes(opened) == bytes(secret))
            let seen1 = try await vault.state(of: kid, "iris")
            #expect(seen1 == .active)
            #expect(fake.connections == 1)
            #expect(vault.session?.version == .tls13)
            #expect(vault.session?.peer?.identity == VaultMaterials.identity)
            let asked = fake.questions.map { "\($0.method) \($0.path)" }
            #expect(
                asked == [
                    "GET /keys/iris?api-version=7.4",
                    "POST /keys/iris/\(Self.version)/unwrapkey?api-version=7.4",
                    "GET /keys/iris/\(Self.version)?api-version=7.4",
                ])
        }
    }

    @Test("A version that is named is kept to, and asked for by name")
    func pinned() async throws {
        let key = try FakeKey.usual.get()
        try await self.withVault { question, kid in
            .answer(200, key.text(kid))
        } _: { vault, fake, kid in
            let seen2 = try await vault.current("iris/\(Self.version)").id
            #expect(seen2 == kid)
            #expect(fake.questions[0].path == "/keys/iris/\(Self.version)?api-version=7.4")
        }
    }

    @Test(
        "What a key's attributes say is its state",
        arguments: [
            (#""enabled":true"#, WrappingKeyState.active),
            (#""enabled":false"#, .disabled),
            (#""enabled":false,"exp":1"#, .disabled),
            (#""enabled":true,"exp":1"#, .expired),
            (#""enabled":true,"nbf":99999999999"#, .notYetValid),
            (#""enabled":true,"nbf":1,"exp":99999999999"#, .active),
        ])
    func attributes(_ text: String, state: WrappingKeyState) async throws {
        let key = try FakeKey.usual.get()
        try await self.withVault { _, kid in
            .answer(200, key.text(kid, text))
        } _: { vault, _, kid in
            let seen3 = try await vault.state(of: kid, "iris")
            #expect(seen3 == state)
            if state == .active {
                let seen4 = try await vault.current("iris").id
                #expect(seen4 == kid)
            } else {
                await #expect(throws: KeyVaultError.revoked(state)) {
                    try await vault.current("iris")
                }
            }
        }
    }

    @Test(
        "An answer for another key is of no use",
        arguments: [
            "https://other.example/keys/iris/VERSION", "BASE/keys/other/VERSION",
            "BASE/keys/iris/ffffffffffffffffffffffffffffffff", "BASE/keys/iris/",
            "BASE/keys/iris/../VERSION", "",
        ])
    func lies(_ lie: String) async throws {
        let key = try FakeKey.usual.get()
        try await self.withVault { question, kid in
            let address = kid.components(separatedBy: "/keys/")[0]
            let text = lie.replacingOccurrences(of: "BASE", with: address)
                .replacingOccurrences(of: "VERSION", with: Self.version)
            return question.method == "GET"
                ? .answer(200, key.text(text))
                : .answer(200, #"{"kid":"\#(text)","value":"AAAA"}"#)
        } _: { vault, _, kid in
            let isUnusable = { (error: any Error) in
                if case KeyVaultError.unusable = error { true } else { false }
            }
            await #expect {
                _ = try await vault.state(of: kid, "iris")
            } throws: { isUnusable($0) }
            await #expect {
                _ = try await vault.unwrap([1], under: kid, .rsaOAEP256, "iris")
            } throws: { isUnusable($0) }
        }
    }

    @Test("A version of another key is refused before anybody is asked")
    func foreign() async throws {
        try await self.withVault { _, _ in
            .hang
        } _: { vault, fake, kid in
            for id in [
                "https://127.0.0.1:1/keys/iris/\(Self.version)", kid + "/x",
                kid.replacingOccurrences(of: "/iris/", with: "/other/"), "embedded:00/1",
            ] {
                await #expect(throws: KeyVaultError.foreignKey(id: id)) {
                    _ = try await vault.state(of: id, "iris")
                }
                await #expect(throws: KeyVaultError.foreignKey(id: id)) {
                    _ = try await vault.unwrap([1], under: id, .rsaOAEP256, "iris")
                }
            }
            #expect(fake.connections == 0)
        }
    }

    @Test("Small keys, keys that cannot unwrap and other kinds are refused")
    func unfit() async throws {
        let small = try FakeKey.small.get()
        let answers = Mutex([String]())
        try await self.withVault { _, kid in
            let texts = [
                small.text(kid),
                small.text(kid).replacingOccurrences(of: #","unwrapKey""#, with: ""),
                small.text(kid).replacingOccurrences(of: #""RSA""#, with: #""EC""#),
            ]
            return answers.withLock { answers in
                defer { answers.append("") }
                return .answer(200, texts[answers.count])
            }
        } _: { vault, _, _ in
            for reason in ["too small", "unwrapKey", "neither"] {
                await #expect {
                    _ = try await vault.current("iris")
                } throws: { "\($0)".contains(reason) }
            }
        }
    }

    @Test("A slow vault is waited for 2 s and no longer")
    func slow() async throws {
        try await self.withVault(times: VaultTimes()) { _, _ in
            .hang
        } _: { vault, _, kid in
            let start = ContinuousClock.now
            await #expect {
                _ = try await vault.state(of: kid, "iris")
            } throws: {
                if case KeyVaultError.unavailable = $0 { true } else { false }
            }
            let time = ContinuousClock.now - start
            #expect(time >= .milliseconds(1900) && time < .seconds(20))
        }
    }

    @Test("A vault that fails is asked three times, then left alone for a second")
    func failing() async throws {
        try await self.withVault { _, _ in
            .answer(503, "no")
        } _: { vault, fake, kid in
            for _ in 0..<3 {
                await #expect {
                    _ = try await vault.state(of: kid, "iris")
                } throws: {
                    if case KeyVaultError.unavailable = $0 { true } else { false }
                }
            }
            #expect(fake.questions.count == 6)
        }
    }

    @Test("An answer after a failure is taken")
    func recovering() async throws {
        let key = try FakeKey.usual.get()
        let count = Mutex(0)
        try await self.withVault { _, kid in
            let number = count.withLock { count in
                count += 1
                return count
            }
            return number == 1
                ? .close : number == 2 ? .answer(500, "") : .answer(200, key.text(kid))
        } _: { vault, _, kid in
            let seen5 = try await vault.state(of: kid, "iris")
            #expect(seen5 == .active)
        }
    }

    @Test("A vault that asks to be left alone is left alone")
    func throttled() async throws {
        try await self.withVault { _, _ in
            .answer(429, ["retry-after": "30"], "")
        } _: { vault, fake, kid in
            await #expect(throws: KeyVaultError.throttled(retryAfterMilliseconds: 30_000)) {
                _ = try await vault.state(of: kid, "iris")
            }
            await #expect {
                _ = try await vault.state(of: kid, "iris")
            } throws: {
                if case KeyVaultError.unavailable = $0 { true } else { false }
            }
            #expect(fake.questions.count == 1)
        }
    }

    @Test(
        "Whatever is not a vault's answer is of no use, and says nothing of the key",
        arguments: [
            FakeVault.Action.send(Array("garbage\r\n\r\n".utf8)),
            .answer(200, "garbage"), .answer(200, "{}"), .answer(200, ""),
            .answer(302, ["location": "https://127.0.0.1:1/keys/iris"], ""),
            .answer(403, "<html>"), .answer(404, "<html>"), .answer(418, "{}"),
            .answer(200, String(repeating: "x", count: 10 << 20)),
        ])
    func garbage(_ action: FakeVault.Action) async throws {
        try await self.withVault { _, _ in
            action
        } _: { vault, fake, kid in
            await #expect {
                _ = try await vault.state(of: kid, "iris")
            } throws: { error in
                guard let error = error as? KeyVaultError else { return false }
                return error.isTransient
            }
            #expect(fake.questions.count == 1)
        }
    }

    @Test("A vault with somebody else's certificate is not asked", arguments: [true, false])
    func wrongCertificate(isForeign: Bool) async throws {
        try await self.withVault(
            certificate: isForeign ? self.materials.foreign : self.materials.gateway
        ) { _, _ in
            .answer(200, "")
        } _: { vault, fake, kid in
            await #expect {
                _ = try await vault.state(of: kid, "iris")
            } throws: {
                "\($0)".contains("TLS")
            }
            #expect(fake.questions.isEmpty)
        }
    }

    @Test("What its events tell is heard; a vault that falls silent is lost, and asked again")
    func events() async throws {
        try await self.withVault { question, _ in
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                + "transfer-encoding: chunked\r\n\r\n"
            let event = "id: 7\nevent: key\ndata: {}\n\n"
            guard question.fields["last-event-id"] == nil else { return .hang }
            return .send(
                Array((head + String(event.utf8.count, radix: 16) + "\r\n" + event + "\r\n").utf8))
        } _: { vault, fake, _ in
            let (news, tell) = AsyncStream.makeStream(of: String.self)
            let task = Task {
                await vault.follow { one in
                    switch one {
                    case .listening: tell.yield("listening")
                    case .changed: tell.yield("changed")
                    case .lost: tell.yield("lost")
                    }
                }
            }
            var heard: [String] = []
            // Lost for its silence, and again when it does not answer.
            for await one in news {
                heard.append(one)
                if heard.count(where: { $0 == "lost" }) == 2 { break }
            }
            task.cancel()
            #expect(heard == ["listening", "changed", "lost", "lost"])
            #expect(fake.questions.last?.fields["last-event-id"] == "7")
        }
    }
}
