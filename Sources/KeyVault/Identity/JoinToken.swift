package import Cryptography
internal import Foundation

/// What an operator gives a service so that it can have its first certificate.
///
/// Its file is JSON, the owner's alone:
///
/// | member | meaning |
/// |---|---|
/// | `identity` | the SPIFFE ID it is for |
/// | `token` | 256 random bits in base64url; good once, for an hour at most |
/// | `trust_roots_sha256` | SHA-256 of the roots one of which the vault's certificate must lead to |
/// | `vault_identity` | the vault's SPIFFE ID |
/// | `join_url` | where the vault takes the token, with server authentication only |
/// | `vault_url` | where the vault is asked afterwards, over mutual TLS |
package struct JoinToken: Sendable, Codable, Equatable {
    /// The identity it is for.
    package let identity: String
    /// The token itself, a secret until it was used.
    package let token: String
    /// SHA-256 of trust roots in lower-case hexadecimal.
    package let trustRoots: [String]
    /// Where the vault is and who it is.
    package let vault: VaultLocation

    /// A new token for `identity`.
    package static func make(
        identity: SPIFFEID, trustRoots: [Certificate], vault: VaultLocation
    ) throws(CryptographyError) -> JoinToken {
        let bytes = try SystemRandom.bytes(count: Self.byteCount)
        return JoinToken(
            identity: identity.text, token: Base64URL.text(of: bytes.rawSpan),
            trustRoots: trustRoots.map(\.fingerprint.hexadecimal), vault: vault)
    }

    private init(identity: String, token: String, trustRoots: [String], vault: VaultLocation) {
        self.identity = identity
        self.token = token
        self.trustRoots = trustRoots
        self.vault = vault
    }

    /// Reads the file at `path`.
    ///
    /// - Throws: `.unusable` if it cannot be read, others may read it, or it is no join token.
    package init(path: String) throws(KeyVaultError) {
        let bytes: [UInt8]
        do throws(CryptographyError) {
            // Read as a secret for the check of the file's mode; the token is worth nothing once it
            // was sent, which is the next thing done with it.
            let secret = try SecretBytes(contentsOf: path, maximum: Self.maximumFileBytes)
            bytes = secret.bytes.array
        } catch {
            throw .unusable(reason: error.description)
        }
        guard let read = try? JSONDecoder().decode(JoinToken.self, from: Data(bytes)),
            (try? SPIFFEID(read.identity)) != nil, read.digest != nil,
            !read.trustRoots.isEmpty, read.rootDigests.count == read.trustRoots.count
        else { throw .unusable(reason: "\(path): not a join token") }
        self = read
    }

    /// The file's text.
    package func text() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self) + "\n"
    }

    /// SHA-256 of the token's bits, as the vault keeps it; nil if the text is no token.
    package var digest: Digest32? { Self.digest(of: self.token) }

    /// SHA-256 of the bits of a token's text; nil if it is none.
    package static func digest(of token: String) -> Digest32? {
        guard token.utf8.count <= Self.maximumTextBytes, let bytes = Base64URL.bytes(of: token),
            bytes.count == Self.byteCount
        else { return nil }
        return try? SHA256().digest(bytes.rawSpan)
    }

    /// The digests of ``trustRoots`` that can be read.
    var rootDigests: [[UInt8]] {
        self.trustRoots.compactMap { Hexadecimal.bytes(of: $0) }
            .filter { $0.count == Digest32.byteCount }
    }

    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            identity: try values.decode(String.self, forKey: .identity),
            token: try values.decode(String.self, forKey: .token),
            trustRoots: try values.decode([String].self, forKey: .trustRoots),
            vault: try VaultLocation(from: decoder))
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(self.identity, forKey: .identity)
        try values.encode(self.token, forKey: .token)
        try values.encode(self.trustRoots, forKey: .trustRoots)
        try self.vault.encode(to: encoder)
    }

    private enum CodingKeys: String, CodingKey {
        case identity
        case token
        case trustRoots = "trust_roots_sha256"
    }

    /// 256 bits.
    private static let byteCount = 32
    /// 43 letters of six bits.
    private static let maximumTextBytes = 43
    /// 16 KiB: a token has less than 1 KiB.
    private static let maximumFileBytes = 16_384
}

/// Where a vault is asked, and who must answer.
package struct VaultLocation: Sendable, Codable, Equatable {
    /// The listener with server authentication only.
    package let joinURL: String
    /// The listener with mutual TLS.
    package let vaultURL: String
    /// The vault's SPIFFE ID.
    package let vaultIdentity: String

    /// A vault with these addresses.
    package init(joinURL: String, vaultURL: String, vaultIdentity: SPIFFEID) {
        self.joinURL = joinURL
        self.vaultURL = vaultURL
        self.vaultIdentity = vaultIdentity.text
    }

    private enum CodingKeys: String, CodingKey {
        case joinURL = "join_url"
        case vaultURL = "vault_url"
        case vaultIdentity = "vault_identity"
    }
}
