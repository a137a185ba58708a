internal import Cryptography
internal import Foundation

/// A PKCS#11 token that keeps AES-256 keys which never leave it, and seals under them.
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

    /// Loads the module, logs in to the token, and makes the key that seals the vault's state if
    /// `mayMakeKey` and it is not there.
    package init(
        _ configuration: TokenConfiguration, mayMakeKey: Bool
    ) throws(TokenError) {
        self.configuration = configuration
        self.module = try TokenModule(
            path: configuration.module, label: configuration.tokenLabel)
        do throws(TokenError) {
            try self.perform { (module) throws(TokenError) in _ = try module.findKey(Self.sealingID)
            }
        } catch .noKey where mayMakeKey {
            try self.makeKey(Self.sealingID, label: "scoregate vault")
        }
        try self.testItself()
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

    /// Removes a key, with which what it sealed is lost; one that is not there is gone already.
    func destroyKey(_ id: [UInt8]) throws(TokenError) {
        try self.perform { (module) throws(TokenError) in
            do throws(TokenError) {
                try module.destroy(module.findKey(id))
            } catch .noKey {
                return
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

    /// Seals and opens once, so that a token that cannot is found at the start.
    private func testItself() throws(TokenError) {
        let secret = try Self.random()
        let context = Array("scoregate vault self-test".utf8)
        let sealed = try self.seal(secret, context: context)
        let opened = try self.open(sealed, context: context)
        guard ConstantTime.equal(secret.bytes, opened.bytes) else { throw .notAuthentic }
    }

    /// Opens something, and where that fails finds out whether the token or the bytes are to blame.
    private func opening(
        _ id: [UInt8], _ body: (TokenModule, UInt) throws(TokenError) -> SecretBytes
    ) throws(TokenError) -> SecretBytes {
        let nonce = try Self.nonce()
        return try self.perform { (module) throws(TokenError) in
            let key = try module.findKey(id)
            do throws(TokenError) {
                return try body(module, key)
            } catch .notAuthentic {
                // A token that seals works, so that the bytes are bad; else this throws.
                let probe = [UInt8](repeating: 0, count: 32)
                _ = try module.seal(probe.rawSpan, key: key, context: nonce, nonce: nonce)
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
        guard !self.isPINRefused else { throw .wrongPIN(label: self.configuration.tokenLabel) }
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
}

/// Which token, by which module, and how to log in.
package struct TokenConfiguration: Sendable, Equatable {
    /// Absolute path of the PKCS#11 module.
    package var module: String
    /// The token's label.
    package var tokenLabel: String
    /// Absolute path of the file with the user's PIN, its owner's alone.
    package var pinFile: String

    /// A token with these values.
    package init(module: String, tokenLabel: String, pinFile: String) {
        self.module = module
        self.tokenLabel = tokenLabel
        self.pinFile = pinFile
    }
}
