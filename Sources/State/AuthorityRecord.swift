package import Cryptography

/// What is known of an authority that issues identities: never its key itself.
package struct AuthorityRecord: Sendable {
    /// How far an authority's life has come.
    package enum State: String, Sendable {
        /// Trusted by services, and issues nothing yet.
        case published
        /// Issues.
        case signing
        /// Issues no more; what it has issued is still trusted.
        case outgoing
        /// Trusted no more; its key is destroyed.
        case retired
    }

    /// SHA-256 of the certificate.
    package let id: [UInt8]
    /// The trust root it stands under; nil for a trust root.
    package let issuerID: [UInt8]?
    /// Its own certificate.
    package let certificate: Certificate
    /// How far its life has come.
    package let state: State
    /// Since when, milliseconds of Unix time.
    package let sinceMilliseconds: Int64
    /// Which key of the vault's token is its private key, by CKA_ID; nil if that is sealed in the state,
    /// or destroyed.
    package let tokenKey: [UInt8]?

    /// The record with these values.
    package init(
        issuerID: [UInt8]?, certificate: Certificate, state: State, sinceMilliseconds: Int64,
        tokenKey: [UInt8]? = nil
    ) {
        self.id = certificate.fingerprint.bytes
        self.issuerID = issuerID
        self.certificate = certificate
        self.state = state
        self.sinceMilliseconds = sinceMilliseconds
        self.tokenKey = tokenKey
    }

    /// Whether it is a trust root that services trust.
    package var isTrustedRoot: Bool { self.issuerID == nil && self.state != .retired }
}

/// What shall become of the authorities.
package enum AuthorityChange: Sendable {
    /// A new one, with its private key as ``AuthorityRecord/seal(_:under:)`` gives it; nil if that is in
    /// the token.
    case insert(AuthorityRecord, sealedKey: [UInt8]?)
    /// Another state for one that is there; retiring it destroys its key, unless that is in the token.
    case set(id: [UInt8], AuthorityRecord.State)
    /// The key of one that has retired is gone from the token.
    case forgetTokenKey(id: [UInt8])
}

extension AuthorityRecord {
    /// Seals the authority's private key for its row.
    ///
    /// - Throws: `.cryptography`.
    package func seal(
        _ privateKeyPEM: borrowing SecretBytes, under rootKey: borrowing SecretBytes
    ) throws(StateError) -> [UInt8] {
        do throws(CryptographyError) {
            return try AES256GCM(key: rootKey).seal(
                privateKeyPEM, associatedData: self.associatedData.rawSpan)
        } catch {
            throw .cryptography(error)
        }
    }

    /// Binds the sealed key to its row: no other sealed secret can stand in its place.
    var associatedData: [UInt8] { Array("scoregate authority key 1".utf8) + [0] + self.id }
}
