import Cryptography
import Foundation
import Testing

@testable import State

/// A state with one authority, whose times are given.
private final class IdentityState {
    let folder = StateFolder()
    let store: StateStore
    let rootKey: SecretBytes
    let identity: SPIFFEID

    init() throws {
        self.rootKey = try SystemRandom.secret(count: 32)
        self.store = try StateStore(folder: self.folder.path, rootKey: self.rootKey)
        self.identity = try SPIFFEID("spiffe://test/agent/a")
    }

    static func digest(_ number: UInt8) throws -> Digest32 {
        let bytes = [UInt8](repeating: number, count: 32)
        let digest = Digest32(bytes: bytes.rawSpan)
        return try #require(digest)
    }

    func insertToken(_ number: UInt8, expires: Int64 = 10_000) throws {
        try self.store.insertJoinToken(
            JoinTokenRecord(
                digest: Self.digest(number), identity: self.identity,
                dnsNames: ["a.test", "b.test"],
                createdMilliseconds: 1000, expiresMilliseconds: expires), actor: "test")
    }

    func certificate(
        _ serial: String, request: UInt8, now: Int64, predecessor: String? = nil
    ) -> IssuedCertificate {
        IssuedCertificate(
            serial: serial, identity: self.identity.text, dnsNames: ["a.test", "b.test"],
            requestDigest: [UInt8](repeating: request, count: 32), chain: "chain \(serial)",
            issuedMilliseconds: now, notAfterMilliseconds: now + 3_600_000,
            predecessor: predecessor, isSuperseded: false)
    }

    func join(
        _ token: UInt8, request: UInt8, serial: String, now: Int64, as other: String? = nil
    ) throws -> Result<IssuedCertificate, IdentityRefusal> {
        try self.store.join(
            token: Self.digest(token), identity: other.map { try SPIFFEID($0) } ?? self.identity,
            request: Self.digest(request), now: now, actor: "test"
        ) { _, names in
            #expect(names == ["a.test", "b.test"])
            return self.certificate(serial, request: request, now: now)
        }
    }

    func renew(
        _ present: String, request: UInt8, serial: String, now: Int64
    ) throws -> Result<IssuedCertificate, IdentityRefusal> {
        try self.store.renew(
            serial: present, identity: self.identity.text, request: Self.digest(request), now: now,
            actor: "test"
        ) { _ in
            self.certificate(serial, request: request, now: now, predecessor: present)
        }
    }
}

@Suite struct IdentityStateTests {
    @Test("a token is good once, for its identity, until it expires")
    func tokens() throws {
        let state = try IdentityState()
        try state.insertToken(1)
        #expect(try state.join(2, request: 1, serial: "a", now: 2000) == .failure(.tokenUnknown))
        #expect(
            try state.join(1, request: 1, serial: "a", now: 2000, as: "spiffe://test/agent/b")
                == .failure(.identityMismatch))
        #expect(try state.join(1, request: 1, serial: "a", now: 10_000) == .failure(.tokenExpired))
        #expect(try state.join(1, request: 1, serial: "a", now: 9999).get().serial == "a")
        #expect(try state.join(1, request: 2, serial: "b", now: 9999) == .failure(.tokenUsed))
        #expect(try state.store.issuedCertificates(validAt: 0).map(\.serial) == ["a"])
    }

    @Test("the same request within a minute gets the same certificate, and later nothing")
    func repeated() throws {
        let state = try IdentityState()
        try state.insertToken(1)
        let first = try state.join(1, request: 1, serial: "a", now: 2000).get()
        #expect(try state.join(1, request: 1, serial: "b", now: 62_000).get() == first)
        #expect(try state.join(1, request: 1, serial: "b", now: 62_001) == .failure(.tokenUsed))
        let second = try state.renew("a", request: 2, serial: "c", now: 100_000).get()
        #expect(try state.renew("a", request: 2, serial: "d", now: 160_000).get() == second)
        #expect(try state.renew("a", request: 2, serial: "d", now: 160_001).get().serial == "d")
    }

    @Test("a failure to issue leaves the token unused")
    func undone() throws {
        let state = try IdentityState()
        try state.insertToken(1)
        #expect(throws: StateError.wrongRootKey) {
            _ = try state.store.join(
                token: IdentityState.digest(1), identity: state.identity,
                request: IdentityState.digest(1), now: 2000, actor: "test"
            ) { _, _ throws(StateError) in throw .wrongRootKey }
        }
        #expect(try state.join(1, request: 1, serial: "a", now: 2000).get().serial == "a")
    }

    @Test("a certificate is superseded once the one in its place renews")
    func superseded() throws {
        let state = try IdentityState()
        try state.insertToken(1)
        _ = try state.join(1, request: 1, serial: "a", now: 2000)
        _ = try state.renew("a", request: 2, serial: "b", now: 3000)
        #expect(try state.store.issuedCertificate(serial: "a")?.isSuperseded == false)
        _ = try state.renew("b", request: 3, serial: "c", now: 4000)
        #expect(try state.store.issuedCertificate(serial: "a")?.isSuperseded == true)
        #expect(
            try state.renew("a", request: 4, serial: "d", now: 5000)
                == .failure(.certificateSuperseded))
        #expect(
            try state.renew("x", request: 4, serial: "d", now: 5000)
                == .failure(.certificateUnknown))
    }

    @Test("a renewal supersedes the other certificates in the same place")
    func siblings() throws {
        let state = try IdentityState()
        try state.insertToken(1)
        _ = try state.join(1, request: 1, serial: "a", now: 2000)
        _ = try state.renew("a", request: 2, serial: "b", now: 3000).get()
        _ = try state.renew("a", request: 3, serial: "c", now: 3500).get()
        _ = try state.renew("c", request: 4, serial: "d", now: 4000).get()
        #expect(
            try state.renew("b", request: 5, serial: "e", now: 5000)
                == .failure(.certificateSuperseded))
        #expect(try state.renew("c", request: 6, serial: "f", now: 5000).get().serial == "f")
    }

    @Test("the first use of a certificate supersedes the one before it, and others in its place")
    func used() throws {
        let state = try IdentityState()
        try state.insertToken(1)
        _ = try state.join(1, request: 1, serial: "a", now: 2000)
        _ = try state.renew("a", request: 2, serial: "b", now: 3000).get()
        // The answer was lost: nobody has used what was in it, so the old one is good for another.
        try state.store.noteUse(ofCertificate: "a")
        _ = try state.renew("a", request: 3, serial: "c", now: 3500).get()
        try state.store.noteUse(ofCertificate: "c")
        for former in ["a", "b"] {
            #expect(
                try state.renew(former, request: 4, serial: "d", now: 4000)
                    == .failure(.certificateSuperseded))
        }
        // One that is superseded takes no other along.
        try state.store.noteUse(ofCertificate: "b")
        #expect(try state.renew("c", request: 5, serial: "e", now: 5000).get().serial == "e")
    }

    @Test("only the first use of a certificate is written")
    func writtenOnce() throws {
        let state = try IdentityState()
        let other = try StateStore(folder: state.folder.path, rootKey: state.rootKey)
        try state.insertToken(1)
        _ = try state.join(1, request: 1, serial: "a", now: 2000)
        _ = try state.renew("a", request: 2, serial: "b", now: 3000).get()
        func writes(_ serial: String) throws -> Bool {
            let before = try other.pragma("data_version")
            try state.store.noteUse(ofCertificate: serial)
            return try other.pragma("data_version") != before
        }
        #expect(try !writes("a"))
        #expect(try writes("b"))
        #expect(try !writes("b"))
        #expect(try !writes("of another authority"))
    }

    @Test("a denied identity gets nothing; a denied certificate takes its successors along")
    func denied() throws {
        let state = try IdentityState()
        for token: UInt8 in 1...2 { try state.insertToken(token) }
        _ = try state.join(1, request: 1, serial: "a", now: 2000)
        _ = try state.renew("a", request: 2, serial: "b", now: 3000)
        _ = try state.renew("b", request: 3, serial: "c", now: 4000)
        let generation = try state.store.endpointKeys().generation
        #expect(
            try state.store.deny("b", reason: "lost", now: 1, actor: "test") == generation + 1)
        #expect(try state.store.denials().map(\.subject) == ["b", "c"])
        #expect(try state.renew("c", request: 4, serial: "d", now: 5000) == .failure(.denied))
        #expect(
            try state.renew("a", request: 4, serial: "d", now: 5000)
                == .failure(.certificateSuperseded))
        _ = try state.store.deny(state.identity.text, reason: "", now: 1, actor: "test")
        #expect(try state.renew("a", request: 5, serial: "e", now: 6000) == .failure(.denied))
        #expect(try state.join(2, request: 6, serial: "f", now: 6000) == .failure(.denied))
        #expect(try state.store.allow(state.identity.text, now: 1, actor: "test") != nil)
        #expect(try state.store.allow(state.identity.text, now: 1, actor: "test") == nil)
        #expect(try state.join(2, request: 6, serial: "f", now: 6000).get().serial == "f")
    }

    @Test("what ended is forgotten")
    func forgets() throws {
        let state = try IdentityState()
        try state.insertToken(1)
        let issued = try state.join(1, request: 1, serial: "a", now: 2000).get()
        try state.store.forgetCertificates(endedBefore: issued.notAfterMilliseconds)
        #expect(try state.store.issuedCertificate(serial: "a") != nil)
        try state.store.forgetCertificates(endedBefore: issued.notAfterMilliseconds + 1)
        #expect(try state.store.issuedCertificate(serial: "a") == nil)
    }

    @Test(
        "an authority's key lies sealed, opens under the root key alone, and goes when it retires")
    func authorities() throws {
        let state = try IdentityState()
        let root = try CertificateAuthority.create(trustDomain: "test")
        let record = AuthorityRecord(
            issuerID: nil, certificate: root.certificate, state: .signing, sinceMilliseconds: 1)
        let sealed = try record.seal(root.privateKeyPEM(), under: state.rootKey)
        var after = try state.store.changeAuthorities(now: 1, actor: "test") { present in
            #expect(present.isEmpty)
            return [.insert(record, sealedKey: sealed)]
        }
        #expect(after.map(\.id) == [record.id] && after[0].isTrustedRoot)
        guard let key = try state.store.openAuthorityKey(record, rootKey: state.rootKey) else {
            Issue.record("the key is there")
            return
        }
        let isRight = try root.certificate.matches(privateKeyPEM: key)
        #expect(isRight)
        let other = try SystemRandom.secret(count: 32)
        #expect(throws: StateError.wrongRootKey) {
            _ = try state.store.openAuthorityKey(record, rootKey: other)
        }
        after = try state.store.changeAuthorities(now: 2, actor: "test") { _ in
            [.set(id: record.id, .retired)]
        }
        #expect(!after[0].isTrustedRoot && after[0].sinceMilliseconds == 2)
        let isGone = try state.store.openAuthorityKey(record, rootKey: state.rootKey) == nil
        #expect(isGone)
    }
}
