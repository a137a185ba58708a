import Cryptography
import KeyVault
import State
import Testing

@testable import Vault

@Suite struct OwnIdentityTests {
    private func own(_ stage: IdentityStage, _ dnsNames: [String] = ["vault.test"]) throws
        -> OwnIdentity
    {
        OwnIdentity(
            authority: stage.authority, identity: try SPIFFEID("spiffe://test/vault/main"),
            dnsNames: dnsNames, ipAddresses: ["127.0.0.1"],
            folder: IdentityFolder(path: stage.path + "/own"))
    }

    @Test("the vault issues to itself, with the root in its chain, and again at half of its life")
    func renews() throws {
        let stage = try IdentityStage()
        let own = try self.own(stage)
        #expect(try own.renewIfDue(now: stage.start))
        let pem = try WholeFile.read(own.folder.chain, maximum: 1 << 16)
        let chain = try Certificate.chain(pem: pem)
        #expect(try chain[0].identity().text == "spiffe://test/vault/main")
        #expect(chain[0].dnsNames == ["vault.test"] && chain[0].ipAddresses == ["127.0.0.1"])
        #expect(try chain[2].serial == stage.authority.trustBundle()[0].serial)
        // Its life is 3660 s, of which 60 s were over at the beginning.
        #expect(try !own.renewIfDue(now: stage.start + 1_769_000))
        #expect(try own.renewIfDue(now: stage.start + 1_770_000))
    }

    @Test("another name in the configuration is a reason too")
    func otherNames() throws {
        let stage = try IdentityStage()
        #expect(try self.own(stage).renewIfDue(now: stage.start))
        #expect(try self.own(stage, ["b.test"]).renewIfDue(now: stage.start))
        #expect(try !self.own(stage, ["b.test"]).renewIfDue(now: stage.start))
    }

    @Test("so are other trust roots, and another one that signs")
    func otherRoots() throws {
        let stage = try IdentityStage()
        let own = try self.own(stage)
        #expect(try own.renewIfDue(now: stage.start))
        // At half of its life it would be due anyway.
        let shortened = stage.authority(leafSeconds: 900)
        let new = try #require(try shortened.rotateRoot(now: stage.start))
        #expect(try own.renewIfDue(now: stage.start))
        #expect(try !own.renewIfDue(now: stage.start))
        let bundle = try WholeFile.read(own.folder.trustBundle, maximum: 1 << 16)
        #expect(try Certificate.chain(pem: bundle).last?.serial == new.serial)
        _ = try shortened.advance(now: stage.start + 1_800_000)
        #expect(try own.renewIfDue(now: stage.start + 1_760_000))
        let chain = try WholeFile.read(own.folder.chain, maximum: 1 << 16)
        #expect(try Certificate.chain(pem: chain).last?.serial == new.serial)
    }

    @Test("a replaced root key seals the authorities too")
    func rootKey() throws {
        let stage = try IdentityStage()
        let before = try stage.authority.trustBundle().map(\.serial)
        try stage.store.replaceRootKey(
            path: stage.path + "/root.key", now: stage.start, actor: "test")
        let issued = try leaf(stage.join(stage.token().token, IdentityStage.Requester()))
        #expect(try issued.identity() == stage.agent)
        #expect(try stage.authority.trustBundle().map(\.serial) == before)
    }

    @Test("no token is made for a vault, another trust domain, or a name that is none")
    func tokens() throws {
        let stage = try IdentityStage()
        for (identity, names) in [
            ("spiffe://test/vault/other", []), ("spiffe://other/agent/a", []),
            ("spiffe://test/agent/a", ["a b"]),
        ] {
            #expect(throws: StateError.self) {
                _ = try stage.token(SPIFFEID(identity), dnsNames: names)
            }
        }
    }
}
