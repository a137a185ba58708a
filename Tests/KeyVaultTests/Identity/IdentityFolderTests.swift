import Cryptography
import Foundation
import Testing

@testable import KeyVault

/// A folder that does not exist yet, and an authority for what goes into it.
private final class FolderStage {
    let path = NSTemporaryDirectory() + "scoregate-identity-\(UUID().uuidString)"
    let authority: CertificateAuthority
    let identity: SPIFFEID

    init() throws {
        self.identity = try SPIFFEID("spiffe://test/agent/a")
        self.authority = try CertificateAuthority.create(trustDomain: "test")
    }

    deinit { try? FileManager.default.removeItem(atPath: self.path) }

    var folder: IdentityFolder { IdentityFolder(path: self.path) }

    func answer(_ request: [UInt8], as other: String? = nil) throws -> IdentityAnswer {
        let leaf = try self.authority.issueIdentity(
            other.map { try SPIFFEID($0) } ?? self.identity,
            for: CertificateRequest(der: request), seconds: 900)
        return IdentityAnswer(chain: leaf.pem, trustBundle: self.authority.certificate.pem)
    }

    func renew() throws -> Certificate {
        let pending = try self.folder.pending()
        return try self.folder.adopt(
            self.answer(pending.request), for: pending, identity: self.identity, vault: nil)
    }
}

@Suite struct IdentityFolderTests {
    @Test("what is asked for stays the same until it came, or was given up")
    func pending() throws {
        let stage = try FolderStage()
        let first = try stage.folder.pending().request
        #expect(try stage.folder.pending().request == first)
        _ = try stage.renew()
        let second = try stage.folder.pending().request
        #expect(second != first)
        stage.folder.dropPending()
        #expect(try stage.folder.pending().request != second)
    }

    @Test("a new certificate takes the place of the old one with its key, in folders of their own")
    func adopt() throws {
        let stage = try FolderStage()
        #expect(try stage.folder.certificate() == nil)
        let serials = try (1...3).map { _ in try stage.renew().serial }
        let present = try #require(try stage.folder.certificate())
        #expect(present.serial == serials[2])
        let isRight = try present.matches(privateKeyPEM: stage.folder.privateKey())
        #expect(isRight)
        let names = try FileManager.default.contentsOfDirectory(atPath: stage.path)
        #expect(Set(names) == ["current", serials[1], serials[2]])
        for (name, mode) in [("", 0o700), ("/current/key.pem", 0o600)] {
            let attributes = try FileManager.default.attributesOfItem(atPath: stage.path + name)
            #expect(attributes[.posixPermissions] as? Int == mode)
        }
    }

    @Test("an answer for another identity or key, or without certificates, changes nothing")
    func refusesAnswers() throws {
        let stage = try FolderStage()
        let present = try stage.renew()
        let other = try CertificateRequest.make(for: PrivateKey.generate(.ecdsaP256))
        let pending = try stage.folder.pending()
        for answer in [
            try stage.answer(other),
            try stage.answer(pending.request, as: "spiffe://test/agent/b"),
            IdentityAnswer(chain: "", trustBundle: stage.authority.certificate.pem),
            IdentityAnswer(chain: try stage.answer(pending.request).chain, trustBundle: "x"),
        ] {
            #expect(throws: KeyVaultError.self) {
                _ = try stage.folder.adopt(
                    answer, for: pending, identity: stage.identity, vault: nil)
            }
            #expect(try stage.folder.certificate()?.serial == present.serial)
        }
    }

    @Test("the deny list is kept, and one that cannot be read counts as empty")
    func denyList() throws {
        let stage = try FolderStage()
        _ = try stage.renew()
        #expect(stage.folder.denyList == DenyList([]))
        let list = DenyList(["spiffe://test/agent/b", "0a"])
        try stage.folder.keep(list)
        #expect(stage.folder.denyList == list)
        #expect(list.contains(identity: "spiffe://test/agent/b", serial: "01"))
        #expect(list.contains(identity: nil, serial: "0a"))
        #expect(!list.contains(identity: "spiffe://test/agent/c", serial: "01"))
        #expect(DenyList(json: Array("{".utf8)) == nil)
    }
}
