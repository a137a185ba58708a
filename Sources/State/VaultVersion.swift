/// What is known of one version of a key or secret of the vault service: never the secret itself.
package struct VaultVersion: Sendable, Equatable {
    /// What it is a version of.
    package enum Kind: String, Sendable {
        case key
        case secret
    }

    /// Where the secret is, and what protects it.
    package enum Protection: String, Sendable {
        /// In the state, sealed under the root key.
        case rootKey = "root key"
        /// In the state, sealed under a key of a PKCS#11 token.
        case tokenKey = "token key"
        /// In a PKCS#11 token, which never gives it out.
        case token
    }

    /// Key or secret.
    package var kind: Kind
    /// The name, as it was first given.
    package var name: String
    /// 32 hexadecimal digits, random.
    package var version: String
    /// A key's type, such as `RSA` or `oct-HSM`; nil for a secret.
    package var keyType: String?
    /// What a key may be used for.
    package var keyOperations: [String] = []
    /// The public half of a key as JSON; nil if there is none.
    package var publicKey: String?
    /// What protects it.
    package var protection: Protection
    /// What a secret's owner says it is.
    package var contentType: String?
    /// Texts of the owner's, by name.
    package var tags: [String: String] = [:]
    /// Whether it may be used.
    package var isEnabled = true
    /// From when on it may be used, milliseconds of Unix time; nil for always.
    package var notBeforeMilliseconds: Int64?
    /// Until when it may be used, milliseconds of Unix time; nil for ever.
    package var expiresMilliseconds: Int64?
    /// When it was made, milliseconds of Unix time.
    package var createdMilliseconds: Int64
    /// When it was last changed, milliseconds of Unix time.
    package var updatedMilliseconds: Int64
    /// Counts the changes from 1.
    package var revision: Int64 = 1
    /// When the key or secret was deleted with all its versions; nil while it is in use.
    package var deletedMilliseconds: Int64?
    /// When a deleted one goes for good.
    package var purgeMilliseconds: Int64?

    /// A version with these values; the rest is as for a new one.
    package init(
        kind: Kind, name: String, version: String, keyType: String? = nil, protection: Protection,
        now: Int64
    ) {
        self.kind = kind
        self.name = name
        self.version = version
        self.keyType = keyType
        self.protection = protection
        self.createdMilliseconds = now
        self.updatedMilliseconds = now
    }

    /// Binds what is sealed to its version: no other sealed secret can stand in its place.
    package var associatedData: [UInt8] {
        Array(
            "scoregate vault 1 \(self.kind.rawValue) \(self.name.lowercased()) \(self.version)".utf8
        )
    }
}

/// Why a key or secret of the vault service is not as an operation needs it.
package enum VaultItemProblem: String, Error, Sendable {
    /// There is none of that name or version.
    case missing = "is not there"
    /// It was deleted and can be recovered.
    case deleted = "was deleted"
    /// It is in use, and only a deleted one can be recovered or purged.
    case notDeleted = "was not deleted"
    /// It was changed since the caller last read it.
    case changed = "was changed meanwhile"
    /// Its newest version was disabled, which a rotation would undo.
    case disabled = "is disabled"
    /// There are as many as there may be.
    case tooMany = "has as many versions, or the vault as many names, as there may be"
}

/// Who did what with a key or secret of the vault service, for the audit.
package struct VaultUse: Sendable {
    /// The peer's identity.
    package var actor: String
    /// The serial number of the certificate it showed.
    package var serial: String
    /// The operation, as policies name it.
    package var action: String
    /// What it was done with: `keys/<name>/<version>`.
    package var subject: String

    /// A use with these values.
    package init(actor: String, serial: String, action: String, subject: String) {
        self.actor = actor
        self.serial = serial
        self.action = action
        self.subject = subject
    }
}
