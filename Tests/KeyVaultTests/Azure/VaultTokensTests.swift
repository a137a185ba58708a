import Foundation
import HTTPTransport
import Synchronization
import TLS
import Testing

@testable import KeyVault

@Suite("Tokens for an Azure Key Vault", .serialized) struct VaultTokensTests {
    private static let version = "0123456789abcdef0123456789abcdef"
    private let materials: VaultMaterials

    init() throws { self.materials = try VaultMaterials() }

    private func token(_ text: String, seconds: String = "3600") -> FakeVault.Action {
        .answer(
            200,
            #"{"token_type":"Bearer","expires_in":\#(seconds),"access_token":"\#(text)"}"#)
    }

    /// A vault and an authority on localhost, and the vault's client.
    private func withAzure(
        challenge: @escaping @Sendable (_ authority: Int) -> String,
        accepts: @escaping @Sendable (String?) -> Bool,
        issues: @escaping @Sendable (FakeVault.Question) -> FakeVault.Action,
        allowed: Bool = true, answers: FakeVault.Action? = nil,
        body: (AzureKeyVault, _ kid: String, _ vault: FakeVault, _ authority: FakeVault)
            async throws -> Void
    ) async throws {
        let key = try FakeKey.small.get()
        let authority = try await FakeVault(self.materials.server) { issues($0) }
        let kid = Mutex("")
        let port = authority.port
        let vault = try await FakeVault(self.materials.server) { question in
            accepts(question.fields["authorization"])
                ? answers ?? .answer(200, key.text(kid.withLock { $0 }))
                : .answer(
                    401, ["www-authenticate": challenge(port)],
                    #"{"error":{"code":"Unauthorized","message":"x"}}"#)
        }
        let address = try #require(VaultAddress("https://localhost:\(vault.port)"))
        kid.withLock { $0 = address.keyID("iris", version: Self.version) }
        let secret = try self.materials.write("secret", "s3cr&t+\n")
        let credential = AzureCredential(
            .clientSecret(tenant: "tenant-1", clientID: "client-1", file: secret),
            authorityHosts: allowed ? ["localhost:\(port)"] : AzureCredential.publicAuthorities,
            trustRoots: self.materials.root)
        do {
            try await body(
                AzureKeyVault(address, .azure(credential), .patient), kid.withLock { $0 }, vault,
                authority)
        } catch {
            await vault.stop()
            await authority.stop()
            throw error
        }
        await vault.stop()
        await authority.stop()
    }

    private static func usual(_ port: Int) -> String {
        #"Bearer authorization="https://localhost:\#(port)/tenant-1", resource="https://localhost""#
    }

    @Test("A challenge is answered with a token, which is used again until it is refused")
    func challenge() async throws {
        let good = Mutex("Bearer one")
        let issued = Mutex(0)
        try await self.withAzure(
            challenge: Self.usual, accepts: { field in field == good.withLock { $0 } },
            issues: { _ in
                let number = issued.withLock { count in
                    count += 1
                    return count
                }
                return self.token(number == 1 ? "one" : "two")
            },
            body: { client, kid, vault, authority in
                let seen1 = try await client.state(of: kid, "iris")
                #expect(seen1 == .active)
                let seen2 = try await client.state(of: kid, "iris")
                #expect(seen2 == .active)
                #expect(vault.questions.count == 3 && authority.questions.count == 1)
                let question = authority.questions[0]
                #expect(question.path == "/tenant-1/oauth2/v2.0/token" && question.method == "POST")
                #expect(
                    question.body == "grant_type=client_credentials&client_id=client-1"
                        + "&scope=https%3a%2f%2flocalhost%2f.default&client_secret=s3cr%26t%2b")
                good.withLock { $0 = "Bearer two" }
                let seen3 = try await client.state(of: kid, "iris")
                #expect(seen3 == .active)
                #expect(vault.questions.count == 5 && authority.questions.count == 2)
            })
    }

    @Test(
        "A challenge that leads elsewhere gets no secret",
        arguments: [
            #"Bearer authorization="https://localhost:1/tenant-1", resource="https://localhost""#,
            #"Bearer authorization="https://localhost:PORT/tenant-2", resource="https://localhost""#,
            #"Bearer authorization="https://localhost:PORT/tenant-1", resource="https://evil.example""#,
            #"Bearer authorization="http://localhost:PORT/tenant-1", resource="https://localhost""#,
            #"Bearer authorization="https://localhost:PORT@evil/tenant-1", resource="https://localhost""#,
            #"Bearer authorization="https://localhost:PORT/a/b/tenant-1", resource="https://localhost""#,
            #"Bearer resource="https://localhost""#, #"Basic realm="x""#, "",
        ])
    func foreignAuthority(_ text: String) async throws {
        try await self.withAzure(
            challenge: { text.replacingOccurrences(of: "PORT", with: "\($0)") },
            accepts: { _ in false }, issues: { _ in self.token("one") },
            body: { client, kid, _, authority in
                await #expect {
                    _ = try await client.state(of: kid, "iris")
                } throws: {
                    if case KeyVaultError.unusable = $0 { true } else { false }
                }
                #expect(authority.connections == 0)
            })
    }

    @Test("An authority that the configuration does not name gets no secret")
    func unnamedAuthority() async throws {
        try await self.withAzure(
            challenge: Self.usual, accepts: { _ in false }, issues: { _ in self.token("one") },
            allowed: false,
            body: { client, kid, _, authority in
                await #expect {
                    _ = try await client.state(of: kid, "iris")
                } throws: {
                    "\($0)".contains("authority")
                }
                #expect(authority.connections == 0)
            })
    }

    @Test("A vault that accepts no token is asked twice, and the key is not taken for revoked")
    func neverAccepted() async throws {
        try await self.withAzure(
            challenge: Self.usual, accepts: { _ in false }, issues: { _ in self.token("one") },
            body: { client, kid, vault, _ in
                await #expect {
                    _ = try await client.state(of: kid, "iris")
                } throws: {
                    if case KeyVaultError.unusable = $0 { true } else { false }
                }
                #expect(vault.questions.count == 2)
            })
    }

    @Test(
        "An authority that gives no token is no reason to take the key for revoked",
        arguments: [
            FakeVault.Action.answer(401, #"{"error":"invalid_client"}"#), .answer(500, ""),
            .answer(200, "{}"), .answer(302, ["location": "https://localhost:1/"], ""), .close,
        ])
    func noToken(_ action: FakeVault.Action) async throws {
        try await self.withAzure(
            challenge: Self.usual, accepts: { _ in false }, issues: { _ in action },
            body: { client, kid, _, _ in
                await #expect {
                    _ = try await client.state(of: kid, "iris")
                } throws: {
                    ($0 as? KeyVaultError)?.isTransient == true
                }
            })
    }

    @Test("A right that was taken away stays so where no other token is to be had to ask again")
    func forbidden() async throws {
        let issued = Mutex(0)
        try await self.withAzure(
            challenge: Self.usual, accepts: { $0 != nil },
            issues: { _ in
                let number = issued.withLock { count in
                    count += 1
                    return count
                }
                return number == 1 ? self.token("one") : .answer(500, "")
            },
            answers: .answer(
                403,
                #"{"error":{"code":"Forbidden","message":"x","innererror":{"code":"AccessDenied"}}}"#
            ),
            body: { client, kid, _, authority in
                for _ in 1...3 {
                    let state = try await client.state(of: kid, "iris")
                    #expect(state == .forbidden)
                }
                #expect(authority.questions.count > 1)
            })
    }

    @Test("The machine's identity is asked for at its one address, and nowhere else")
    func managedIdentity() async throws {
        let metadata = try await FakeVault(nil) { _ in self.token("m", seconds: #""86399""#) }
        let vault = try #require(VaultAddress("https://iris.vault.azure.net"))
        let challenge = try #require(
            BearerChallenge(
                #"Bearer authorization="https://elsewhere.example/t", resource="https://vault.azure.net""#
            ))
        let tokens = VaultTokens(
            AzureCredential(.managedIdentity(clientID: "client-1")), for: vault,
            instanceMetadata: .host("127.0.0.1", port: metadata.port))
        let token = try await tokens.replace(nil, challenge, until: .now + .seconds(60))
        #expect(token != nil)
        #expect(metadata.questions.count == 1)
        #expect(
            metadata.questions[0].path
                == "/metadata/identity/oauth2/token?api-version=2018-02-01"
                + "&resource=https%3a%2f%2fvault.azure.net&client_id=client-1")
        #expect(metadata.questions[0].fields["metadata"] == "true")
        #expect(metadata.questions[0].fields["host"] == "169.254.169.254")
        #expect(AzureCredential.instanceMetadata == .host("169.254.169.254", port: 80))
        await metadata.stop()
    }
}
