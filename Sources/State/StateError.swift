package import Cryptography

/// What can fail in this target.
package enum StateError: Error, Equatable {
    /// The state folder cannot be used; says why and what to do.
    case folder(path: String, reason: String)
    /// The file of the root key cannot be used; says why and what to do.
    case rootKey(path: String, reason: String)
    /// The state was made under another root key.
    case wrongRootKey
    /// The state was made by a newer version of this program.
    case newerSchema(found: Int, known: Int)
    /// SQLite refused an operation; `reason` is its message, which has no values in it.
    case database(operation: String, reason: String)
    /// The wrapping key of an endpoint is not as the operation needs it; says how it is.
    case wrappingKey(endpoint: String, reason: String)
    /// A key or secret of the vault is not as the operation needs it.
    case vaultItem(VaultItemProblem)
    /// The vault's token does not do its part; says why.
    case token(reason: String)
    /// A cryptographic operation failed.
    case cryptography(CryptographyError)
}

extension StateError: CustomStringConvertible {
    /// The error as a sentence without a full stop, for an operator.
    package var description: String {
        switch self {
        case .folder(let path, let reason): "state folder \(path): \(reason)"
        case .rootKey(let path, let reason): "root key \(path): \(reason)"
        case .wrongRootKey:
            "the root key is not the one this state was made under: give root_key the right file, "
                + "or restore the state that belongs to it"
        case .newerSchema(let found, let known):
            "the state has schema \(found), this version knows \(known): use the newer program"
        case .database(let operation, let reason): "\(operation) failed: \(reason)"
        case .wrappingKey(let endpoint, let reason):
            "the wrapping key of endpoint \"\(endpoint)\" \(reason)"
        case .vaultItem(let problem): "the key or secret \(problem.rawValue)"
        case .token(let reason): reason
        case .cryptography(let error): "\(error)"
        }
    }
}
