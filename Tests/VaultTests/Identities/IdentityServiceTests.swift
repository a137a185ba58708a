import Cryptography
import KeyVault
import State
import Testing

@testable import Vault

@Suite struct IdentityServiceTests {
    @Test("a token gets a certificate of its identity and names, with the roots to trust")
    func joins() throws {
        let stage = try IdentityStage()
        let requester = try IdentityStage.Requester()
        let answer = try stage.join(stage.token().token, requester).get()
        let chain = try Certificate.chain(pem: Array(answer.chain.utf8))
        #expect(chain.count == 2 && chain[1].isAuthority)
        #expect(try chain[0].identity() == stage.agent)
        #expect(chain[0].dnsNames == ["a.test"])
        #expect(chain[0].notAfter - chain[0].notBefore == 3660)
        let isRight = try chain[0].matches(privateKeyPEM: requester.key.pem())
        #expect(isRight)
        let roots = try Certificate.chain(pem: Array(answer.trustBundle.utf8))
        #expect(roots.map(\.subject) == [chain[1].issuer])
    }

    @Test("the token and its digest in the state are different things")
    func tokenIsSecret() throws {
        let stage = try IdentityStage()
        let token = try stage.token()
        let path = stage.path + "/token"
        let text = Array(try token.text().utf8)
        try WholeFile.write(text.rawSpan, to: path, mode: 0o600, isReplacing: false)
        #expect(try JoinToken(path: path) == token)
        let folder = stage.path + "/state/"
        for file in ["state.sqlite", "state.sqlite-wal"] {
            let bytes = try WholeFile.read(folder + file, maximum: 1 << 24)
            #expect(String(decoding: bytes, as: UTF8.self).contains(token.token) == false)
        }
    }

    @Test("a token reused, expired, guessed or for another identity gets nothing")
    func refusals() throws {
        let stage = try IdentityStage()
        let requester = try IdentityStage.Requester()
        let other = try IdentityStage.Requester()
        let token = try stage.token().token
        let bytes = [UInt8](repeating: 7, count: 32)
        let guessed = Base64URL.text(of: bytes.rawSpan)
        #expect(try stage.join(guessed, requester) == .failure(.tokenUnknown))
        #expect(try stage.join("x", requester) == .failure(.tokenUnknown))
        #expect(
            try stage.join(token, requester, as: SPIFFEID("spiffe://test/agent/b"))
                == .failure(.identityMismatch))
        #expect(try stage.join(token, requester, after: 3600) == .failure(.tokenExpired))
        _ = try stage.join(token, requester, after: 3599).get()
        #expect(try stage.join(token, other, from: "::1", after: 3599) == .failure(.tokenUsed))
    }

    @Test("the same request gets the same certificate within a minute")
    func repeated() throws {
        let stage = try IdentityStage()
        let requester = try IdentityStage.Requester()
        let token = try stage.token().token
        let first = try stage.join(token, requester).get()
        #expect(try stage.join(token, requester, after: 60).get() == first)
        #expect(try stage.join(token, requester, after: 61) == .failure(.tokenUsed))
    }

    @Test("after five wrong tries in a minute not even the right token helps that address")
    func limited() throws {
        let stage = try IdentityStage()
        let requester = try IdentityStage.Requester()
        let token = try stage.token().token
        for _ in 1...5 { #expect(try stage.join("x", requester) == .failure(.tokenUnknown)) }
        #expect(try stage.join(token, requester) == .failure(.tooManyTries))
        #expect(try stage.join(token, requester, after: 11) == .failure(.tooManyTries))
        _ = try stage.join(token, requester, after: 13).get()
        let second = try stage.token().token
        let next = try IdentityStage.Requester()
        _ = try stage.join(second, next, from: "1.2.3.5").get()
    }

    @Test("what is refused for another reason than a wrong token costs its neighbours nothing")
    func notLimited() throws {
        let stage = try IdentityStage()
        let old = try IdentityStage.Requester()
        let used = try stage.token().token
        let present = try leaf(stage.join(used, old))
        _ = try stage.store.deny(present.serial, reason: "", now: stage.start, actor: "test")
        for _ in 1...6 {
            #expect(try stage.join(used, IdentityStage.Requester()) == .failure(.tokenUsed))
            #expect(
                try stage.rejoin(present, by: old.key, IdentityStage.Requester(), after: 0)
                    == .failure(.denied))
        }
        _ = try stage.join(stage.token().token, IdentityStage.Requester()).get()
    }

    @Test("wrong tokens keep no neighbour from joining again")
    func apart() throws {
        let stage = try IdentityStage()
        let old = try IdentityStage.Requester()
        let present = try leaf(stage.join(stage.token().token, old))
        for _ in 1...5 {
            #expect(
                try stage.join("x", IdentityStage.Requester(), after: 4000)
                    == .failure(.tokenUnknown))
        }
        _ = try stage.rejoin(present, by: old.key, IdentityStage.Requester(), after: 4000).get()
    }

    @Test("a request that does not prove its key gets nothing, and costs no token")
    func malformedRequest() throws {
        let stage = try IdentityStage()
        let token = try stage.token().token
        for request in ["", "!", "AAAA"] {
            let outcome = try stage.service.renew(
                RenewRequest(request: Array(request.utf8)), peer: stage.agent.text, serial: "1",
                now: stage.start)
            #expect(outcome == .failure(.requestMalformed))
        }
        _ = try stage.join(token, IdentityStage.Requester()).get()
    }

    @Test("a renewal keeps identity and names; what was not issued here is not renewed")
    func renews() throws {
        let stage = try IdentityStage()
        let first = try leaf(stage.join(stage.token().token, IdentityStage.Requester()))
        let second = try leaf(stage.renew(first, IdentityStage.Requester(), after: 1800))
        #expect(try second.identity() == stage.agent)
        #expect(second.dnsNames == first.dnsNames && second.serial != first.serial)
        #expect(second.notAfter == first.notAfter + 1800)
        let foreign = try CertificateAuthority.create(trustDomain: "test")
            .issueIdentity(stage.agent).certificate
        #expect(
            try stage.renew(foreign, IdentityStage.Requester(), after: 1)
                == .failure(.certificateUnknown))
    }

    @Test("an expired certificate gets another by proof of its key, for seven days")
    func rejoins() throws {
        let stage = try IdentityStage()
        let old = try IdentityStage.Requester()
        let present = try leaf(stage.join(stage.token().token, old))
        let next = try IdentityStage.Requester()
        let window: Int64 = 3600 + 7 * 86_400
        #expect(
            try stage.rejoin(present, by: old.key, next, after: window + 1)
                == .failure(.windowClosed))
        let wrong = try IdentityStage.Requester()
        #expect(
            try stage.rejoin(present, by: wrong.key, next, after: 4000) == .failure(.proofInvalid))
        #expect(
            try stage.rejoin(present, by: old.key, next, after: 4000, signedAfter: 3699)
                == .failure(.proofInvalid))
        let issued = try leaf(stage.rejoin(present, by: old.key, next, after: window))
        #expect(try issued.identity() == stage.agent)
        let isRight = try issued.matches(privateKeyPEM: next.key.pem())
        #expect(isRight)
    }

    @Test(
        "a proof of any other time, however far, is refused",
        arguments: [Int64.min, .min + 1, -1, 0, .max])
    func timeOfProof(time: Int64) throws {
        let stage = try IdentityStage()
        let old = try IdentityStage.Requester()
        let present = try leaf(stage.join(stage.token().token, old))
        let next = try IdentityStage.Requester()
        let message = try RejoinRequest.message(
            serial: present.serial, request: next.request, time: time)
        let body = RejoinRequest(
            identity: stage.agent.text, serial: present.serial, request: next.request, time: time,
            proof: try old.key.sign(message.rawSpan))
        #expect(
            try stage.service.rejoin(body, source: "a", now: stage.start) == .failure(.proofInvalid)
        )
    }

    @Test("a proof holds for its request and its certificate alone")
    func proofIsBound() throws {
        let stage = try IdentityStage()
        let old = try IdentityStage.Requester()
        let present = try leaf(stage.join(stage.token().token, old))
        let next = try IdentityStage.Requester()
        let thief = try IdentityStage.Requester()
        let time = stage.start / 1000 + 4000
        let message = try RejoinRequest.message(
            serial: present.serial, request: next.request, time: time)
        let stolen = RejoinRequest(
            identity: stage.agent.text, serial: present.serial, request: thief.request, time: time,
            proof: try old.key.sign(message.rawSpan))
        #expect(
            try stage.service.rejoin(stolen, source: "a", now: time * 1000)
                == .failure(.proofInvalid))
    }

    @Test("nobody rejoins by a certificate whose successor was used, or that is denied")
    func noRejoin() throws {
        let stage = try IdentityStage()
        let old = try IdentityStage.Requester()
        let first = try leaf(stage.join(stage.token().token, old))
        let next = try IdentityStage.Requester()
        let second = try leaf(stage.renew(first, next, after: 1800))
        _ = try stage.renew(second, IdentityStage.Requester(), after: 3600)
        #expect(
            try stage.rejoin(first, by: old.key, IdentityStage.Requester(), after: 4000)
                == .failure(.certificateSuperseded))
        _ = try stage.store.deny(second.serial, reason: "", now: stage.start, actor: "test")
        #expect(
            try stage.rejoin(second, by: next.key, IdentityStage.Requester(), after: 6000)
                == .failure(.denied))
    }

    @Test("nobody renews by a certificate whose successor was used; a lost one costs nothing")
    func noRenewal() throws {
        let stage = try IdentityStage()
        let first = try leaf(stage.join(stage.token().token, IdentityStage.Requester()))
        _ = try leaf(stage.renew(first, IdentityStage.Requester(), after: 1700))
        let second = try leaf(stage.renew(first, IdentityStage.Requester(), after: 1800))
        _ = try stage.renew(second, IdentityStage.Requester(), after: 3500)
        #expect(
            try stage.renew(first, IdentityStage.Requester(), after: 3501)
                == .failure(.certificateSuperseded))
    }

    @Test("nobody renews or rejoins by a certificate whose successor was shown to the vault")
    func usedSuccessor() throws {
        let stage = try IdentityStage()
        let old = try IdentityStage.Requester()
        let first = try leaf(stage.join(stage.token().token, old))
        let lost = try leaf(stage.renew(first, IdentityStage.Requester(), after: 1700))
        let second = try leaf(stage.renew(first, IdentityStage.Requester(), after: 1800))
        #expect(!stage.service.isUseNoted(of: second))
        try stage.service.noteUse(of: second, now: stage.start + 1_801_000)
        #expect(stage.service.isUseNoted(of: second))
        for former in [first, lost] {
            #expect(
                try stage.renew(former, IdentityStage.Requester(), after: 1802)
                    == .failure(.certificateSuperseded))
        }
        #expect(
            try stage.rejoin(first, by: old.key, IdentityStage.Requester(), after: 4000)
                == .failure(.certificateSuperseded))
        _ = try stage.renew(second, IdentityStage.Requester(), after: 3500).get()
    }

    @Test("a rotation of the root goes through with every service's certificate valid all the time")
    func rotation() throws {
        let stage = try IdentityStage()
        var present = try leaf(stage.join(stage.token().token, IdentityStage.Requester()))
        let old = try stage.authority.trustBundle()
        let new = try #require(try stage.authority.rotateRoot(now: stage.start))
        #expect(try stage.authority.rotateRoot(now: stage.start) == nil)
        var bundles: [[String]] = []
        var bundle = old.map(\.serial)
        for half in 1...10 as ClosedRange<Int64> {
            let answer = try stage.renew(present, IdentityStage.Requester(), after: half * 1800)
            let chain = try Certificate.chain(pem: Array(answer.get().chain.utf8))
            present = chain[0]
            // A peer that has not renewed since the last round trusts it too.
            let signer = try stage.authority.trustBundle()[0]
            #expect(chain[1].issuer == signer.subject && bundle.contains(signer.serial))
            bundle = try Certificate.chain(pem: Array(answer.get().trustBundle.utf8)).map(\.serial)
            bundles.append(bundle)
        }
        let (first, second) = (old[0].serial, new.serial)
        #expect(bundles.prefix(3).allSatisfy { $0 == [first, second] })
        #expect(bundles[3..<7].allSatisfy { $0 == [second, first] })
        #expect(bundles[7...].allSatisfy { $0 == [second] })
    }

    @Test("a rotation waits for certificates that were issued for longer than any is now")
    func rotationAfterShortening() throws {
        let stage = try IdentityStage(leafSeconds: 86_400)
        _ = try stage.join(stage.token().token, IdentityStage.Requester()).get()
        let shortened = stage.authority(leafSeconds: 900)
        let new = try #require(try shortened.rotateRoot(now: stage.start))
        func signing(after seconds: Int64) throws -> Bool {
            _ = try shortened.advance(now: stage.start + seconds * 1000)
            return try shortened.trustBundle()[0].serial == new.serial
        }
        // Whoever has the certificate of a day does not know the new root before its end.
        #expect(try !signing(after: 1800))
        #expect(try !signing(after: 86_399))
        #expect(try signing(after: 86_401))
        #expect(try shortened.trustBundle().count == 2)
        _ = try shortened.advance(now: stage.start + 88_202_000)
        #expect(try shortened.trustBundle().map(\.serial) == [new.serial])
    }
}
