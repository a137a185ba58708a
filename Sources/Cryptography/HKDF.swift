internal import COpenSSL

/// HKDF (RFC 5869): keys for separate purposes from one secret.
///
/// HMAC (RFC 2104) is put together here from a digest that is fetched once and whose context is used
/// again and again: OpenSSL's own looks the digest up anew and allocates for each key, which takes ten
/// times as long as the digest does. Not Sendable: one a thread.
@safe package final class HKDF {
    /// The digest it is built on.
    package enum Digest: String, Sendable {
        /// 32 bytes.
        case sha256 = "SHA256"
        /// 48 bytes.
        case sha384 = "SHA384"

        /// How many bytes the digest has, which is also what ``HKDF/extract(_:salt:into:)`` gives.
        package var byteCount: Int { self == .sha256 ? 32 : 48 }

        /// FIPS 180-4, figure 1.
        fileprivate var blockBytes: Int { self == .sha256 ? 64 : 128 }
    }

    /// The digest of no bytes.
    package let digestOfNothing: [UInt8]
    private let digest: Digest
    private let algorithm: OpaquePointer
    private let context: OpaquePointer

    /// Fetches the digest in `library`.
    package init(
        in library: LibraryContext = .standard, digest: Digest = .sha256
    ) throws(CryptographyError) {
        try OpenSSLLibrary.initialise()
        OpenSSLErrorQueue.clear()
        guard let algorithm = unsafe EVP_MD_fetch(library.handle, digest.rawValue, nil) else {
            throw .ofOpenSSL("fetching \(digest.rawValue)")
        }
        guard let context = unsafe EVP_MD_CTX_new() else {
            unsafe EVP_MD_free(algorithm)
            throw .ofOpenSSL("making a digest context")
        }
        var nothing = [UInt8](repeating: 0, count: digest.byteCount)
        guard unsafe EVP_DigestInit_ex2(context, algorithm, nil) == 1,
            unsafe EVP_DigestFinal_ex(context, &nothing, nil) == 1,
            unsafe EVP_DigestInit_ex2(context, nil, nil) == 1
        else {
            unsafe EVP_MD_CTX_free(context)
            unsafe EVP_MD_free(algorithm)
            throw .ofOpenSSL("starting \(digest.rawValue)")
        }
        self.digestOfNothing = nothing
        self.digest = digest
        unsafe self.algorithm = algorithm
        unsafe self.context = context
    }

    /// Derives `count` bytes from `secret` with a context of its own, for whoever does it once.
    ///
    /// - Parameters:
    ///   - secret: The input keying material.
    ///   - salt: May be empty.
    ///   - information: Names the purpose; another name gives an unrelated key.
    ///   - count: 1 to 8160 (255 digests).
    /// - Returns: A new secret of `count` bytes.
    /// - Throws: `.openSSL`, or `.system` if no memory can be locked for it.
    package static func sha256(
        _ secret: borrowing SecretBytes, salt: RawSpan, information: RawSpan, count: Int
    ) throws(CryptographyError) -> SecretBytes {
        try HKDF().derive(secret, salt: salt, information: information, count: count)
    }

    /// Extracts and expands (RFC 5869, 2.2 and 2.3); parameters as
    /// ``sha256(_:salt:information:count:)`` has them.
    package func derive(
        _ secret: borrowing SecretBytes, salt: RawSpan, information: RawSpan, count: Int
    ) throws(CryptographyError) -> SecretBytes {
        let secret = secret.bytes
        return try SecretBytes(count: count) { (output) throws(CryptographyError) in
            unsafe output.withUnsafeMutableBytes { buffer, filled in
                filled = buffer.count
                unsafe Self.withScratch(self.digest.byteCount) { key in
                    unsafe salt.withUnsafeBytes { salt in
                        unsafe secret.withUnsafeBytes {
                            unsafe self.extract($0, salt: salt, into: key)
                        }
                    }
                    unsafe self.expand(
                        UnsafeRawBufferPointer(key), information: information, into: buffer)
                }
            }
        }
    }

    /// Expands a key into the next one of the same length, `times` times over (RFC 5869, 2.3).
    ///
    /// - Parameters:
    ///   - secret: A key as good as random, of 32 to 8160 bytes. With `times` 0 the result equals it.
    ///   - information: Names the purpose.
    ///   - times: Not negative. What lies between is wiped.
    /// - Returns: A new secret of the same length.
    /// - Throws: `.system` if no memory can be locked for it.
    package func expand(
        _ secret: borrowing SecretBytes, information: RawSpan, times: Int = 1
    ) throws(CryptographyError) -> SecretBytes {
        let secret = secret.bytes
        return try SecretBytes(count: secret.byteCount) { (output) throws(CryptographyError) in
            unsafe output.withUnsafeMutableBytes { buffer, filled in
                filled = buffer.count
                unsafe secret.withUnsafeBytes { unsafe buffer.copyMemory(from: $0) }
                for _ in 0..<times {
                    unsafe self.expand(
                        UnsafeRawBufferPointer(buffer), information: information, into: buffer)
                }
            }
        }
    }

    /// Extracts a key as good as random (RFC 5869, 2.2).
    ///
    /// - Parameters:
    ///   - secret: The input keying material.
    ///   - salt: May be empty, which is the same as a digest's length of zeros.
    ///   - output: As long as the digest, the caller's to wipe; may be where either of the two is.
    @unsafe package func extract(
        _ secret: UnsafeRawBufferPointer, salt: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) {
        precondition(output.count == self.digest.byteCount, "RFC 5869 2.2 sets the length")
        unsafe Self.withScratch(self.digest.blockBytes) { block in
            unsafe self.setUp(salt, in: block)
            unsafe self.authenticate(in: block, into: output) {
                unsafe self.update(secret)
            }
        }
    }

    /// Expands a key into `output` (RFC 5869, 2.3).
    ///
    /// - Parameters:
    ///   - secret: A key as good as random.
    ///   - information: Names the purpose.
    ///   - output: 1 to 255 digests, the caller's to wipe; may be where `secret` is.
    @unsafe package func expand(
        _ secret: UnsafeRawBufferPointer, information: RawSpan,
        into output: UnsafeMutableRawBufferPointer
    ) {
        let step = self.digest.byteCount
        precondition((1...255 * step).contains(output.count), "RFC 5869 2.3 limits the length")
        // Sized at once for both: what is allocated on the stack is cheap, and wiped in one go.
        unsafe Self.withScratch(self.digest.blockBytes + step) { scratch in
            let block = unsafe UnsafeMutableRawBufferPointer(rebasing: scratch.dropLast(step))
            let last = unsafe UnsafeMutableRawBufferPointer(rebasing: scratch.suffix(step))
            // The key is in the block from here on, so that the output may lie over it.
            unsafe self.setUp(secret, in: block)
            var position = 0
            var number: UInt8 = 1
            while position < output.count {
                unsafe self.authenticate(in: block, into: last) {
                    if position > 0 { unsafe self.update(UnsafeRawBufferPointer(last)) }
                    unsafe information.withUnsafeBytes { unsafe self.update($0) }
                    unsafe withUnsafeBytes(of: &number) { unsafe self.update($0) }
                }
                let part = min(step, output.count - position)
                unsafe UnsafeMutableRawBufferPointer(rebasing: output[position..<position + part])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: last[..<part]))
                position += part
                number &+= 1
            }
        }
    }

    // MARK: - HMAC (RFC 2104)

    /// Makes `block` the key, as long as a block of the digest, exclusive-ored with ipad.
    private func setUp(
        _ key: UnsafeRawBufferPointer, in block: UnsafeMutableRawBufferPointer
    ) {
        unsafe block.initializeMemory(as: UInt8.self, repeating: 0)
        if key.count <= block.count {
            unsafe block.copyMemory(from: key)
        } else {
            unsafe self.update(key)
            unsafe self.finish(into: block)
        }
        unsafe Self.flip(block, Self.inner)
    }

    /// Writes HMAC of what `message` gives to ``update(_:)``; `block` is as ``setUp(_:in:)`` leaves it,
    /// before and after.
    private func authenticate(
        in block: UnsafeMutableRawBufferPointer, into output: UnsafeMutableRawBufferPointer,
        _ message: () -> Void
    ) {
        unsafe self.update(UnsafeRawBufferPointer(block))
        message()
        unsafe self.finish(into: output)
        unsafe Self.flip(block, Self.inner ^ Self.outer)
        unsafe self.update(UnsafeRawBufferPointer(block))
        unsafe self.update(UnsafeRawBufferPointer(rebasing: output[..<self.digest.byteCount]))
        unsafe self.finish(into: output)
        unsafe Self.flip(block, Self.inner ^ Self.outer)
    }

    private func update(_ bytes: UnsafeRawBufferPointer) {
        let answer = unsafe EVP_DigestUpdate(self.context, bytes.baseAddress, bytes.count)
        precondition(answer == 1, "a digest takes bytes of any number")
    }

    /// Ends the message; the context is ready for the next and has nothing of this one.
    private func finish(into output: UnsafeMutableRawBufferPointer) {
        var answer = unsafe EVP_DigestFinal_ex(
            self.context, output.baseAddress?.assumingMemoryBound(to: UInt8.self), nil)
        // No algorithm given: the one the context has is kept, and nothing is fetched or allocated.
        if answer == 1 { answer = unsafe EVP_DigestInit_ex2(self.context, nil, nil) }
        precondition(answer == 1, "a digest context ends a message and starts the next")
    }

    private static func flip(_ block: UnsafeMutableRawBufferPointer, _ pad: UInt64) {
        for position in stride(from: 0, to: block.count, by: 8) {
            let word = unsafe block.loadUnaligned(fromByteOffset: position, as: UInt64.self)
            unsafe block.storeBytes(of: word ^ pad, toByteOffset: position, as: UInt64.self)
        }
    }

    /// Runs `body` with `count` bytes on the stack, which are wiped.
    private static func withScratch(
        _ count: Int, _ body: (UnsafeMutableRawBufferPointer) -> Void
    ) {
        unsafe withUnsafeTemporaryAllocation(byteCount: count, alignment: 8) { scratch in
            unsafe body(scratch)
            unsafe OPENSSL_cleanse(scratch.baseAddress, scratch.count)
        }
    }

    /// ipad, eight times.
    private static let inner: UInt64 = 0x3636_3636_3636_3636
    /// opad, eight times.
    private static let outer: UInt64 = 0x5C5C_5C5C_5C5C_5C5C

    deinit {
        unsafe EVP_MD_CTX_free(self.context)
        unsafe EVP_MD_free(self.algorithm)
    }
}
