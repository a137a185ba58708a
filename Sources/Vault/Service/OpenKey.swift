internal import Cryptography
internal import State

/// A version of a key, ready to be used by one request.
final class OpenKey {
    private let version: VaultVersion
    private let store: VaultStore
    /// Opened when it is first needed: wrapping needs the public half only.
    private var privateKey: Box?

    /// A PrivateKey, which cannot stand in an Optional of a class by itself.
    private final class Box {
        let key: PrivateKey
        init(_ key: consuming PrivateKey) { self.key = key }
    }

    init(_ version: VaultVersion, _ store: VaultStore) throws(VaultError) {
        self.version = version
        self.store = store
    }

    /// How it wraps if nothing else is said.
    var algorithm: String { Self.rsaOAEP256 }

    /// Wraps `secret` as `use` says.
    ///
    /// - Returns: Algorithm, wrapped bytes and what else is needed to unwrap them.
    func wrap(
        _ secret: borrowing SecretBytes, _ use: KeyUseBody
    ) throws(VaultError) -> KeyUseBody {
        try self.check(use)
        guard let numbers = self.version.rsaNumbers,
            let modulus = Base64URL.bytes(of: numbers.n),
            let exponent = Base64URL.bytes(of: numbers.e)
        else { throw .unavailable("\(self.version.name) has no public key in the state") }
        let room = modulus.count - Self.oaepOverheadBytes
        guard secret.count <= room else {
            throw .badParameter("value has at most \(room) bytes for this key.")
        }
        do throws(CryptographyError) {
            let key = try RSAPublicKey(modulus: modulus.rawSpan, exponent: exponent.rawSpan)
            let wrapped = try key.wrap(secret)
            return KeyUseBody(alg: use.alg, value: Base64URL.text(of: wrapped.rawSpan))
        } catch {
            throw .unavailable("\(error)")
        }
    }

    /// Unwraps what ``wrap(_:_:)`` made.
    ///
    /// - Throws: `.badParameter` if it was not made by this key, or was changed; never says which.
    func unwrap(_ use: KeyUseBody) throws(VaultError) -> SecretBytes {
        try self.check(use)
        guard let wrapped = Base64URL.bytes(of: use.value) else {
            throw .badParameter("value is base64url without padding.")
        }
        let key = try self.openPrivateKey()
        do throws(CryptographyError) {
            return try key.key.unwrap(wrapped.rawSpan)
        } catch .notAuthentic {
            throw .badParameter("value was not wrapped by this key, or was changed.")
        } catch {
            throw .unavailable("\(error)")
        }
    }

    private func openPrivateKey() throws(VaultError) -> Box {
        if let privateKey { return privateKey }
        let pem = try self.store.open(self.version)
        do throws(CryptographyError) {
            let box = Box(try PrivateKey(pem: pem))
            self.privateKey = box
            return box
        } catch {
            throw .unavailable("\(error)")
        }
    }

    private func check(_ use: KeyUseBody) throws(VaultError) {
        guard use.alg == Self.rsaOAEP256 else {
            throw .badParameter("alg is \(Self.rsaOAEP256).")
        }
    }

    private static let rsaOAEP256 = "RSA-OAEP-256"
    /// Two digests of SHA-256 and two bytes (RFC 8017, 7.1.1).
    private static let oaepOverheadBytes = 66
}
