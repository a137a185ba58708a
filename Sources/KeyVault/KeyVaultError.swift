package import Cryptography

/// Why a vault does not do what it was asked for.
package enum KeyVaultError: Error, Equatable {
    /// The vault could not be asked: unreachable, busy, or its store cannot be read. May pass.
    case unavailable(reason: String)
    /// The vault asks to be left alone for so many milliseconds. Passes.
    case throttled(retryAfterMilliseconds: Int64)
    /// The vault answered with something that cannot be used, or the root key is not the one the
    /// vault's keys are sealed under. Needs an operator, but says nothing about the key.
    case unusable(reason: String)
    /// The key is there and may not be used, or is not there any more; never ``WrappingKeyState/active``.
    case revoked(WrappingKeyState)
    /// The key id is of another key than the one that was named. Nothing was asked of the vault.
    case foreignKey(id: String)
    /// What was to be unwrapped was not wrapped by this key, or was changed.
    case notAuthentic
    /// Random numbers, memory or ciphers cannot be had.
    case cryptography(CryptographyError)

    /// Whether asking again later may succeed without anybody doing something: the keys in use
    /// stay in use for a while.
    package var isTransient: Bool {
        switch self {
        case .unavailable, .throttled, .unusable, .cryptography: true
        case .revoked, .foreignKey, .notAuthentic: false
        }
    }

    /// Whether the vault says of the key that it may not be used.
    package var isRevocation: Bool { if case .revoked = self { true } else { false } }
}

extension KeyVaultError: CustomStringConvertible {
    /// The error as a sentence without a full stop, for an operator.
    package var description: String {
        switch self {
        case .unavailable(let reason): "the key vault cannot be asked: \(reason)"
        case .throttled(let milliseconds):
            "the key vault asks to be left alone for \(milliseconds) ms"
        case .unusable(let reason): "the key vault is of no use: \(reason)"
        case .revoked(let state): "the wrapping key is \(state.rawValue)"
        case .foreignKey(let id): "\(id) is not a version of this endpoint's wrapping key"
        case .notAuthentic: "what was wrapped is not of this wrapping key, or was changed"
        case .cryptography(let error): error.description
        }
    }
}
