internal import COpenSSL

/// Owns a BIO over memory, where OpenSSL reads or writes PEM.
@safe struct MemoryBIO: ~Copyable {
    private let pointer: OpaquePointer

    /// Makes an empty one to write to.
    ///
    /// It is wiped when freed, so a private key may go through it.
    init() throws(CryptographyError) {
        try OpenSSLLibrary.initialise()
        guard let pointer = unsafe BIO_new(BIO_s_secmem()) else { throw .ofOpenSSL("making a BIO") }
        unsafe self.pointer = pointer
    }

    /// The `BIO *` for C calls made while this value is alive.
    @unsafe var handle: OpaquePointer { unsafe self.pointer }

    /// Lets `body` see what was written.
    func withContents<Result: ~Copyable>(
        _ body: (RawSpan) throws(CryptographyError) -> Result
    ) throws(CryptographyError) -> Result {
        var start: UnsafeMutableRawPointer?
        let count = unsafe BIO_ctrl(self.pointer, BIO_CTRL_INFO, 0, &start)
        return try unsafe body(
            RawSpan(_unsafeBytes: UnsafeRawBufferPointer(start: start, count: count)))
    }

    /// Lets `body` read `bytes` as PEM, through a read-only BIO that does not copy them.
    static func withReader<Result: ~Copyable>(
        _ bytes: RawSpan, _ body: (OpaquePointer) throws(CryptographyError) -> Result
    ) throws(CryptographyError) -> Result {
        try OpenSSLLibrary.initialise()
        guard let count = Int32(exactly: bytes.byteCount) else {
            throw .malformed("more than 2 GiB of PEM")
        }
        return try unsafe bytes.withUnsafeBytes {
            (buffer) throws(CryptographyError) -> Result in
            guard let reader = unsafe BIO_new_mem_buf(buffer.baseAddress, count) else {
                throw .ofOpenSSL("making a BIO")
            }
            defer { unsafe BIO_free(reader) }
            return try unsafe body(reader)
        }
    }

    deinit {
        unsafe BIO_free(self.pointer)
    }
}
