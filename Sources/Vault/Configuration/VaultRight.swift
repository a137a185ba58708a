/// What a policy allows, by its name in the configuration.
package enum VaultRight: String, CaseIterable, Sendable {
    /// Read a key's public half and state, or a secret's value.
    case get
    /// See which there are; never a secret's value.
    case list
    /// Make a key, or a further version by `create`.
    case create
    /// Change attributes and tags, enable and disable.
    case update
    /// Make a further version of a key.
    case rotate
    /// Wrap and encrypt in the vault.
    case wrapKey
    /// Unwrap and decrypt.
    case unwrapKey
    /// Have what an older version wrapped wrapped by the newest, without seeing it.
    case rewrap
    /// Give a secret a value.
    case set
    /// Delete; it can be recovered.
    case delete
    /// Recover what was deleted.
    case recover
    /// Remove what was deleted for good.
    case purge

    /// The rights there are on keys.
    static let ofKeys: [VaultRight] = Self.allCases.filter { $0 != .set }
    /// The rights there are on secrets.
    static let ofSecrets: [VaultRight] = [.get, .list, .set, .update, .delete, .recover, .purge]
}
