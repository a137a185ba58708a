internal import Cryptography
internal import Foundation

/// A PKCS#11 token that keeps keys which never leave it: of AES-256, under which it seals, of RSA where
/// it can decrypt by OAEP with SHA-256, and of P-256 where it can sign.
///
/// From any thread; one call at a time. A session that was lost is begun anew, once for each call: a
/// token that was pulled out is in use again with the first call after it is back.
package final class Token: @unchecked Sendable {
    // Sendable: what changes is touched with the lock held only. Not a Mutex: what a call gives back
    // is the caller's alone, which the compiler does not see through `withLock`.
    private let lock = NSLock()
    private let module: TokenModule
    private var isConnected = false
    /// Tokens lock themselves after a few wrong PINs: one is enough.
    private var isPINRefused = false
    private let configuration: TokenConfiguration
    /// Whether it makes RSA keys, and opens what is wrapped under them by OAEP with SHA-256.
    ///
    /// Shown by its mechanism list and by doing it once at the start: SoftHSM knows SHA-1 only.
    private(set) var holdsRSA = false
    /// Whether it makes keys on P-256 and signs with them, by its mechanism list.
    private(set) var signs = false

    /// What kind of key is meant.
    enum KeyKind: CaseIterable {
        case aes
        case rsa
        case ecdsa
    }

    /// Loads the module, logs in to the token, and makes the key that seals the vault's state if
    /// `mayMakeKey` and it is not there.
    package init(
        _ configuration: TokenConfiguration, mayMakeKey: Bool
    ) throws(TokenError) {
        self.configuration = configuration
        self.module = try TokenModule(configuration)
        do throws(TokenError) {
            try self.perform { (module) throws(TokenError) in _ = try module.findKey(Self.sealingID)
            }
        } catch .noKey where mayMakeKey {
            try self.makeKey(Self.sealingID, label: "scoregate vault")
        }
        try self.testItself()
        self.holdsRSA = try self.testRSA()
        self.signs = try self.perform { (module) throws(TokenError) in module.listsECDSA() }
    }

    /// Tries the PIN again, which may have been corrected.
    package func reload() { self.lock.withLock { self.isPINRefused = false } }

    /// Ends the module's work, before the process ends.
    package func finalize() { self.lock.withLock { self.module.finalize() } }

    /// Whether the key that seals the vault's state can be used now.
    func check() throws(TokenError) {
        let nonce = try Self.nonce()
        try self.perform { (module) throws(TokenError) in
            let key = try module.findKey(Self.sealingID)
            _ = try module.seal(nonce.rawSpan, key: key, context: nonce, nonce: nonce)
        }
    }

    /// Makes a key that never leaves the token.
    func makeKey(_ id: [UInt8], label: String) throws(TokenError) {
        try self.perform { (module) throws(TokenError) in try module.makeKey(id, label: label) }
    }

    /// Makes an RSA key whose private half never leaves the token.
    ///
    /// - Returns: Its modulus; the exponent is ``rsaExponent``.
    func makeRSAKey(_ id: [UInt8], label: String, bits: Int) throws(TokenError) -> [UInt8] {
        try self.perform { (module) throws(TokenError) in
            try module.makeRSAKey(id, label: label, bits: bits, stays: true).modulus
        }
    }

    /// Makes a P-256 key that signs, and whose private half never leaves the token.
    ///
    /// - Returns: Its point, uncompressed (SEC 1, 2.3.3).
    func makeSigningKey(_ id: [UInt8], label: String) throws(TokenError) -> [UInt8] {
        try self.perform { (module) throws(TokenError) in
            try module.makeSigningKey(id, label: label)
        }
    }

    /// Finds a key.
    ///
    /// - Throws: `.noKey` if it is not there.
    func checkKey(_ id: [UInt8], _ kind: KeyKind) throws(TokenError) {
        try self.perform { (module) throws(TokenError) in _ = try module.findKey(id, kind) }
    }

    /// Signs a SHA-256 digest by ECDSA: r ‖ s, 32 bytes each.
    func sign(_ digest: [UInt8], under id: [UInt8]) throws(TokenError) -> [UInt8] {
        try self.perform { (module) throws(TokenError) in
            try module.sign(digest, key: module.findKey(id, .ecdsa))
        }
    }

    /// Removes a key, with which what it sealed is lost; one that is not there is gone already.
    func destroyKey(_ id: [UInt8]) throws(TokenError) {
        try self.perform { (module) throws(TokenError) in
            for kind in KeyKind.allCases {
                do throws(TokenError) {
                    return try module.destroy(module.findKey(id, kind))
                } catch .noKey {
                    continue
                }
            }
        }
    }

    /// Seals by AES-256-GCM, bound to `context`: nonce (12) ‖ ciphertext ‖ tag (16).
    func seal(
        _ secret: borrowing SecretBytes, under id: [UInt8] = Token.sealingID, context: [UInt8]
    ) throws(TokenError) -> [UInt8] {
        let bytes = secret.bytes
        let nonce = try Self.nonce()
        return try self.perform { (module) throws(TokenError) in
            try module.seal(bytes, key: module.findKey(id), context: context, nonce: nonce)
        }
    }

    /// Opens what ``seal(_:under:context:)`` made.
    func open(
        _ sealed: [UInt8], under id: [UInt8] = Token.sealingID, context: [UInt8]
    ) throws(TokenError) -> SecretBytes {
        guard sealed.count > TokenModule.nonceBytes + TokenModule.tagBytes else {
            throw .notAuthentic
        }
        return try self.opening(id) { (module, key) throws(TokenError) in
            try module.open(sealed, key: key, context: context)
        }
    }

    /// Wraps by AES-256 key wrap (RFC 3394): 16 bytes or more, in steps of 8.
    func wrap(
        _ secret: borrowing SecretBytes, under id: [UInt8]
    ) throws(TokenError) -> [UInt8] {
        let bytes = secret.bytes
        return try self.perform { (module) throws(TokenError) in
            try module.wrap(bytes, key: module.findKey(id))
        }
    }

    /// Unwraps what ``wrap(_:under:)`` made.
    func unwrap(_ wrapped: [UInt8], under id: [UInt8]) throws(TokenError) -> SecretBytes {
        guard wrapped.count >= 24, wrapped.count.isMultiple(of: 8) else { throw .notAuthentic }
        return try self.opening(id) { (module, key) throws(TokenError) in
            try module.unwrap(wrapped, key: key)
        }
    }

    /// Opens what was wrapped by RSA-OAEP with SHA-256 under the public half of a key.
    func decrypt(_ wrapped: [UInt8], under id: [UInt8]) throws(TokenError) -> SecretBytes {
        try self.opening(id, .rsa) { (module, key) throws(TokenError) in
            try module.decrypt(wrapped, key: key)
        }
    }

    /// Seals and opens once, so that a token that cannot is found at the start.
    private func testItself() throws(TokenError) {
        let secret = try Self.random()
        let context = Array("scoregate vault self-test".utf8)
        let sealed = try self.seal(secret, context: context)
        let opened = try self.open(sealed, context: context)
        guard ConstantTime.equal(secret.bytes, opened.bytes) else { throw .notAuthentic }
    }

    /// Whether RSA keys can be in the token; an answer that it cannot is no failure.
    private func testRSA() throws(TokenError) -> Bool {
        let secret = try Self.random()
        let id = try Self.nonce()
        return try self.perform { (module) throws(TokenError) in
            guard module.listsOAEP(bits: 4096) else { return false }
            do throws(TokenError) {
                let (key, modulus) = try module.makeRSAKey(
                    id, label: "scoregate vault self-test", bits: RSAPublicKey.minimumBits,
                    stays: false)
                defer { try? module.destroy(key) }
                let opened = try module.decrypt(Self.wrap(secret, modulus), key: key)
                return ConstantTime.equal(secret.bytes, opened.bytes)
            } catch {
                return false
            }
        }
    }

    private static func wrap(
        _ secret: borrowing SecretBytes, _ modulus: [UInt8]
    ) throws(TokenError) -> [UInt8] {
        do throws(CryptographyError) {
            let exponent = self.rsaExponent
            return try RSAPublicKey(modulus: modulus.rawSpan, exponent: exponent.rawSpan)
                .wrap(secret)
        } catch {
            throw .refused(call: "a public key of its own", code: 0)
        }
    }

    /// Opens something, and where that fails finds out whether the token or the bytes are to blame.
    private func opening(
        _ id: [UInt8], _ kind: KeyKind = .aes,
        _ body: (TokenModule, UInt) throws(TokenError) -> SecretBytes
    ) throws(TokenError) -> SecretBytes {
        let nonce = try Self.nonce()
        return try self.perform { (module) throws(TokenError) in
            let key = try module.findKey(id, kind)
            do throws(TokenError) {
                return try body(module, key)
            } catch .notAuthentic {
                // A token that seals works, so that the bytes are bad; else this throws.
                let probe = [UInt8](repeating: 0, count: 32)
                let sealing = kind == .aes ? key : try module.findKey(Self.sealingID)
                _ = try module.seal(probe.rawSpan, key: sealing, context: nonce, nonce: nonce)
                throw .notAuthentic
            }
        }
    }

    /// Runs `body` in a session; where the session is lost, once more in a new one.
    private func perform<Value: ~Copyable>(
        _ body: (TokenModule) throws(TokenError) -> Value
    ) throws(TokenError) -> Value {
        self.lock.lock()
        defer { self.lock.unlock() }
        var hadSession = self.isConnected
        while true {
            if !self.isConnected { try self.connect() }
            do throws(TokenError) {
                return try body(self.module)
            } catch .notAuthentic {
                throw .notAuthentic
            } catch {
                guard hadSession else { throw error }
                hadSession = false
                self.isConnected = false
            }
        }
    }

    /// The lock must be held.
    private func connect() throws(TokenError) {
        guard !self.isPINRefused else { throw .wrongPIN(token: self.configuration.name) }
        let pin = try self.pin()
        // An editor's line end is not part of it.
        let hasLineEnd = pin.bytes[byte: pin.count - 1] == UInt8(ascii: "\n")
        do throws(TokenError) {
            try self.module.connect(pin: pin, pinBytes: pin.count - (hasLineEnd ? 1 : 0))
            self.isConnected = true
        } catch {
            if case .wrongPIN = error { self.isPINRefused = true }
            throw error
        }
    }

    private func pin() throws(TokenError) -> SecretBytes {
        do throws(CryptographyError) {
            return try SecretBytes(contentsOf: self.configuration.pinFile, maximum: 256)
        } catch {
            throw .pin(reason: "\(error)")
        }
    }

    private static func random() throws(TokenError) -> SecretBytes {
        do throws(CryptographyError) {
            return try SystemRandom.secret(count: 32)
        } catch {
            throw .refused(call: "random numbers", code: 0)
        }
    }

    private static func nonce() throws(TokenError) -> [UInt8] {
        do throws(CryptographyError) {
            return try SystemRandom.bytes(count: TokenModule.nonceBytes)
        } catch {
            throw .refused(call: "random numbers", code: 0)
        }
    }

    /// The CKA_ID of the key that seals what the vault keeps in its state.
    static let sealingID = Array("scoregate-seal-1".utf8)
    /// The public exponent of every RSA key in the token, 65537, big-endian.
    static let rsaExponent: [UInt8] = [1, 0, 1]
}

/// Which token, by which module, and how to log in.
package struct TokenConfiguration: Sendable, Equatable {
    /// Absolute path of the PKCS#11 module.
    package var module: String
    /// The token's label.
    package var tokenLabel: String
    /// Its serial number, where the label is not its alone.
    package var serial: String?
    /// Absolute path of the file with the user's PIN, its owner's alone.
    package var pinFile: String
    /// What the module is told when it is initialised; nil for most.
    package var moduleParameters: String?

    /// A token with these values.
    package init(
        module: String, tokenLabel: String, serial: String? = nil, pinFile: String,
        moduleParameters: String? = nil
    ) {
        self.module = module
        self.tokenLabel = tokenLabel
        self.serial = serial
        self.pinFile = pinFile
        self.moduleParameters = moduleParameters
    }

    /// The token as errors name it.
    var name: String {
        "labelled \"\(self.tokenLabel)\""
            + (self.serial.map { " with serial number \"\($0)\"" } ?? "")
    }
}
