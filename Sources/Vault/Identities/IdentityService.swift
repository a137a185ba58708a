internal import ControlServer
package import Cryptography
package import KeyVault
package import State
internal import Synchronization

/// Joining, renewing and joining again, as the vault does them; knows no HTTP.
///
/// Every refusal looks the same to the peer; why it was refused is for the log.
package final class IdentityService: Sendable {
    private let store: StateStore
    private let authority: IdentityAuthority
    private let rejoinSeconds: Int64
    private let tries: Mutex<FailureBuckets>
    private let refusals = Mutex(RefusalBudget())
    private let used = Mutex(UsedCertificates())

    /// A service that issues by `authority`.
    ///
    /// - Parameters:
    ///   - store: The state of `authority`.
    ///   - authority: Who issues.
    ///   - rejoinSeconds: How long after its end a certificate is good for another.
    package init(store: StateStore, authority: IdentityAuthority, rejoinSeconds: Int64) {
        self.store = store
        self.authority = authority
        self.rejoinSeconds = rejoinSeconds
        self.tries = Mutex(FailureBuckets(capacity: Self.triesPerMinute, sets: Self.trySets))
    }

    /// What comes of a request: a certificate, or why there is none.
    package typealias Outcome = Result<IdentityAnswer, IdentityRefusal>

    /// Issues the first certificate, for a token.
    ///
    /// - Parameters:
    ///   - body: What was asked.
    ///   - source: The peer's address, or the network it is counted by.
    ///   - now: Milliseconds of Unix time.
    /// - Returns: The certificate, or why there is none.
    /// - Throws: If the state or its keys cannot be used.
    package func join(
        _ body: JoinRequest, source: String, now: Int64
    ) throws(StateError) -> Outcome {
        let outcome = try self.limiting("join \(source)", .tokenUnknown, now: now) {
            () throws(StateError) in
            guard let token = JoinToken.digest(of: body.token) else {
                return .failure(.tokenUnknown)
            }
            guard let identity = try? SPIFFEID(body.identity) else {
                return .failure(.identityMismatch)
            }
            return try self.reading(body.request) { request throws(StateError) in
                let signer = try self.authority.signer(now: now)
                return try self.store.join(
                    token: token, identity: identity, request: request.digest, now: now,
                    actor: identity.text
                ) { identity, names throws(StateError) in
                    try signer.issue(identity, dnsNames: names, for: request, now: now)
                }
            }
        }
        return try self.audited(outcome, "join", body.identity, by: "address \(source)", now: now)
    }

    /// Issues the next certificate to a peer who has shown the present one in the handshake.
    ///
    /// - Parameters:
    ///   - body: What was asked.
    ///   - peer: The peer's identity.
    ///   - serial: Its certificate's serial number.
    ///   - now: Milliseconds of Unix time.
    /// - Returns: The certificate, or why there is none.
    /// - Throws: If the state or its keys cannot be used.
    package func renew(
        _ body: RenewRequest, peer: String, serial: String, now: Int64
    ) throws(StateError) -> Outcome {
        let outcome = try self.reading(body.request) { request throws(StateError) in
            let signer = try self.authority.signer(now: now)
            return try self.store.renew(
                serial: serial, identity: peer, request: request.digest, now: now, actor: peer
            ) { present throws(StateError) in
                try Self.issue(by: signer, after: present, for: request, now: now)
            }
        }
        return try self.audited(outcome, "renew", peer, by: peer, now: now)
    }

    /// Issues the next certificate to somebody who has the key of one that has expired.
    ///
    /// - Parameters:
    ///   - body: What was asked.
    ///   - source: The peer's address, or the network it is counted by.
    ///   - now: Milliseconds of Unix time.
    /// - Returns: The certificate, or why there is none.
    /// - Throws: If the state or its keys cannot be used.
    package func rejoin(
        _ body: RejoinRequest, source: String, now: Int64
    ) throws(StateError) -> Outcome {
        let outcome = try self.limiting("rejoin \(source)", .proofInvalid, now: now) {
            () throws(StateError) in
            try self.reading(body.request) { request throws(StateError) in
                let signer = try self.authority.signer(now: now)
                return try self.store.renew(
                    serial: body.serial, identity: body.identity, request: request.digest, now: now,
                    actor: body.identity
                ) { present throws(IdentityRefusal) in
                    try self.check(body, present, request.der, now: now)
                } issue: { present throws(StateError) in
                    try Self.issue(by: signer, after: present, for: request, now: now)
                }
            }
        }
        return try self.audited(
            outcome, "rejoin", body.identity, by: "address \(source)", now: now)
    }

    /// Whether ``noteUse(of:now:)`` has nothing to do for a certificate; from any thread, never blocks.
    package func isUseNoted(of certificate: Certificate) -> Bool {
        self.used.withLock { $0.contains(certificate) }
    }

    /// Notes that a peer has used its certificate: whoever has the one before it, or another that was
    /// issued for that, gets nothing for it any more.
    ///
    /// - Parameters:
    ///   - certificate: What the peer has shown in the handshake.
    ///   - now: Milliseconds of Unix time.
    /// - Throws: If the state cannot be used.
    package func noteUse(of certificate: Certificate, now: Int64) throws(StateError) {
        try self.store.noteUse(ofCertificate: certificate.serial)
        self.used.withLock { $0.insert(certificate, now: now / 1000) }
    }

    /// The trust roots there are, PEM.
    package func trustBundle() throws(StateError) -> String {
        try self.authority.trustBundle().map(\.pem).joined()
    }

    /// Whom nobody talks to.
    package func denyList() throws(StateError) -> DenyList {
        DenyList(Set(try self.store.denials().map(\.subject)))
    }

    /// Forgets certificates with which nobody can join again at `now`, milliseconds of Unix time.
    package func forget(now: Int64) throws(StateError) {
        try self.store.forgetCertificates(endedBefore: now - self.rejoinSeconds * 1000)
    }

    private func check(
        _ body: RejoinRequest, _ present: IssuedCertificate, _ request: [UInt8], now: Int64
    ) throws(IdentityRefusal) {
        guard now - present.notAfterMilliseconds <= self.rejoinSeconds * 1000 else {
            throw .windowClosed
        }
        let seconds = now / 1000
        // No difference: the time may be any number.
        guard seconds - Self.proofSeconds...seconds + Self.proofSeconds ~= body.time,
            let proof = Base64URL.bytes(of: body.proof),
            let leaf = try? Certificate.chain(pem: Array(present.chain.utf8)).first,
            let message = try? RejoinRequest.message(
                serial: present.serial, request: request, time: body.time),
            let key = try? leaf.publicKey(), key.verifies(proof.rawSpan, of: message.rawSpan)
        else { throw .proofInvalid }
    }

    private static func issue(
        by signer: borrowing IdentitySigner, after present: IssuedCertificate,
        for request: borrowing CertificateRequest, now: Int64
    ) throws(StateError) -> IssuedCertificate {
        let identity: SPIFFEID
        do throws(CryptographyError) {
            identity = try SPIFFEID(present.identity)
        } catch {
            throw .cryptography(error)
        }
        return try signer.issue(
            identity, dnsNames: present.dnsNames, for: request, now: now,
            predecessor: present.serial)
    }

    /// Reads a certificate request and gives what `body` makes of it, with the trust roots.
    private func reading(
        _ text: String,
        _ body: (borrowing CertificateRequest) throws(StateError) -> Result<
            IssuedCertificate, IdentityRefusal
        >
    ) throws(StateError) -> Outcome {
        let request: CertificateRequest
        do throws(CryptographyError) {
            guard let der = Base64URL.bytes(of: text) else { return .failure(.requestMalformed) }
            request = try CertificateRequest(der: der)
        } catch .malformed {
            return .failure(.requestMalformed)
        } catch {
            throw .cryptography(error)
        }
        switch try body(request) {
        case .failure(let refusal): return .failure(refusal)
        case .success(let issued):
            return .success(
                IdentityAnswer(chain: issued.chain, trustBundle: try self.trustBundle()))
        }
    }

    /// Lets each source be refused for `guess` five times a minute; what is right does not help one that
    /// was.
    ///
    /// Nothing else counts: a service that starts again and again with a token that was used is not to keep
    /// those beside it on its host from theirs.
    private func limiting(
        _ source: String, _ guess: IdentityRefusal, now: Int64,
        _ body: () throws(StateError) -> Outcome
    ) throws(StateError) -> Outcome {
        // Taken before and given back after: tries at the same time do not all get through.
        guard self.tries.withLock({ $0.take(source, nowMilliseconds: now) }) else {
            return .failure(.tooManyTries)
        }
        var isGuess = false
        defer {
            if !isGuess { self.tries.withLock { $0.giveBack(source, nowMilliseconds: now) } }
        }
        let outcome = try body()
        if case .failure(guess) = outcome { isGuess = true }
        return outcome
    }

    /// Notes a refusal, within what the audit takes of them; what was issued is there already.
    private func audited(
        _ outcome: Outcome, _ action: String, _ identity: String, by actor: String, now: Int64
    ) throws(StateError) -> Outcome {
        guard case .failure(let refusal) = outcome,
            let leftOut = self.refusals.withLock({ $0.take(now: now) })
        else { return outcome }
        var detail = "refused: \(refusal.rawValue)"
        if leftOut > 0 { detail += "; \(leftOut) refusals before it are not here" }
        // The identity is what a stranger may have written: only one of our form is kept.
        try self.store.auditRefusal(
            action, of: (try? SPIFFEID(identity))?.text ?? "malformed", detail: detail, now: now,
            actor: actor)
        return outcome
    }

    private static let triesPerMinute: Int64 = 5
    /// 256 sets of four sources: 24 KiB.
    private static let trySets = 256
    /// 5 minutes: how far the clocks of vault and service may be apart.
    private static let proofSeconds: Int64 = 300
}
