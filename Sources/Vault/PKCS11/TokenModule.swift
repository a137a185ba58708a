internal import CPKCS11
internal import Cryptography
internal import Glibc

/// A PKCS#11 module and one session of it, logged in to a token.
///
/// Not thread-safe by itself: one call at a time. Each method answers with what the module said.
@safe final class TokenModule {
    private let functions: UnsafeMutablePointer<CK_FUNCTION_LIST>
    private var session: CK_SESSION_HANDLE = 0
    private let label: String

    /// Loads the module at `path`; nothing is asked of it yet.
    init(path: String, label: String) throws(TokenError) {
        guard let functions = unsafe CPKCS11_load(path) else {
            let reason = unsafe dlerror().map { unsafe String(cString: $0) }
            throw .module(path: path, reason: reason ?? "it has no C_GetFunctionList")
        }
        unsafe self.functions = functions
        self.label = label
    }

    /// Initialises the module anew, which lets it see tokens that came and went, and logs in.
    func connect(pin: borrowing SecretBytes, pinBytes: Int) throws(TokenError) {
        _ = unsafe CPKCS11_finalize(self.functions)
        try self.check("C_Initialize", unsafe CPKCS11_initialize(self.functions))
        var slot: CK_SLOT_ID = 0
        let label = Array(self.label.utf8)
        try self.check(
            "C_GetSlotList",
            unsafe CPKCS11_find_slot(self.functions, label, label.count, &slot))
        let answer = unsafe pin.bytes.withUnsafeBytes {
            unsafe CPKCS11_log_in(
                self.functions, slot, $0.baseAddress?.assumingMemoryBound(to: UInt8.self),
                pinBytes, &self.session)
        }
        try self.check("C_Login", answer)
    }

    /// Ends the module's work; nothing else may be asked of it after that.
    func finalize() { _ = unsafe CPKCS11_finalize(self.functions) }

    /// The handle of the AES key with this id.
    func findKey(_ id: [UInt8]) throws(TokenError) -> UInt {
        var key: CK_OBJECT_HANDLE = 0
        try self.check(
            "C_FindObjects",
            unsafe CPKCS11_find_key(self.functions, self.session, id, id.count, &key))
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
        guard answer == CKR_OK else { throw TokenError(call, answer, label: self.label) }
    }

    static let nonceBytes = 12
    static let tagBytes = 16
}
