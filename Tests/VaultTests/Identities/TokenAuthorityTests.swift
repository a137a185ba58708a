import Cryptography
import Foundation
import State
import Testing

@testable import Vault

/// Trust roots whose keys are in a token: Mozilla's softokn, which runs in this process.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct TokenAuthorityTests {
    private static let module = "/usr/lib/x86_64-linux-gnu/libsoftokn3.so"
    private static let certutil = "/usr/bin/certutil"

    /// A token in the folder of `stage`, if softokn is installed.
    private static func token(_ stage: IdentityStage) throws -> Token? {
        let manager = FileManager.default
        guard [self.module, self.certutil].allSatisfy(manager.fileExists) else {
            print("SKIPPED: softokn is not installed (Tests/setup components)")
            return nil
        }
        let folder = "\(stage.path)/tokens"
        try manager.createDirectory(atPath: folder, withIntermediateDirectories: false)
        let pin = "\(stage.path)/pin"
        let text = Array("1234\n".utf8)
        try WholeFile.write(text.rawSpan, to: pin, mode: 0o600, isReplacing: false)
        let process = try Process.run(
            URL(fileURLWithPath: self.certutil),
            arguments: ["-N", "-d", "sql:\(folder)", "-f", pin])
        process.waitUntilExit()
        try #require(process.terminationStatus == 0)
        let parameters = "configdir='sql:\(folder)' dbTokenDescription='scoregate'"
        return try Token(
            TokenConfiguration(
                module: self.module, tokenLabel: "scoregate", pinFile: pin,
                moduleParameters: parameters), mayMakeKey: true)
    }

    @Test("a root's key is in the token for its life, its intermediates issue without it")
    func life() throws {
        let stage = try IdentityStage()
        guard let token = try Self.token(stage) else { return }
        defer { token.finalize() }
        let authority = stage.authority(token: token)
        // The root that was there stays as it is.
        let old = try #require(try stage.store.authorities().first { $0.issuerID == nil })
        #expect(old.tokenKey == nil)
        let root = try #require(try authority.rotateRoot(now: stage.start))
        let made = try #require(
            try stage.store.authorities().first { $0.id == root.fingerprint.bytes })
        let key = try #require(made.tokenKey)
        #expect(try stage.store.needsToken())
        let digest = [UInt8](repeating: 1, count: 32)
        #expect(try token.sign(digest, under: key).count == 64)
        // A second rotation makes none, nor leaves the key that was made for it.
        #expect(try authority.rotateRoot(now: stage.start) == nil)

        let life = 2 * authority.leafSeconds * 1000
        let requester = try IdentityStage.Requester()
        let leaf = try authority.signer(now: stage.start + life).certify(
            stage.agent, dnsNames: [], for: CertificateRequest(der: requester.request),
            now: stage.start + life)
        #expect(try authority.trustBundle().map(\.fingerprint.bytes).first == made.id)
        let intermediate = try #require(
            try stage.store.authorities().first { $0.issuerID == made.id })
        #expect(intermediate.tokenKey == nil)
        #expect(leaf.issuer == intermediate.certificate.subject)
        #expect(intermediate.certificate.issuer == root.subject)

        // Without the token what is there issues on; a further intermediate cannot be had.
        let alone = stage.authority(token: nil)
        _ = try alone.signer(now: stage.start + life)
        let end = intermediate.certificate.notAfter * 1000
        #expect(throws: StateError.self) { _ = try alone.signer(now: end - 1000) }
        _ = try authority.signer(now: end - 1000)

        // Replaced itself, its key is destroyed once nothing stands under it.
        _ = try authority.rotateRoot(now: end)
        _ = try authority.advance(now: end + life)
        try authority.destroyRetiredKeys(now: end + life)
        #expect(try token.sign(digest, under: key).count == 64)
        _ = try authority.advance(now: end + 2 * life)
        let retired = try #require(try stage.store.authorities().first { $0.id == made.id })
        #expect(retired.state == .retired && retired.tokenKey == key)
        try authority.destroyRetiredKeys(now: end + 2 * life)
        #expect(throws: TokenError.noKey) { _ = try token.sign(digest, under: key) }
        let forgotten = try #require(try stage.store.authorities().first { $0.id == made.id })
        #expect(forgotten.tokenKey == nil)
        // Nothing is left to be destroyed, and one root's key is there.
        try authority.destroyRetiredKeys(now: end + 2 * life)
        let keys = try stage.store.authorities().compactMap(\.tokenKey)
        #expect(keys.count == 1)
    }

    @Test("another root key of the state leaves what is in the token alone")
    func replacedRootKey() throws {
        let stage = try IdentityStage()
        guard let token = try Self.token(stage) else { return }
        defer { token.finalize() }
        _ = try stage.authority(token: token).rotateRoot(now: stage.start)
        let before = try stage.store.authorities().map(\.tokenKey)
        try stage.store.replaceRootKey(
            path: "\(stage.path)/root.key", now: stage.start, actor: "test")
        #expect(try stage.store.authorities().map(\.tokenKey) == before)
        _ = try stage.authority(token: token).signer(now: stage.start)
    }
}
