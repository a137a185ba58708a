internal import COpenSSL

/// SHA-256 (FIPS 180-4), with one context used again and again.
///
/// Not Sendable: one a worker. Between ``update(_:)`` and ``finish()`` it holds one message.
@safe package final class SHA256 {
    private let algorithm: OpaquePointer
    private let context: OpaquePointer
    private var isStarted = true

    /// Fetches the algorithm in `library` and makes a context, ready for the first message.
    package init(in library: LibraryContext = .standard) throws(CryptographyError) {
        try OpenSSLLibrary.initialise()
        OpenSSLErrorQueue.clear()
        guard let algorithm = unsafe EVP_MD_fetch(library.handle, "SHA256", nil) else {
            throw .ofOpenSSL("fetching SHA-256")
        }
        guard let context = unsafe EVP_MD_CTX_new() else {
            unsafe EVP_MD_free(algorithm)
            throw .ofOpenSSL("making a digest context")
        }
        guard unsafe EVP_DigestInit_ex2(context, algorithm, nil) == 1 else {
            unsafe EVP_MD_CTX_free(context)
            unsafe EVP_MD_free(algorithm)
            throw .ofOpenSSL("starting SHA-256")
        }
        unsafe self.algorithm = algorithm
        unsafe self.context = context
    }

    /// The digest of `bytes`; what an unfinished message had is forgotten.
    package func digest(_ bytes: RawSpan) -> Digest32 {
        self.isStarted = false
        self.update(bytes)
        return self.finish()
    }

    /// Appends `bytes` to the present message.
    package func update(_ bytes: RawSpan) {
        if !self.isStarted { self.restart() }
        let answer = unsafe bytes.withUnsafeBytes {
            unsafe EVP_DigestUpdate(self.context, $0.baseAddress, $0.count)
        }
        precondition(answer == 1, "SHA-256 takes bytes of any number")
    }

    /// The digest of the present message; the next ``update(_:)`` begins a new one.
    package func finish() -> Digest32 {
        if !self.isStarted { self.restart() }
        var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        var count: UInt32 = 0
        let answer = unsafe withUnsafeMutableBytes(of: &words) {
            unsafe EVP_DigestFinal_ex(
                self.context, $0.baseAddress?.assumingMemoryBound(to: UInt8.self), &count)
        }
        precondition(answer == 1 && count == 32, "SHA-256 gives 32 bytes")
        self.isStarted = false
        return Digest32(words: words)
    }

    private func restart() {
        // No algorithm given: the one the context has is kept, and nothing is fetched or allocated.
        let answer = unsafe EVP_DigestInit_ex2(self.context, nil, nil)
        precondition(answer == 1, "a digest context can start again")
        self.isStarted = true
    }

    deinit {
        unsafe EVP_MD_CTX_free(self.context)
        unsafe EVP_MD_free(self.algorithm)
    }
}
