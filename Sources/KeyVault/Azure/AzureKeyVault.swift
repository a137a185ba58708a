package import Cryptography
internal import Foundation
internal import HTTPTransport
internal import State
internal import Synchronization
package import TLS

/// How a key vault is reached, and who we are to it.
package enum VaultAccess: Sendable, Hashable {
    /// `scoregate vault`: mutual TLS under an identity of the trust domain, to exactly `peer`.
    case service(identity: TLSCertificateFiles, trustRoots: String, peer: String)
    /// Azure Key Vault: TLS to the host's name, tokens of Entra ID.
    case azure(AzureCredential)
}

/// Wrapping keys in an Azure Key Vault, or in a service that speaks as one.
///
/// A key is named by its name there, `NAME`, or `NAME/VERSION` for one that is to stay at a version.
/// RSA keys wrap in this process, under the public half: only what is asked of the vault tells
/// whether a key may still be used. One for each vault; from any thread.
package final class AzureKeyVault: WrappingKeyVault {
    /// As the key ring has it.
    package static let providerName = "azure-key-vault"
    package var provider: String { Self.providerName }
    /// The right to unwrap is a reader's.
    package var unwrapsWhatItWraps: Bool { false }

    /// Where it is.
    package let address: VaultAddress
    let questions: VaultQuestions
    private let access: VaultAccess
    /// Public halves, by versioned id.
    private let known = Mutex<[String: VaultKey]>([:])

    /// Reads what `access` names; nobody is asked yet.
    ///
    /// - Throws: `.unusable` if a file is not right.
    package convenience init(_ address: VaultAddress, _ access: VaultAccess) throws(KeyVaultError) {
        try self.init(address, access, VaultTimes())
    }

    init(
        _ address: VaultAddress, _ access: VaultAccess, _ times: VaultTimes
    ) throws(KeyVaultError) {
        self.address = address
        self.access = access
        self.questions = try VaultQuestions(address, access, times)
    }

    /// Takes over certificates that were replaced; on failure the present ones stay.
    package func reload() throws(KeyVaultError) { try self.questions.reload() }

    /// What TLS agreed on when the vault last answered.
    package var session: TLSSessionInfo? { self.questions.session }

    /// Whether the vault tells of changes, and wraps anew in one operation.
    package var isService: Bool { if case .service = self.access { true } else { false } }

    package func current(_ name: String) async throws(KeyVaultError) -> WrappingKey {
        let (name, version) = Self.parts(name)
        let key = try await self.key(name, version)
        let state = key.state(at: UnixTime.milliseconds / 1000)
        guard state == .active else { throw .revoked(state) }
        return key.wrappingKey
    }

    package func state(
        of id: String, _ name: String
    ) async throws(KeyVaultError) -> WrappingKeyState {
        let (name, version) = try self.parts(of: id, name)
        do throws(KeyVaultError) {
            return try await self.key(name, version).state(at: UnixTime.milliseconds / 1000)
        } catch .revoked(let state) {
            return state
        }
    }

    package func wrap(
        _ secret: borrowing SecretBytes, under key: WrappingKey, _ name: String
    ) async throws(KeyVaultError) -> [UInt8] {
        let (name, version) = try self.parts(of: key.id, name)
        let known: VaultKey
        if let kept = self.known.withLock({ $0[key.id] }) {
            known = kept
        } else {
            known = try await self.key(name, version)
        }
        switch known.material {
        case .rsa(let modulus, let exponent):
            do throws(CryptographyError) {
                return try RSAPublicKey(modulus: modulus.rawSpan, exponent: exponent.rawSpan)
                    .wrap(secret)
            } catch {
                throw .cryptography(error)
            }
        case .symmetric:
            return try await self.operate(
                "wrapkey", key.id, name, version, .a256KW, Base64URL.text(of: secret.bytes))
        }
    }

    package func unwrap(
        _ wrapped: [UInt8], under id: String, _ algorithm: WrappingAlgorithm, _ name: String
    ) async throws(KeyVaultError) -> SecretBytes {
        let (name, version) = try self.parts(of: id, name)
        let value = try await self.operate(
            "unwrapkey", id, name, version, algorithm, Base64URL.text(of: wrapped.rawSpan))
        do throws(CryptographyError) {
            return try SecretBytes(copying: value.rawSpan)
        } catch {
            throw .cryptography(error)
        }
    }

    package func rewrap(
        _ old: [WrappedSecret], to key: WrappingKey, _ name: String
    ) async throws(KeyVaultError) -> [Result<[UInt8], KeyVaultError>]? {
        let (name, pinned) = Self.parts(name)
        // Azure has no such operation; it always wraps under the newest version.
        guard self.isService, pinned == nil else { return nil }
        var items: [String] = []
        for secret in old {
            let (_, version) = try self.parts(of: secret.id, name)
            let value = Base64URL.text(of: secret.wrapped.rawSpan)
            items.append(
                #"{"version":"\#(version)","alg":"\#(secret.algorithm.rawValue)","value":"\#(value)"}"#
            )
        }
        let body = #"{"items":[\#(items.joined(separator: ","))]}"#
        let answer = try await self.questions.ask(
            "/keys/\(name)/rewrap", posting: Array(body.utf8))
        return try VaultRewrapAnswer.values(answer, of: key, count: old.count)
    }

    /// Asks for a key, and keeps its public half.
    private func key(_ name: String, _ version: String?) async throws(KeyVaultError) -> VaultKey {
        let target = "/keys/\(name)" + (version.map { "/\($0)" } ?? "")
        let key = try VaultKey(
            try await self.questions.ask(target), of: self.address, name, version: version,
            minimumBits: self.isService ? Self.ownBits : RSAPublicKey.minimumBits)
        self.known.withLock { known in
            if known.count >= Self.knownKeys { known.removeAll() }
            known[key.id] = key
        }
        return key
    }

    private func operate(
        _ operation: String, _ id: String, _ name: String, _ version: String,
        _ algorithm: WrappingAlgorithm, _ value: String
    ) async throws(KeyVaultError) -> [UInt8] {
        // Neither has a character that JSON escapes.
        let body = #"{"alg":"\#(algorithm.rawValue)","value":"\#(value)"}"#
        let answer = try await self.questions.ask(
            "/keys/\(name)/\(version)/\(operation)", posting: Array(body.utf8),
            isUnwrap: operation == "unwrapkey")
        return try VaultKeyOperation.value(answer, of: id)
    }

    /// The key's name, and the version in `id`.
    ///
    /// - Throws: `.foreignKey` if the id is not of that key of this vault.
    private func parts(
        of id: String, _ name: String
    ) throws(KeyVaultError) -> (name: String, version: String) {
        let (name, _) = Self.parts(name)
        guard let version = self.address.version(of: id, name) else { throw .foreignKey(id: id) }
        return (name, version)
    }

    private static func parts(_ name: String) -> (name: String, version: String?) {
        let parts = name.split(separator: "/", maxSplits: 1)
        return (String(parts[0]), parts.count == 2 ? String(parts[1]) : nil)
    }

    /// NIST SP 800-57 part 1, table 2: 128 bits of strength.
    private static let ownBits = 3072
    /// 64: an endpoint has one or two in use.
    private static let knownKeys = 64
}
