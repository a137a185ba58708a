package import Cryptography
package import State

/// The internal certificate authority: its roots and intermediates in the state, the keys of roots in
/// the token where there is one that signs, all other keys sealed under the root key.
///
/// Calls block on the disk. Several processes may use the same state: each change is decided within
/// the transaction that makes it. The root key is read anew for each operation.
package final class IdentityAuthority: Sendable {
    /// Whose identities are issued.
    package let trustDomain: String
    /// How long they are valid, in seconds.
    package let leafSeconds: Int64
    private let store: StateStore
    private let rootKeyPath: String
    private let token: Token?
    private let actor: String

    /// The authority of `trustDomain` in `store`, which was opened with the root key at `rootKeyPath`.
    ///
    /// - Parameters:
    ///   - store: The state, open.
    ///   - rootKeyPath: The root key's file.
    ///   - token: Where the keys of new roots are made; nil or one that does not sign: sealed in the state.
    ///   - trustDomain: Whose identities are issued.
    ///   - leafSeconds: How long they are valid, 900 to 86,400.
    ///   - actor: Who makes changes, for the audit.
    package init(
        store: StateStore, rootKeyPath: String, token: Token?, trustDomain: String,
        leafSeconds: Int64, actor: String
    ) {
        self.store = store
        self.rootKeyPath = rootKeyPath
        self.token = token
        self.trustDomain = trustDomain
        self.leafSeconds = leafSeconds
        self.actor = actor
    }

    /// Does what is due: makes the first root, replaces what is about to expire, takes a rotation
    /// further.
    ///
    /// - Parameter now: Milliseconds of Unix time.
    /// - Returns: The authorities as they are then.
    /// - Throws: `.wrongRootKey`, `.database`, `.token`.
    package func advance(now: Int64) throws(StateError) -> [AuthorityRecord] {
        var present = try self.store.authorities()
        let rotation = try self.rotation(of: present, now: now)
        while let step = rotation.step(present, now: now / 1000) {
            let changes = try self.changes(for: step, present, now: now)
            // Another process may have been faster.
            present = try self.make(changes, now: now) {
                rotation.step($0, now: now / 1000) == step
            }.present
        }
        return present
    }

    /// Where certificates were issued for longer than they are now, a rotation waits for these: whoever has
    /// one need not have renewed it in two lives of the others.
    private func rotation(
        of present: [AuthorityRecord], now: Int64
    ) throws(StateError) -> AuthorityRotation {
        let isUnderWay = present.contains { [.published, .outgoing].contains($0.state) }
        let longest = isUnderWay ? try self.store.longestLife(ofCertificatesValidAt: now) : nil
        return AuthorityRotation(leafSeconds: max(self.leafSeconds, (longest ?? 0) / 1000))
    }

    /// Finds the keys in the token of the roots that sign or shall sign.
    ///
    /// - Throws: `.database`; `.token` if one is not there.
    func checkKeys() throws(StateError) {
        for record in try self.store.authorities() {
            guard [.signing, .published].contains(record.state), let key = record.tokenKey,
                let token
            else { continue }
            let root = record.certificate.fingerprint.hexadecimal
            do throws(TokenError) {
                try token.checkKey(key, .ecdsa)
            } catch {
                throw .token(reason: "the key of trust root \(root) cannot be used: \(error)")
            }
        }
    }

    /// Destroys the keys that are in the token still of roots which have retired.
    ///
    /// - Parameter now: Milliseconds of Unix time.
    /// - Throws: `.database`, `.token`; what was not destroyed is the next time.
    func destroyRetiredKeys(now: Int64) throws(StateError) {
        for record in try self.store.authorities() where record.state == .retired {
            guard let key = record.tokenKey, let token else { continue }
            try Self.failing { try token.destroyKey(key) }
            _ = try self.store.changeAuthorities(now: now, actor: self.actor) { _ in
                [.forgetTokenKey(id: record.id)]
            }
        }
    }

    /// Publishes a new trust root, which takes the place of the present one in two leaf lives.
    ///
    /// - Parameter now: Milliseconds of Unix time.
    /// - Returns: The new root; nil if a rotation is under way already.
    /// - Throws: `.wrongRootKey`, `.database`, `.token`.
    package func rotateRoot(now: Int64) throws(StateError) -> Certificate? {
        let isAtRest = { (present: [AuthorityRecord]) in
            !present.contains {
                $0.issuerID == nil && ($0.state == .published || $0.state == .outgoing)
            }
        }
        let present = try self.advance(now: now)
        guard isAtRest(present) else { return nil }
        let changes = try self.changes(for: .makeRoot(.published), present, now: now)
        let isMade = try self.make(changes, now: now, if: isAtRest).isMade
        guard isMade, case .insert(let record, _)? = changes.first else { return nil }
        return record.certificate
    }

    /// Makes `changes` if they are right with the authorities there are by then; else a key that was made
    /// for them is destroyed.
    private func make(
        _ changes: [AuthorityChange], now: Int64, if areRight: ([AuthorityRecord]) -> Bool
    ) throws(StateError) -> (present: [AuthorityRecord], isMade: Bool) {
        var isMade = false
        defer {
            if !isMade, case .insert(let record, _)? = changes.first, let key = record.tokenKey {
                try? self.token?.destroyKey(key)
            }
        }
        var isRight = false
        let present = try self.store.changeAuthorities(now: now, actor: self.actor) { others in
            isRight = areRight(others)
            return isRight ? changes : []
        }
        isMade = isRight
        return (present, isMade)
    }

    /// The roots to be trusted, the one that signs first.
    package func trustBundle() throws(StateError) -> [Certificate] {
        let roots = try self.store.authorities().filter(\.isTrustedRoot)
        return roots.filter { $0.state == .signing }.map(\.certificate)
            + roots.filter { $0.state != .signing }.map(\.certificate)
    }

    /// What issues at `now`, milliseconds of Unix time, ready to use.
    package func signer(now: Int64) throws(StateError) -> IdentitySigner {
        let present = try self.advance(now: now)
        guard let root = present.first(where: { $0.issuerID == nil && $0.state == .signing }),
            let intermediate = present.first(where: {
                $0.issuerID == root.id && $0.state == .signing
            })
        else { preconditionFailure("an authority that was advanced has somebody who signs") }
        return IdentitySigner(
            authority: try Self.failing { try self.open(intermediate) }, root: root.certificate,
            leafSeconds: self.leafSeconds)
    }

    private func changes(
        for step: AuthorityRotation.Step, _ present: [AuthorityRecord], now: Int64
    ) throws(StateError) -> [AuthorityChange] {
        switch step {
        case .makeRoot(let state):
            return [
                try Self.failing {
                    if let token, token.signs {
                        return try self.makeRoot(in: token, state: state, now: now)
                    }
                    let root = try CertificateAuthority.create(
                        trustDomain: self.trustDomain, now: now / 1000)
                    return try self.insertion(of: root, issuerID: nil, state: state, now: now)
                }
            ]
        case .makeIntermediate(let id, let former):
            guard let record = present.first(where: { $0.id == id }) else { return [] }
            return [
                try Self.failing {
                    try self.insertion(
                        of: self.makeIntermediate(under: record, now: now), issuerID: id,
                        state: .signing, now: now)
                }
            ] + Self.retirements(of: former.map { [$0] } ?? [])
        case .promote(let id, let former):
            var changes: [AuthorityChange] = [.set(id: id, .signing)]
            if let former {
                changes.append(.set(id: former, .outgoing))
                changes += Self.retirements(of: Self.below(former, present))
            }
            return changes
        case .retire(let id):
            return Self.retirements(of: [id] + Self.below(id, present))
        }
    }

    private func makeRoot(
        in token: Token, state: AuthorityRecord.State, now: Int64
    ) throws -> AuthorityChange {
        let key = try SystemRandom.bytes(count: Self.tokenKeyBytes)
        let point = try token.makeSigningKey(key, label: "scoregate root \(self.trustDomain)")
        do {
            let root = try CertificateAuthority.unsignedRoot(
                trustDomain: self.trustDomain, publicKey: PublicKey(p256Point: point),
                now: now / 1000)
            let record = AuthorityRecord(
                issuerID: nil,
                certificate: try root.signed(by: token.sign(root.digest, under: key)),
                state: state, sinceMilliseconds: now, tokenKey: key)
            return .insert(record, sealedKey: nil)
        } catch {
            try? token.destroyKey(key)
            throw error
        }
    }

    private func makeIntermediate(
        under root: AuthorityRecord, now: Int64
    ) throws -> CertificateAuthority {
        guard let key = root.tokenKey else {
            return try self.open(root).makeIntermediate(now: now / 1000)
        }
        guard let token else {
            throw StateError.token(
                reason: "the trust root's key is in a PKCS#11 token: \"pkcs11\" is missing")
        }
        let intermediate = try CertificateAuthority.unsignedIntermediate(
            under: root.certificate, now: now / 1000)
        let signature = try token.sign(intermediate.certificate.digest, under: key)
        return try intermediate.signed(by: signature)
    }

    private static func retirements(of ids: [[UInt8]]) -> [AuthorityChange] {
        ids.map { .set(id: $0, .retired) }
    }

    private static func below(_ root: [UInt8], _ present: [AuthorityRecord]) -> [[UInt8]] {
        present.filter { $0.issuerID == root && $0.state != .retired }.map(\.id)
    }

    private func insertion(
        of authority: borrowing CertificateAuthority, issuerID: [UInt8]?,
        state: AuthorityRecord.State, now: Int64
    ) throws -> AuthorityChange {
        let record = AuthorityRecord(
            issuerID: issuerID, certificate: authority.certificate, state: state,
            sinceMilliseconds: now)
        let rootKey = try RootKey.read(path: self.rootKeyPath)
        return .insert(
            record, sealedKey: try record.seal(authority.privateKeyPEM(), under: rootKey))
    }

    private func open(_ record: AuthorityRecord) throws -> CertificateAuthority {
        let rootKey = try RootKey.read(path: self.rootKeyPath)
        guard let key = try self.store.openAuthorityKey(record, rootKey: rootKey) else {
            throw StateError.database(
                operation: "issuing a certificate", reason: "the authority has retired")
        }
        return try CertificateAuthority(
            certificatePEM: Array(record.certificate.pem.utf8), privateKeyPEM: key)
    }

    /// Runs `body`; what libraries and the token throw becomes what the state's callers know.
    private static func failing<Value: ~Copyable>(
        _ body: () throws -> Value
    ) throws(StateError) -> Value {
        do {
            return try body()
        } catch let error as CryptographyError {
            throw .cryptography(error)
        } catch let error as TokenError {
            throw .token(reason: error.description)
        } catch {
            throw error as? StateError ?? .token(reason: "\(error)")
        }
    }

    /// Of the CKA_ID of a root's key in the token: random, as long as those of the vault's own keys.
    private static let tokenKeyBytes = 16
}

/// An intermediate, open for as long as one certificate takes.
package struct IdentitySigner: ~Copyable {
    private let authority: CertificateAuthority
    /// The trust root it stands under.
    package let root: Certificate
    private let leafSeconds: Int64

    init(authority: consuming CertificateAuthority, root: Certificate, leafSeconds: Int64) {
        self.authority = authority
        self.root = root
        self.leafSeconds = leafSeconds
    }

    /// Issues a certificate for the key of `request`, with what the state keeps of it; `now` is in
    /// milliseconds of Unix time.
    package func issue(
        _ identity: SPIFFEID, dnsNames: [String], ipAddresses: [String] = [],
        for request: borrowing CertificateRequest, now: Int64, predecessor: String? = nil
    ) throws(StateError) -> IssuedCertificate {
        do throws(CryptographyError) {
            let leaf = try self.certify(
                identity, dnsNames: dnsNames, ipAddresses: ipAddresses, for: request, now: now)
            return IssuedCertificate(
                leaf, identity: identity, chain: leaf.pem + self.authority.certificate.pem,
                requestDigest: request.digest, now: now, predecessor: predecessor)
        } catch {
            throw .cryptography(error)
        }
    }

    func certify(
        _ identity: SPIFFEID, dnsNames: [String], ipAddresses: [String] = [],
        for request: borrowing CertificateRequest, now: Int64
    ) throws(CryptographyError) -> Certificate {
        try self.authority.issueIdentity(
            identity, dnsNames: dnsNames, ipAddresses: ipAddresses, for: request,
            seconds: self.leafSeconds, now: now / 1000)
    }
}
