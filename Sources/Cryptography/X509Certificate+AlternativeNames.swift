internal import COpenSSL

extension X509Certificate {
    /// The names of a certificate by their kind; others than these are passed over.
    struct AlternativeNames {
        var dns: [String] = []
        var uri: [String] = []
        var addresses: [String] = []
    }

    /// Reads the subject alternative names.
    ///
    /// - Throws: `.malformed` if the extension cannot be read or is there twice, or a name has
    ///   bytes that no name has: a NUL byte would end it early for a reader of C strings.
    func alternativeNames() throws(CryptographyError) -> AlternativeNames {
        var names = AlternativeNames()
        var status: Int32 = 0
        let extensionValue = unsafe X509_get_ext_d2i(
            self.handle, NID_subject_alt_name, &status, nil)
        // -1: there is none; -2: it is there twice (X509_get_ext_d2i(3)).
        guard let list = unsafe extensionValue else {
            guard status == -1 else {
                throw .malformed("the certificate's alternative names cannot be read")
            }
            return names
        }
        let stack = OpaquePointer(list)
        defer { unsafe GENERAL_NAMES_free(stack) }
        for index in 0..<max(0, unsafe OPENSSL_sk_num(stack)) {
            guard
                let name = unsafe OPENSSL_sk_value(stack, index)?
                    .assumingMemoryBound(to: GENERAL_NAME.self)
            else { continue }
            switch unsafe name.pointee.type {
            case GEN_DNS: names.dns.append(try unsafe Self.text(name.pointee.d.dNSName))
            case GEN_URI:
                names.uri.append(
                    try unsafe Self.text(name.pointee.d.uniformResourceIdentifier))
            case GEN_IPADD:
                let bytes = unsafe Self.bytes(name.pointee.d.iPAddress)
                guard let text = HostName.addressText(bytes) else {
                    throw .malformed("the certificate has an IP address of \(bytes.count) bytes")
                }
                names.addresses.append(text)
            default: continue
            }
        }
        return names
    }

    private static func text(
        _ string: UnsafeMutablePointer<ASN1_STRING>?
    ) throws(CryptographyError) -> String {
        let bytes = unsafe self.bytes(string)
        guard !bytes.isEmpty, bytes.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw .malformed("one of the certificate's names has bytes that no name has")
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func bytes(_ string: UnsafeMutablePointer<ASN1_STRING>?) -> [UInt8] {
        unsafe Array(
            UnsafeBufferPointer(
                start: ASN1_STRING_get0_data(string), count: Int(ASN1_STRING_length(string))))
    }
}
