internal import Cryptography
internal import State

/// Seals what the state keeps, and opens it for the length of one operation: under a key of the
/// token where there is one, else under the root key.
///
/// The root key is read anew each time, so that it is in memory no longer than that and a replaced
/// one is taken over at once.
struct VaultSealing: Sendable {
    let rootKeyPath: String
    let token: Token?

    /// What protects versions that are made now.
    var protection: VaultVersion.Protection { self.token == nil ? .rootKey : .tokenKey }

    /// Seals the secret of a version.
    func seal(
        _ secret: borrowing SecretBytes, of version: VaultVersion
    ) throws(VaultError) -> [UInt8] {
        if let token {
            do throws(TokenError) {
                return try token.seal(secret, context: version.associatedData)
            } catch {
                throw VaultError(error)
            }
        }
        do throws(StateError) {
            return try StateStore.sealVaultSecret(
                secret, of: version, rootKey: RootKey.read(path: self.rootKeyPath))
        } catch {
            throw VaultError(error, version.kind)
        }
    }

    /// Opens what ``seal(_:of:)`` made.
    func open(_ sealed: [UInt8], of version: VaultVersion) throws(VaultError) -> SecretBytes {
        guard version.protection == .rootKey else {
            guard let token else { throw .unavailable("\(version.name) needs the token") }
            do throws(TokenError) {
                return try token.open(sealed, context: version.associatedData)
            } catch .notAuthentic {
                throw .unavailable("what is kept of \(version.name) was changed")
            } catch {
                throw VaultError(error)
            }
        }
        do throws(StateError) {
            do throws(StateError) {
                return try StateStore.openVaultSecret(
                    sealed, of: version, rootKey: RootKey.read(path: self.rootKeyPath))
            } catch .wrongRootKey {
                // Between the two steps of a replacement the next one is right.
                guard let next = try RootKey.readNext(path: self.rootKeyPath) else {
                    throw .wrongRootKey
                }
                return try StateStore.openVaultSecret(sealed, of: version, rootKey: next)
            }
        } catch {
            throw VaultError(error, version.kind)
        }
    }
}
