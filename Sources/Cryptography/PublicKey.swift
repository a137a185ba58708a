internal import COpenSSL

/// Owns the public half of a key: what a certificate certifies, and what shows whose a signature is.
@safe package struct PublicKey: ~Copyable, @unchecked Sendable {
    // Sendable: an EVP_PKEY that nobody changes may be used from any thread (EVP_PKEY_new(3)).
    private let pointer: OpaquePointer

    /// The public half of `key`.
    init(of key: borrowing PrivateKey) {
        let answer = unsafe EVP_PKEY_up_ref(key.handle)
        precondition(answer == 1, "a key can be shared")
        unsafe self.pointer = key.handle
    }

    /// Takes over `pointer`.
    @unsafe init(owning pointer: OpaquePointer) {
        unsafe self.pointer = pointer
    }

    /// The key on P-256 with this uncompressed point: 4, x and y, 65 bytes (SEC 1, 2.3.3).
    ///
    /// - Throws: `.malformed` if there is no such point on the curve.
    package init(p256Point point: [UInt8]) throws(CryptographyError) {
        try OpenSSLLibrary.initialise()
        OpenSSLErrorQueue.clear()
        let bytes = Self.p256Head + point
        let key = unsafe bytes.withUnsafeBufferPointer { bytes in
            var next = bytes.baseAddress
            return unsafe point.count == 65 ? d2i_PUBKEY(nil, &next, bytes.count) : nil
        }
        guard let key = unsafe key else {
            throw .malformed("not a point on P-256: " + OpenSSLErrorQueue.drain())
        }
        unsafe self.pointer = key
    }

    /// What stands before the point in a SubjectPublicKeyInfo: id-ecPublicKey and secp256r1 (RFC 5480, 2).
    private static let p256Head: [UInt8] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08,
        0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ]

    /// The `EVP_PKEY *` for C calls made while this value is alive.
    @unsafe var handle: OpaquePointer { unsafe self.pointer }

    /// What kind of key it is.
    func algorithm() throws(CryptographyError) -> Certificate.KeyAlgorithm {
        switch unsafe EVP_PKEY_get_base_id(self.pointer) {
        case EVP_PKEY_RSA:
            return .rsa(bits: Int(unsafe EVP_PKEY_get_bits(self.pointer)))
        case EVP_PKEY_EC:
            var name = [CChar](repeating: 0, count: 80)
            var count = 0
            guard
                unsafe EVP_PKEY_get_group_name(self.pointer, &name, name.count, &count) == 1
            else { throw .ofOpenSSL("reading a curve's name") }
            let bytes = name.prefix(count).map(UInt8.init(bitPattern:))
            return .ecdsa(curve: String(decoding: bytes, as: UTF8.self))
        default:
            guard let name = unsafe EVP_PKEY_get0_type_name(self.pointer) else {
                return .other("unknown")
            }
            return .other(unsafe String(cString: name))
        }
    }

    /// Whether ``PrivateKey/sign(_:)`` made `signature` of `message` with the private half.
    package func verifies(_ signature: RawSpan, of message: RawSpan) -> Bool {
        OpenSSLErrorQueue.clear()
        defer { OpenSSLErrorQueue.clear() }
        guard let context = unsafe EVP_MD_CTX_new() else { return false }
        defer { unsafe EVP_MD_CTX_free(context) }
        guard
            unsafe EVP_DigestVerifyInit_ex(
                context, nil, "SHA256", nil, nil, self.pointer, nil) == 1
        else { return false }
        return unsafe signature.withUnsafeBytes { signature in
            unsafe message.withUnsafeBytes { message in
                unsafe EVP_DigestVerify(
                    context, signature.baseAddress?.assumingMemoryBound(to: UInt8.self),
                    signature.count, message.baseAddress?.assumingMemoryBound(to: UInt8.self),
                    message.count) == 1
            }
        }
    }

    deinit {
        unsafe EVP_PKEY_free(self.pointer)
    }
}

extension PrivateKey {
    /// Signs `message` by ECDSA or RSA with SHA-256.
    package func sign(_ message: RawSpan) throws(CryptographyError) -> [UInt8] {
        OpenSSLErrorQueue.clear()
        guard let context = unsafe EVP_MD_CTX_new() else { throw .ofOpenSSL("signing") }
        defer { unsafe EVP_MD_CTX_free(context) }
        guard
            unsafe EVP_DigestSignInit_ex(context, nil, "SHA256", nil, nil, self.handle, nil) == 1
        else { throw .ofOpenSSL("signing") }
        var signature = [UInt8](
            repeating: 0, count: max(0, Int(unsafe EVP_PKEY_get_size(self.handle))))
        var count = signature.count
        let answer = unsafe message.withUnsafeBytes {
            unsafe EVP_DigestSign(
                context, &signature, &count,
                $0.baseAddress?.assumingMemoryBound(to: UInt8.self), $0.count)
        }
        guard answer == 1 else { throw .ofOpenSSL("signing") }
        // ECDSA signatures vary in length (SEC 1, C.5).
        signature.removeSubrange(count...)
        return signature
    }
}
