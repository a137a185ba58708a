internal import CPKCS11
internal import Cryptography
internal import Glibc

/// A PKCS#11 module and one session of it, logged in to a token.
///
/// Not thread-safe by itself: one call at a time. Each method answers with what the module said.
@safe final class TokenModule {
    private let functions: UnsafeMutablePointer<CK_FUNCTION_LIST>
    private var session: CK_SESSION_HANDLE = 0
    private let configuration: TokenConfiguration

    /// Loads the module; nothing is asked of it yet.
    init(_ configuration: TokenConfiguration) throws(TokenError) {
        guard let functions = unsafe CPKCS11_load(configuration.module) else {
            let reason = unsafe dlerror().map { unsafe String(cString: $0) }
            throw .module(
                path: configuration.module, reason: reason ?? "it has no C_GetFunctionList")
        }
        unsafe self.functions = functions
        self.configuration = configuration
    }

    /// Initialises the module anew, which lets it see tokens that came and went, and logs in.
    func connect(pin: borrowing SecretBytes, pinBytes: Int) throws(TokenError) {
        _ = unsafe CPKCS11_finalize(self.functions)
        try self.check(
            "C_Initialize",
            unsafe CPKCS11_initialize(self.functions, self.configuration.moduleParameters))
        var slot: CK_SLOT_ID = 0
        var found: CK_ULONG = 0
        let label = Array(self.configuration.tokenLabel.utf8)
        let serial = Array((self.configuration.serial ?? "").utf8)
        try self.check(
            "C_GetSlotList",
            unsafe CPKCS11_find_slot(
                self.functions, label, label.count, serial, serial.count, &slot, &found))
        guard found == 1 else { throw .ambiguous(token: self.configuration.name) }
        let answer = unsafe pin.bytes.withUnsafeBytes {
            unsafe CPKCS11_log_in(
                self.functions, slot, $0.baseAddress?.assumingMemoryBound(to: UInt8.self),
                pinBytes, &self.session)
        }
        try self.check("C_Login", answer)
    }

    /// Ends the module's work; nothing else may be asked of it after that.
    func finalize() { _ = unsafe CPKCS11_finalize(self.functions) }

    /// The handle of the key with this id.
    func findKey(_ id: [UInt8], _ kind: Token.KeyKind = .aes) throws(TokenError) -> UInt {
        var key: CK_OBJECT_HANDLE = 0
        let type =
            switch kind {
            case .aes: CKK_AES
            case .rsa: CKK_RSA
            case .ecdsa: CKK_EC
            }
        try self.check(
            "C_FindObjects",
            unsafe CPKCS11_find_key(
                self.functions, self.session, CK_KEY_TYPE(type), id, id.count, &key))
        return key
    }

    /// Makes an AES-256 key with this id, which never leaves the token.
    func makeKey(_ id: [UInt8], label: String) throws(TokenError) {
        var key: CK_OBJECT_HANDLE = 0
        let label = Array(label.utf8)
        try self.check(
            "C_GenerateKey",
            unsafe CPKCS11_make_key(
                self.functions, self.session, id, id.count, label, label.count, &key))
    }

    /// Whether the token says that it makes RSA keys of so many bits, and decrypts by OAEP.
    func listsOAEP(bits: Int) -> Bool {
        unsafe CPKCS11_lists_oaep(self.functions, self.session, CK_ULONG(bits)) != 0
    }

    /// Makes an RSA key with this id, whose private half never leaves the token.
    ///
    /// - Parameters:
    ///   - id: Its CKA_ID.
    ///   - label: For people.
    ///   - bits: Of the modulus.
    ///   - stays: Whether it outlives the session.
    /// - Returns: Its handle, and its modulus without leading zeros; the exponent is 65537.
    /// - Throws: What the module answered.
    func makeRSAKey(
        _ id: [UInt8], label: String, bits: Int, stays: Bool
    ) throws(TokenError) -> (key: UInt, modulus: [UInt8]) {
        var key: CK_OBJECT_HANDLE = 0
        let label = Array(label.utf8)
        // Some modules put a zero before a number whose first bit is set.
        var modulus = [UInt8](repeating: 0, count: bits / 8 + 1)
        var count = CK_ULONG(modulus.count)
        try self.check(
            "C_GenerateKeyPair",
            unsafe CPKCS11_make_rsa(
                self.functions, self.session, CK_ULONG(bits), stays ? 1 : 0, id, id.count, label,
                label.count, &modulus, &count, &key))
        return (key, Array(modulus.prefix(Int(count)).drop { $0 == 0 }))
    }

    /// Whether the token says that it makes keys on P-256 and signs with them.
    func listsECDSA() -> Bool {
        unsafe CPKCS11_lists_ecdsa(self.functions, self.session) != 0
    }

    /// Makes a P-256 key with this id, whose private half never leaves the token.
    ///
    /// - Returns: Its point, uncompressed (SEC 1, 2.3.3).
    func makeSigningKey(_ id: [UInt8], label: String) throws(TokenError) -> [UInt8] {
        var key: CK_OBJECT_HANDLE = 0
        let label = Array(label.utf8)
        // An OCTET STRING of DER (PKCS#11 2.40, 2.3.3); some modules leave its head out.
        var point = [UInt8](repeating: 0, count: Self.pointBytes + 2)
        var count = CK_ULONG(point.count)
        try self.check(
            "C_GenerateKeyPair",
            unsafe CPKCS11_make_p256(
                self.functions, self.session, id, id.count, label, label.count, &point, &count,
                &key))
        return point.prefix(Int(count)).suffix(Self.pointBytes)
    }

    /// ECDSA over a SHA-256 digest: r ‖ s, 32 bytes each.
    func sign(_ digest: [UInt8], key: UInt) throws(TokenError) -> [UInt8] {
        var signature = [UInt8](repeating: 0, count: Self.signatureBytes)
        var count = CK_ULONG(signature.count)
        try self.check(
            "C_Sign",
            unsafe CPKCS11_sign(
                self.functions, self.session, key, digest, digest.count, &signature, &count))
        guard count == signature.count else { throw .refused(call: "C_Sign", code: CKR_OK) }
        return signature
    }

    /// RSA-OAEP with SHA-256 and no label.
    func decrypt(_ wrapped: [UInt8], key: UInt) throws(TokenError) -> SecretBytes {
        try unsafe self.secret(room: wrapped.count) { output, count in
            unsafe CPKCS11_decrypt(
                self.functions, self.session, key, wrapped, wrapped.count, output, count)
        }
    }

    /// Removes a key.
    func destroy(_ key: UInt) throws(TokenError) {
        try self.check(
            "C_DestroyObject", unsafe CPKCS11_destroy(self.functions, self.session, key))
    }

    /// AES-GCM; nonce (12) ‖ ciphertext ‖ tag (16).
    func seal(
        _ secret: RawSpan, key: UInt, context: [UInt8], nonce: [UInt8]
    ) throws(TokenError) -> [UInt8] {
        var nonce = nonce
        var output = [UInt8](repeating: 0, count: secret.byteCount + Self.tagBytes)
        var count = CK_ULONG(output.count)
        let answer = unsafe secret.withUnsafeBytes {
            unsafe CPKCS11_seal(
                self.functions, self.session, key, &nonce, context, context.count,
                $0.baseAddress?.assumingMemoryBound(to: UInt8.self), $0.count, &output, &count)
        }
        try self.check("C_Encrypt", answer)
        guard count == output.count else { throw .refused(call: "C_Encrypt", code: CKR_OK) }
        return nonce + output
    }

    /// What ``seal(_:key:context:nonce:)`` made.
    func open(_ sealed: [UInt8], key: UInt, context: [UInt8]) throws(TokenError) -> SecretBytes {
        let nonce = Array(sealed.prefix(Self.nonceBytes))
        let input = Array(sealed.dropFirst(Self.nonceBytes))
        return try unsafe self.secret(room: input.count) { output, count in
            unsafe CPKCS11_open(
                self.functions, self.session, key, nonce, context, context.count, input,
                input.count, output, count)
        }
    }

    /// AES key wrap, RFC 3394.
    func wrap(_ secret: RawSpan, key: UInt) throws(TokenError) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: secret.byteCount + 8)
        var count = CK_ULONG(output.count)
        let answer = unsafe secret.withUnsafeBytes {
            unsafe CPKCS11_wrap(
                self.functions, self.session, key,
                $0.baseAddress?.assumingMemoryBound(to: UInt8.self), $0.count, &output, &count)
        }
        try self.check("C_WrapKey", answer)
        guard count == output.count else { throw .refused(call: "C_WrapKey", code: CKR_OK) }
        return output
    }

    /// What ``wrap(_:key:)`` made.
    func unwrap(_ wrapped: [UInt8], key: UInt) throws(TokenError) -> SecretBytes {
        try unsafe self.secret(room: wrapped.count) { output, count in
            unsafe CPKCS11_unwrap(
                self.functions, self.session, key, wrapped, wrapped.count, output, count)
        }
    }

    /// The secret that `call` writes; anything it refuses is `.notAuthentic` to begin with, because
    /// modules do not tell a damaged secret from a failure.
    private func secret(
        room: Int,
        _ call: (UnsafeMutablePointer<UInt8>?, UnsafeMutablePointer<CK_ULONG>) -> CK_RV
    ) throws(TokenError) -> SecretBytes {
        do throws(CryptographyError) {
            var count = CK_ULONG(room)
            let filled = try SecretBytes(count: max(room, 1)) {
                (output) throws(CryptographyError) in
                let answer = unsafe output.withUnsafeMutableBytes { buffer, initialized in
                    unsafe buffer.initializeMemory(as: UInt8.self, repeating: 0)
                    initialized = buffer.count
                    return unsafe call(
                        buffer.baseAddress?.assumingMemoryBound(to: UInt8.self), &count)
                }
                guard answer == CKR_OK, 1...room ~= Int(count) else { throw .notAuthentic }
            }
            return try SecretBytes(copying: filled.bytes.extracting(first: Int(count)))
        } catch .notAuthentic {
            throw .notAuthentic
        } catch {
            throw .refused(call: "memory", code: CKR_HOST_MEMORY)
        }
    }

    private func check(_ call: String, _ answer: CK_RV) throws(TokenError) {
        guard answer == CKR_OK else {
            throw TokenError(call, answer, token: self.configuration.name)
        }
    }

    static let nonceBytes = 12
    static let tagBytes = 16
    /// Of a point on P-256: 4, x, y.
    private static let pointBytes = 65
    private static let signatureBytes = 64
}
