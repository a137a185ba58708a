package import Cryptography
internal import Foundation
internal import HTTPTransport
internal import NIOCore
internal import TLS

/// Gets a service its certificate from the vault: joins, renews, joins again after an outage.
///
/// Each call is one question on a connection of its own. What the vault answers is in the folder
/// when the call returns, or nothing has changed.
package struct IdentityClient: Sendable {
    /// Whose certificate it is.
    package let identity: SPIFFEID
    /// Where it is kept.
    package let folder: IdentityFolder
    /// The file of the join token; needed for the first certificate only.
    private let tokenPath: String?

    /// A client for `identity`; nothing is asked yet.
    package init(identity: SPIFFEID, folder: IdentityFolder, tokenPath: String?) {
        self.identity = identity
        self.folder = folder
        self.tokenPath = tokenPath
    }

    /// Gets the service a valid certificate, in whatever way is open to it.
    ///
    /// One that is valid stays as it is. One that has expired is renewed by proof of its key; where
    /// there is none, or the vault refuses that, by the join token. A token for other trust roots than
    /// those that are known is tried in any case: the vault may have no other any more.
    ///
    /// - Parameter now: Unix time in seconds.
    /// - Returns: The certificate.
    /// - Throws: `.unavailable` if asking again may help; `.unusable` if only an operator can.
    package func ensure(now: Int64 = CertificateAuthority.now) async throws(KeyVaultError)
        -> Certificate
    {
        guard let present = try self.folder.certificate(),
            try self.ofOwn(present)
        else { return try await self.join() }
        if present.isValid(at: now) {
            // What lies there may as well be the token of the first join, from before a rotation.
            guard self.hasTokenForOtherRoots, let joined = try? await self.join() else {
                return present
            }
            return joined
        }
        do throws(KeyVaultError) {
            return try await self.rejoin(now: now)
        } catch .unusable(let reason) {
            guard let tokenPath, unsafe access(tokenPath, F_OK) == 0 else {
                throw .unusable(reason: reason)
            }
            return try await self.join()
        } catch {
            return try await self.join(after: error)
        }
    }

    /// Gets a certificate by the join token if that is for other trust roots than those that are known:
    /// the vault cannot prove itself by any of these.
    ///
    /// - Parameter error: What asking by the present certificate came to.
    /// - Returns: The certificate.
    /// - Throws: `error` if there is no such token, or no vault that it is for.
    func join(after error: KeyVaultError) async throws(KeyVaultError) -> Certificate {
        guard self.hasTokenForOtherRoots else { throw error }
        do throws(KeyVaultError) {
            return try await self.join()
        } catch .unavailable {
            throw error
        } catch .unusable(let reason) where reason.hasSuffix(Self.otherRoot) {
            throw error
        }
    }

    private var hasTokenForOtherRoots: Bool {
        guard let tokenPath, let token = try? JoinToken(path: tokenPath),
            let known = try? self.folder.trustRoots()
        else { return false }
        return Set(token.trustRoots).isDisjoint(with: known.map(\.fingerprint.hexadecimal))
    }

    /// Gets the first certificate by the join token.
    ///
    /// The token leaves this process only after the vault has shown a certificate that leads to a
    /// root whose digest stands beside the token.
    package func join() async throws(KeyVaultError) -> Certificate {
        guard let tokenPath else {
            throw .unusable(
                reason: "there is no certificate for \(self.identity.text) in \(self.folder.path), "
                    + "and no join token to get one")
        }
        let token = try JoinToken(path: tokenPath)
        guard token.identity == self.identity.text else {
            throw .unusable(
                reason: "\(tokenPath): the token is for \(token.identity), this is "
                    + self.identity.text)
        }
        let pending = try self.folder.pending()
        var tls = TLSClientConfiguration(
            trustRoots: nil, peer: .identity(token.vault.vaultIdentity), minimumVersion: .tls13)
        tls.rootDigests = token.rootDigests
        let answer = try await self.ask(
            token.vault.joinURL, "/identities/join",
            JoinRequest(token: token.token, identity: token.identity, request: pending.request), tls
        )
        return try self.folder.adopt(
            answer, for: pending, identity: self.identity, vault: token.vault)
    }

    /// Gets the next certificate by the present one, over mutual TLS.
    package func renew() async throws(KeyVaultError) -> Certificate {
        let vault = try self.vault()
        let pending = try self.folder.pending()
        var tls = self.tls(vault)
        tls.identity = TLSCertificateFiles(chain: self.folder.chain, key: self.folder.key)
        let answer = try await self.ask(
            vault.vaultURL, "/identities/renew", RenewRequest(request: pending.request), tls)
        return try await self.adopt(answer, for: pending, vault)
    }

    /// Gets the next certificate by the key of one that has expired.
    package func rejoin(now: Int64 = CertificateAuthority.now) async throws(KeyVaultError)
        -> Certificate
    {
        let vault = try self.vault()
        guard let present = try self.folder.certificate() else { return try await self.join() }
        let pending = try self.folder.pending()
        let secret = try self.folder.privateKey()
        let proof: [UInt8]
        do throws(CryptographyError) {
            let message = try RejoinRequest.message(
                serial: present.serial, request: pending.request, time: now)
            let key = try PrivateKey(pem: secret)
            proof = try key.sign(message.rawSpan)
        } catch {
            throw .unusable(reason: error.description)
        }
        let answer = try await self.ask(
            vault.joinURL, "/identities/rejoin",
            RejoinRequest(
                identity: self.identity.text, serial: present.serial, request: pending.request,
                time: now, proof: proof), self.tls(vault))
        return try await self.adopt(answer, for: pending, vault)
    }

    /// Puts a certificate into the place of the present one, and shows it to the vault: from then on
    /// nobody gets another for the one before it.
    private func adopt(
        _ answer: IdentityAnswer, for pending: borrowing IdentityFolder.Pending,
        _ vault: VaultLocation
    ) async throws(KeyVaultError) -> Certificate {
        let issued = try self.folder.adopt(
            answer, for: pending, identity: self.identity, vault: vault)
        // Where this fails, the next question to the vault shows it.
        _ = try? await self.denyList()
        return issued
    }

    private func ofOwn(_ certificate: Certificate) throws(KeyVaultError) -> Bool {
        (try? certificate.identity()) == self.identity
    }

    private func vault() throws(KeyVaultError) -> VaultLocation {
        if let vault = try self.folder.vault() { return vault }
        throw .unusable(reason: "\(self.folder.path) does not say where the vault is: join first")
    }

    private func tls(_ vault: VaultLocation) -> TLSClientConfiguration {
        TLSClientConfiguration(
            trustRoots: self.folder.trustBundle, peer: .identity(vault.vaultIdentity),
            minimumVersion: .tls13)
    }

    /// The vault, and how it is reached under the present certificate.
    func ownVault() throws(KeyVaultError) -> (VaultAddress, TLSClientConfiguration) {
        let vault = try self.vault()
        guard let address = VaultAddress(vault.vaultURL) else {
            throw .unusable(reason: "\"\(vault.vaultURL)\" is not the https URL of a vault")
        }
        var tls = self.tls(vault)
        tls.identity = TLSCertificateFiles(chain: self.folder.chain, key: self.folder.key)
        return (address, tls)
    }

    /// The vault's deny list.
    func denyList() async throws(KeyVaultError) -> DenyList {
        let (vault, tls) = try self.ownVault()
        return try await Self.denyList(at: "\(vault)", tls)
    }

    /// The same of the vault at `url`, which any service of the trust domain may ask.
    static func denyList(
        at url: String, _ tls: TLSClientConfiguration
    ) async throws(KeyVaultError) -> DenyList {
        let (url, fetch) = try Self.fetch(
            url, "/identities/denied", tls, timeout: Self.denyListTimeout)
        let answer = try await Self.answer(to: fetch, url)
        guard answer.status == 200, let list = DenyList(json: answer.body) else {
            throw .unavailable(reason: "\(url): no deny list, but \(answer.status)")
        }
        return list
    }

    private func ask(
        _ url: String, _ target: String, _ body: some Encodable & Sendable,
        _ tls: TLSClientConfiguration
    ) async throws(KeyVaultError) -> IdentityAnswer {
        guard let body = try? JSONEncoder().encode(body) else {
            preconditionFailure("texts and numbers can be encoded")
        }
        var (_, fetch) = try Self.fetch(url, target, tls, timeout: Self.timeout)
        fetch.fields.append(("content-type", "application/json"))
        fetch.method = .post
        fetch.body = [UInt8](body)
        let answer = try await Self.answer(to: fetch, url)
        switch answer.status {
        case 200:
            guard answer.body.count <= Self.maximumAnswerBytes,
                let issued = try? JSONDecoder().decode(
                    IdentityAnswer.self, from: Data(answer.body))
            else { throw .unusable(reason: "\(url): the vault's answer cannot be read") }
            return issued
        case 400, 403, 404:
            // The request will not be granted another time either.
            self.folder.dropPending()
            throw .unusable(reason: "\(url)\(target): the vault refuses (\(answer.status))")
        case 429:
            throw .throttled(retryAfterMilliseconds: 60_000)
        default:
            throw .unavailable(reason: "\(url): the vault answers with \(answer.status)")
        }
    }

    private static func answer(
        to fetch: HTTPFetch, _ url: String
    ) async throws(KeyVaultError) -> HTTPFetch.Answer {
        do {
            return try await fetch.answer()
        } catch StreamError.tls(let reason) where reason == "\(TLSError.rootUnexpected)" {
            throw .unusable(reason: "\(url)\(Self.otherRoot)")
        } catch {
            throw .unavailable(reason: "\(url): \(error)")
        }
    }

    private static func fetch(
        _ url: String, _ target: String, _ tls: TLSClientConfiguration, timeout: TimeAmount
    ) throws(KeyVaultError) -> (url: String, HTTPFetch) {
        guard let components = URLComponents(string: url), components.scheme == "https",
            let host = components.host, !host.isEmpty
        else { throw .unusable(reason: "\"\(url)\" is not the https URL of a vault") }
        let port = components.port ?? 443
        var fetch = HTTPFetch(
            target, at: .host(host.trimmingCharacters(in: ["[", "]"]), port: port), tls: tls,
            fields: [("host", "\(host):\(port)")])
        fetch.timeout = timeout
        return (url, fetch)
    }

    /// What is said of a vault that the join token is not for: to ask again changes nothing.
    private static let otherRoot =
        ": the vault there has another trust root than the join token is for: check where it listens, or "
        + "make a new token there with `scoregate identities token`"
    private static let timeout = TimeAmount.seconds(10)
    /// 4 s: a denial is to be in force within five.
    private static let denyListTimeout = TimeAmount.seconds(4)

    /// 64 KiB: certificates of 1 KiB, few of them.
    private static let maximumAnswerBytes = 65_536
}
