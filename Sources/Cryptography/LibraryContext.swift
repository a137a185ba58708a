internal import COpenSSL

/// Owns an OpenSSL library context: a set of fetched algorithms that shares no lock or counter.
///
/// Each worker has its own, because in OpenSSL 3.0 threads that share one spend their time on its
/// locks and on the reference counts of its algorithms. Must outlive all that was made with it.
@safe package final class LibraryContext: @unchecked Sendable {
    // Sendable: an OSSL_LIB_CTX may be used from any thread (OSSL_LIB_CTX(3)) and the pointer to it
    // never changes.
    private let pointer: OpaquePointer?

    /// The process's default context, for work off the data path.
    package static let standard = LibraryContext()

    /// Makes a new context with OpenSSL's default provider.
    package static func make() throws(CryptographyError) -> LibraryContext {
        try OpenSSLLibrary.initialise()
        guard let pointer = unsafe OSSL_LIB_CTX_new() else { throw .ofOpenSSL("making a context") }
        return unsafe LibraryContext(owning: pointer)
    }

    /// The `OSSL_LIB_CTX *` for C calls made while this object is alive; nil is the default one.
    @unsafe package var handle: OpaquePointer? { unsafe self.pointer }

    private init() {
        unsafe self.pointer = nil
    }

    private init(owning pointer: OpaquePointer) {
        unsafe self.pointer = pointer
    }

    deinit {
        unsafe OSSL_LIB_CTX_free(self.pointer)
    }
}
