internal import Cryptography
internal import State

/// A version of a key, ready to be used by one request, on as many threads as that takes.
final class OpenKey: Sendable {
    private let version: VaultVersion
    private let store: VaultStore
    /// Nil for a key in the token, and where only the public half is needed.
    private let privateKey: Box?

    /// A PrivateKey, which cannot stand in an Optional by itself.
    private final class Box: Sendable {
        let key: PrivateKey
        init(_ key: consuming PrivateKey) { self.key = key }
    }

    /// A key that can wrap.
    init(wrapping version: VaultVersion, _ store: VaultStore) {
        self.version = version
        self.store = store
        self.privateKey = nil
    }

    /// A key that can unwrap too.
    init(unwrapping version: VaultVersion, _ store: VaultStore) throws(VaultError) {
        self.version = version
        self.store = store
        self.privateKey =
            version.protection == .token ? nil : Box(try Self.privateKey(version, store))
    }

    /// How it wraps if nothing else is said.
    func algorithm(like other: String) -> String {
        self.algorithms.contains(other) ? other : self.algorithms[0]
    }

    /// Wraps `secret` as `use` says.
    ///
    /// - Returns: Algorithm, wrapped bytes and what else is needed to unwrap them.
    func wrap(
        _ secret: borrowing SecretBytes, _ use: KeyUseBody
    ) throws(VaultError) -> KeyUseBody {
        try self.check(use)
        switch use.alg {
        case Self.a256GCM: return try self.seal(secret, use)
        case Self.a256KW:
            guard secret.count >= 16, secret.count.isMultiple(of: 8) else {
                throw .badParameter("value has 16 bytes or more in steps of 8.")
            }
            let (token, id) = try self.tokenKey()
            do throws(TokenError) {
                let wrapped = try token.wrap(secret, under: id)
                return KeyUseBody(alg: use.alg, value: Base64URL.text(of: wrapped.rawSpan))
            } catch {
                throw VaultError(error, ofKeyInToken: self.version)
            }
        default: return try self.encrypt(secret, use)
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
        if self.version.protection == .token {
            let sealed = use.alg == Self.a256GCM ? try Self.sealed(wrapped, use) : wrapped
            let context = use.alg == Self.a256GCM ? try Self.context(use) : []
            let (token, id) = try self.tokenKey()
            do throws(TokenError) {
                return switch use.alg {
                case Self.a256GCM: try token.open(sealed, under: id, context: context)
                case Self.a256KW: try token.unwrap(sealed, under: id)
                default: try token.decrypt(sealed, under: id)
                }
            } catch {
                throw VaultError(error, ofKeyInToken: self.version)
            }
        }
        guard let privateKey else { preconditionFailure("the key was opened for wrapping only") }
        do throws(CryptographyError) {
            return try privateKey.key.unwrap(wrapped.rawSpan)
        } catch .notAuthentic {
            throw VaultError(.notAuthentic)
        } catch {
            throw .unavailable("\(error)")
        }
    }

    /// RSA-OAEP under the public half.
    private func encrypt(
        _ secret: borrowing SecretBytes, _ use: KeyUseBody
    ) throws(VaultError) -> KeyUseBody {
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

    /// AES-GCM in the token, bound to `aad`.
    private func seal(
        _ secret: borrowing SecretBytes, _ use: KeyUseBody
    ) throws(VaultError) -> KeyUseBody {
        guard use.iv == nil else { throw .badParameter("The vault makes the iv.") }
        let context = try Self.context(use)
        let (token, id) = try self.tokenKey()
        let sealed: [UInt8]
        do throws(TokenError) {
            sealed = try token.seal(secret, under: id, context: context)
        } catch {
            throw VaultError(error, ofKeyInToken: self.version)
        }
        let nonce = Array(sealed.prefix(TokenModule.nonceBytes))
        let tag = Array(sealed.suffix(TokenModule.tagBytes))
        let body = Array(
            sealed.dropFirst(TokenModule.nonceBytes).dropLast(TokenModule.tagBytes))
        return KeyUseBody(
            alg: use.alg, value: Base64URL.text(of: body.rawSpan),
            iv: Base64URL.text(of: nonce.rawSpan), aad: use.aad,
            tag: Base64URL.text(of: tag.rawSpan))
    }

    private static func context(_ use: KeyUseBody) throws(VaultError) -> [UInt8] {
        guard let text = use.aad, let aad = Base64URL.bytes(of: text), !aad.isEmpty else {
            throw .badParameter("A256GCM needs aad: what the secret is bound to.")
        }
        return aad
    }

    private static func sealed(_ body: [UInt8], _ use: KeyUseBody) throws(VaultError) -> [UInt8] {
        guard let iv = use.iv.flatMap(Base64URL.bytes(of:)), iv.count == TokenModule.nonceBytes,
            let tag = use.tag.flatMap(Base64URL.bytes(of:)), tag.count == TokenModule.tagBytes
        else { throw .badParameter("A256GCM needs iv of 12 bytes and tag of 16.") }
        return iv + body + tag
    }

    private func tokenKey() throws(VaultError) -> (Token, id: [UInt8]) {
        guard let token = self.store.sealing.token else { throw .unavailable("there is no token") }
        let id = try self.store.asking(.key) { () throws(StateError) in
            try self.store.state.sealedVaultVersion(self.version)
        }
        guard let id else { throw .notFound(.key) }
        return (token, id)
    }

    private static func privateKey(
        _ version: VaultVersion, _ store: VaultStore
    ) throws(VaultError) -> PrivateKey {
        let pem = try store.open(version)
        do throws(CryptographyError) {
            return try PrivateKey(pem: pem)
        } catch {
            throw .unavailable("\(error)")
        }
    }

    private func check(_ use: KeyUseBody) throws(VaultError) {
        guard self.algorithms.contains(use.alg) else {
            throw .badParameter("alg is \(self.algorithms.joined(separator: " or ")).")
        }
    }

    private var algorithms: [String] {
        self.version.keyType == KeyType.octHSMName
            ? [Self.a256KW, Self.a256GCM] : [Self.rsaOAEP256]
    }

    private static let rsaOAEP256 = "RSA-OAEP-256"
    private static let a256KW = "A256KW"
    private static let a256GCM = "A256GCM"
    /// Two digests of SHA-256 and two bytes (RFC 8017, 7.1.1).
    private static let oaepOverheadBytes = 66
}
