internal import COpenSSL

extension Certificate {
    /// The certificates in `pem`, in their order; other blocks and text between them are passed over.
    ///
    /// - Throws: `.malformed` if there is none, a block does not end or is not a certificate, or
    ///   there are more than 1000.
    package static func chain(pem: [UInt8]) throws(CryptographyError) -> [Certificate] {
        OpenSSLErrorQueue.clear()
        let chain = try unsafe MemoryBIO.withReader(pem.rawSpan) {
            (reader) throws(CryptographyError) -> [Certificate] in
            var chain: [Certificate] = []
            while let certificate = unsafe PEM_read_bio_X509(reader, nil, { _, _, _, _ in 0 }, nil)
            {
                guard chain.count < Self.maximumChainLength else {
                    unsafe X509_free(certificate)
                    throw .malformed("more than \(Self.maximumChainLength) certificates")
                }
                let der = try unsafe X509Certificate(owning: certificate).der()
                chain.append(try Certificate(der: der))
            }
            return chain
        }
        // The end of the input shows as the error "no start line".
        let error = ERR_peek_last_error()
        OpenSSLErrorQueue.clear()
        guard COpenSSL_ERR_GET_REASON(error) == PEM_R_NO_START_LINE else {
            throw .malformed("certificate \(chain.count + 1) in PEM cannot be read")
        }
        guard !chain.isEmpty else { throw .malformed("no certificate in PEM") }
        return chain
    }

    /// 1000: the system's own list of trust roots has about 150.
    private static let maximumChainLength = 1000
}
