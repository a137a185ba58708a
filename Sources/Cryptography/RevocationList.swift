internal import COpenSSL

/// A certificate revocation list (RFC 5280, 5).
@safe package struct RevocationList: ~Copyable {
    private let pointer: OpaquePointer

    @unsafe private init(owning pointer: OpaquePointer) {
        unsafe self.pointer = pointer
    }

    deinit { unsafe X509_CRL_free(self.pointer) }

    /// Hands each list of `pem` to `body`, in their order; other blocks and text between them are
    /// passed over.
    ///
    /// - Throws: `.malformed` if there is none, a block does not end or is no list, or there are more
    ///   than 100; what `body` throws.
    package static func each(
        pem: [UInt8], _ body: (borrowing RevocationList) throws(CryptographyError) -> Void
    ) throws(CryptographyError) {
        try OpenSSLLibrary.initialise()
        OpenSSLErrorQueue.clear()
        var count = 0
        try unsafe MemoryBIO.withReader(pem.rawSpan) { (reader) throws(CryptographyError) in
            while let pointer = unsafe PEM_read_bio_X509_CRL(reader, nil, { _, _, _, _ in 0 }, nil)
            {
                let list = unsafe RevocationList(owning: pointer)
                count += 1
                guard count <= Self.maximumCount else {
                    throw .malformed("more than \(Self.maximumCount) revocation lists")
                }
                try body(list)
            }
        }
        // The end of the input shows as the error "no start line".
        let error = ERR_peek_last_error()
        OpenSSLErrorQueue.clear()
        guard COpenSSL_ERR_GET_REASON(error) == PEM_R_NO_START_LINE else {
            throw .malformed("revocation list \(count + 1) in PEM cannot be read")
        }
        guard count > 0 else { throw .malformed("no revocation list in PEM") }
    }

    /// Seconds since 1970 after which a newer list should be had (`nextUpdate`); nil if it says none.
    package var nextUpdate: Int64? {
        guard let time = unsafe X509_CRL_get0_nextUpdate(self.pointer) else { return nil }
        return unsafe X509Certificate.seconds(of: time)
    }

    /// Adds the list to an `X509_STORE`, which keeps it.
    ///
    /// - Throws: `.openSSL`.
    @unsafe package func add(to store: OpaquePointer?) throws(CryptographyError) {
        guard unsafe X509_STORE_add_crl(store, self.pointer) == 1 else {
            throw .ofOpenSSL("X509_STORE_add_crl")
        }
    }

    /// 16 MiB: a file of lists with some 400,000 entries.
    package static let maximumFileBytes = 16 << 20
    /// 100: an authority and its intermediates have one each.
    private static let maximumCount = 100
}
