import Cryptography
import Foundation
import Synchronization
import TLS
import Testing

@testable import KeyVault

@Suite struct IdentityKeeperTests {
    @Test(
        "a vault that is busy, or wants to be left alone, is asked again for as long as can be waited",
        arguments: [(503, 2), (429, 2), (403, 1)])
    func patience(_ status: Int, _ questions: Int) async throws {
        let materials = try VaultMaterials()
        let vault = try await Self.vault(materials, status)
        let root = try Certificate.chain(pem: WholeFile.read(materials.root, maximum: 1 << 16))
        let client = try Self.client(materials, of: vault, trusting: root)
        let failures = Mutex(0)
        let keeper = IdentityKeeper(client) { _ in failures.withLock { $0 += 1 } }
        await #expect(throws: KeyVaultError.self) {
            // Enough for the first pause of at most 1 s, on a busy machine too.
            try await keeper.start(patience: .seconds(6))
        }
        #expect(vault.questions.count >= questions)
        #expect(questions > 1 || vault.questions.count == 1)
        #expect(failures.withLock { $0 } == vault.questions.count - 1)
        await vault.stop()
    }

    @Test("a token for another trust root than the vault's is not tried again")
    func otherRoot() async throws {
        let materials = try VaultMaterials()
        let vault = try await Self.vault(materials, 200)
        let other = try CertificateAuthority.create(trustDomain: "test.local").certificate
        let client = try Self.client(materials, of: vault, trusting: [other])
        let keeper = IdentityKeeper(client) { event in Issue.record("\(event)") }
        do {
            try await keeper.start(patience: .seconds(6))
            Issue.record("started")
        } catch {
            guard case .unusable(let reason) = error else {
                Issue.record("\(error)")
                return
            }
            #expect(reason.contains("another trust root") && reason.contains("identities token"))
        }
        #expect(vault.questions.isEmpty)
        await vault.stop()
    }

    /// A vault that answers everything with that status.
    private static func vault(
        _ materials: VaultMaterials, _ status: Int
    ) async throws -> FakeVault {
        // As a vault's own: its chain goes as far as the root.
        let chain = try [materials.vault.chain, materials.root].map {
            try String(contentsOfFile: $0, encoding: .utf8)
        }.joined()
        let files = TLSCertificateFiles(
            chain: try materials.write("joining.pem", chain), key: materials.vault.key)
        return try await FakeVault(files) { _ in .answer(status, "{}") }
    }

    /// A client with a token for a vault that has these trust roots.
    private static func client(
        _ materials: VaultMaterials, of vault: FakeVault, trusting roots: [Certificate]
    ) throws -> IdentityClient {
        let identity = try SPIFFEID("spiffe://test.local/agent/a")
        let url = "https://127.0.0.1:\(vault.port)"
        let token = try JoinToken.make(
            identity: identity, trustRoots: roots,
            vault: VaultLocation(
                joinURL: url, vaultURL: url, vaultIdentity: SPIFFEID(VaultMaterials.identity)))
        return IdentityClient(
            identity: identity, folder: IdentityFolder(path: materials.path + "/identity"),
            tokenPath: try materials.write("token", token.text()))
    }
}
