package import Cryptography
package import State

/// The internal certificate authority: its roots and intermediates in the state, their keys sealed
/// under the root key.
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
    private let actor: String

    /// The authority of `trustDomain` in `store`, which was opened with the root key at `rootKeyPath`.
    ///
    /// - Parameters:
    ///   - store: The state, open.
    ///   - rootKeyPath: The root key's file.
    ///   - trustDomain: Whose identities are issued.
    ///   - leafSeconds: How long they are valid, 900 to 86,400.
    ///   - actor: Who makes changes, for the audit.
    package init(
        store: StateStore, rootKeyPath: String, trustDomain: String, leafSeconds: Int64,
        actor: String
    ) {
        self.store = store
        self.rootKeyPath = rootKeyPath
        self.trustDomain = trustDomain
        self.leafSeconds = leafSeconds
        self.actor = actor
    }

    /// Does what is due: makes the first root, replaces what is about to expire, takes a rotation
    /// further.
    ///
    /// - Parameter now: Milliseconds of Unix time.
    /// - Returns: The authorities as they are then.
    /// - Throws: `.wrongRootKey`, `.database`.
    package func advance(now: Int64) throws(StateError) -> [AuthorityRecord] {
        let rotation = AuthorityRotation(leafSeconds: self.leafSeconds)
        var present = try self.store.authorities()
        while let step = rotation.step(present, now: now / 1000) {
            let changes = try self.changes(for: step, present, now: now)
            present = try self.store.changeAuthorities(now: now, actor: self.actor) { others in
                // Another process may have been faster.
                rotation.step(others, now: now / 1000) == step ? changes : []
            }
        }
        return present
    }

    /// Publishes a new trust root, which takes the place of the present one in two leaf lives.
    ///
    /// - Parameter now: Milliseconds of Unix time.
    /// - Returns: The new root; nil if a rotation is under way already.
    /// - Throws: `.wrongRootKey`, `.database`.
    package func rotateRoot(now: Int64) throws(StateError) -> Certificate? {
        let present = try self.advance(now: now)
        let changes = try self.changes(for: .makeRoot(.published), present, now: now)
        var isMade = false
        _ = try self.store.changeAuthorities(now: now, actor: self.actor) { others in
            let isUnderWay = others.contains {
                $0.issuerID == nil && ($0.state == .published || $0.state == .outgoing)
            }
            isMade = !isUnderWay
            return isUnderWay ? [] : changes
        }
        guard isMade, case .insert(let record, _)? = changes.first else { return nil }
        return record.certificate
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
            authority: try self.open(intermediate), root: root.certificate,
            leafSeconds: self.leafSeconds)
    }

    private func changes(
        for step: AuthorityRotation.Step, _ present: [AuthorityRecord], now: Int64
    ) throws(StateError) -> [AuthorityChange] {
        switch step {
        case .makeRoot(let state):
            let root: CertificateAuthority
            do throws(CryptographyError) {
                root = try CertificateAuthority.create(
                    trustDomain: self.trustDomain, now: now / 1000)
            } catch {
                throw .cryptography(error)
            }
            return [try self.insertion(of: root, issuerID: nil, state: state, now: now)]
        case .makeIntermediate(let id, let former):
            guard let record = present.first(where: { $0.id == id }) else { return [] }
            let root = try self.open(record)
            let intermediate: CertificateAuthority
            do throws(CryptographyError) {
                intermediate = try root.makeIntermediate(now: now / 1000)
            } catch {
                throw .cryptography(error)
            }
            return [try self.insertion(of: intermediate, issuerID: id, state: .signing, now: now)]
                + Self.retirements(of: former.map { [$0] } ?? [])
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

    private static func retirements(of ids: [[UInt8]]) -> [AuthorityChange] {
        ids.map { .set(id: $0, .retired) }
    }

    private static func below(_ root: [UInt8], _ present: [AuthorityRecord]) -> [[UInt8]] {
        present.filter { $0.issuerID == root && $0.state != .retired }.map(\.id)
    }

    private func insertion(
        of authority: borrowing CertificateAuthority, issuerID: [UInt8]?,
        state: AuthorityRecord.State, now: Int64
    ) throws(StateError) -> AuthorityChange {
        let record = AuthorityRecord(
            issuerID: issuerID, certificate: authority.certificate, state: state,
            sinceMilliseconds: now)
        let key: SecretBytes
        do throws(CryptographyError) {
            key = try authority.privateKeyPEM()
        } catch {
            throw .cryptography(error)
        }
        let rootKey = try RootKey.read(path: self.rootKeyPath)
        return .insert(record, sealedKey: try record.seal(key, under: rootKey))
    }

    private func open(_ record: AuthorityRecord) throws(StateError) -> CertificateAuthority {
        let rootKey = try RootKey.read(path: self.rootKeyPath)
        guard let key = try self.store.openAuthorityKey(record, rootKey: rootKey) else {
            throw .database(operation: "issuing a certificate", reason: "the authority has retired")
        }
        let pem = Array(record.certificate.pem.utf8)
        do throws(CryptographyError) {
            return try CertificateAuthority(certificatePEM: pem, privateKeyPEM: key)
        } catch {
            throw .cryptography(error)
        }
    }
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
