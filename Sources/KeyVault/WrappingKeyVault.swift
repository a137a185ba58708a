package import Cryptography

/// Where wrapping keys live: wraps and unwraps small secrets under them and says what state they
/// are in.
///
/// A key is named as its vault names it: the embedded one by the endpoint, Azure Key Vault by the
/// key's name. Calls may block or wait for an answer; none belongs on an event loop. Each throws
/// `.unavailable` and `.throttled` as it may, beside what is said there.
package protocol WrappingKeyVault: Sendable {
    /// Which kind of vault this is, as the key ring has it.
    var provider: String { get }
    /// Whether who wraps may also unwrap, so that what was wrapped is tried at once.
    var unwrapsWhatItWraps: Bool { get }

    /// The newest version of a key, which wraps from now on.
    ///
    /// - Throws: `.revoked` if that version may not be used: older ones do not take its place.
    func current(_ name: String) async throws(KeyVaultError) -> WrappingKey

    /// What state a version is in; one that nobody knows is ``WrappingKeyState/deleted``.
    ///
    /// - Throws: `.foreignKey` if the version is another key's.
    func state(of id: String, _ name: String) async throws(KeyVaultError) -> WrappingKeyState

    /// Wraps a secret.
    ///
    /// That it succeeds proves nothing about the key: it may be done in this process, under a public
    /// key.
    ///
    /// - Parameters:
    ///   - secret: For ``WrappingAlgorithm/a256KW`` a multiple of 8 bytes, at least 16.
    ///   - key: What ``current(_:)`` gave.
    ///   - name: The key's name.
    /// - Returns: The wrapped form.
    /// - Throws: `.revoked` if the vault looked, and the version may not be used.
    func wrap(
        _ secret: borrowing SecretBytes, under key: WrappingKey, _ name: String
    ) async throws(KeyVaultError) -> [UInt8]

    /// Unwraps what ``wrap(_:under:_:)`` made.
    ///
    /// - Parameters:
    ///   - wrapped: The wrapped form.
    ///   - id: The version that wrapped it, as the key ring has it.
    ///   - algorithm: How it was wrapped.
    ///   - name: The key's name, from the reader's own configuration.
    /// - Returns: The secret.
    /// - Throws: `.foreignKey` if `id` is not a version of that key, before the vault is asked;
    ///   `.revoked` if the version may not be used; `.notAuthentic`.
    func unwrap(
        _ wrapped: [UInt8], under id: String, _ algorithm: WrappingAlgorithm, _ name: String
    ) async throws(KeyVaultError) -> SecretBytes

    /// Wraps anew what ``wrap(_:under:_:)`` made, inside the vault: this process sees no secret.
    ///
    /// - Parameters:
    ///   - old: The wrapped forms.
    ///   - key: The version to wrap them under.
    ///   - name: The key's name.
    /// - Returns: The new forms, or why there is none; nil where the vault has no such operation.
    /// - Throws: As ``unwrap(_:under:_:_:)``.
    func rewrap(
        _ old: [WrappedSecret], to key: WrappingKey, _ name: String
    ) async throws(KeyVaultError) -> [Result<[UInt8], KeyVaultError>]?
}

extension WrappingKeyVault {
    /// A vault without the operation.
    package func rewrap(
        _ old: [WrappedSecret], to key: WrappingKey, _ name: String
    ) async throws(KeyVaultError) -> [Result<[UInt8], KeyVaultError>]? { nil }
}

/// A secret in the form that a vault gave it.
package struct WrappedSecret: Sendable, Equatable {
    /// The wrapped form.
    package let wrapped: [UInt8]
    /// The version that wrapped it.
    package let id: String
    /// How.
    package let algorithm: WrappingAlgorithm

    /// The form with these values.
    package init(wrapped: [UInt8], under id: String, _ algorithm: WrappingAlgorithm) {
        self.wrapped = wrapped
        self.id = id
        self.algorithm = algorithm
    }
}
