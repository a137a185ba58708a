internal import COpenSSL
internal import Cryptography

/// What we read from an X.509 certificate, and the rules of SPIFFE's X.509-SVID.
enum PeerCertificate {
    /// Why a certificate that verified is refused all the same.
    enum Refusal: String {
        case authority = "the leaf is a certificate authority"
        case severalIdentities = "more than one URI in the subject alternative names"
        case noIdentity = "no SPIFFE ID in the subject alternative names"
        case malformedIdentity = "the URI is no SPIFFE ID of the form we use"
        case keyUsage = "the key may not sign"
    }

    /// The identity in a leaf.
    enum Identity {
        case none
        case spiffe(String)
        case refused(Refusal)
    }

    /// Reads the identity: none, or exactly one URI, on a leaf that is no authority and may sign
    /// (X.509-SVID, 2 and 4).
    @unsafe static func identity(of leaf: OpaquePointer) -> Identity {
        if unsafe X509_get_extension_flags(leaf) & UInt32(EXFLAG_CA) != 0 {
            return .refused(.authority)
        }
        let uris = unsafe self.alternativeNames(leaf, kind: GEN_URI)
        guard let uri = uris.first else { return .none }
        guard uris.count == 1 else { return .refused(.severalIdentities) }
        guard (try? SPIFFEID(uri)) != nil else { return .refused(.malformedIdentity) }
        guard unsafe X509_get_key_usage(leaf) & UInt32(KU_DIGITAL_SIGNATURE) != 0 else {
            return .refused(.keyUsage)
        }
        return .spiffe(uri)
    }

    /// The subject alternative names of one kind, GEN_DNS or GEN_URI; names with a NUL are left out.
    @unsafe static func alternativeNames(_ certificate: OpaquePointer, kind: CInt) -> [String] {
        guard let names = unsafe COpenSSL_X509_alternative_names(certificate) else { return [] }
        defer { unsafe COpenSSL_GENERAL_NAMES_free(names) }
        return unsafe (0..<COpenSSL_GENERAL_NAMES_num(names)).compactMap { index in
            guard let text = unsafe COpenSSL_GENERAL_NAMES_text(names, index, kind),
                let start = unsafe ASN1_STRING_get0_data(text)
            else { return nil }
            let bytes = unsafe UnsafeBufferPointer(
                start: start, count: Int(ASN1_STRING_length(text)))
            // A name with a NUL reads differently in C: "good.example\0.evil.example".
            guard unsafe !bytes.contains(0) else { return nil }
            return unsafe String(decoding: bytes, as: UTF8.self)
        }
    }

    /// The subject in the form of RFC 2253.
    @unsafe static func subject(of certificate: OpaquePointer) -> String {
        unsafe self.printed { output in
            _ = unsafe X509_NAME_print_ex(
                output, X509_get_subject_name(certificate), 0, COpenSSL_XN_FLAG_RFC2253())
        }
    }

    /// The serial number in lower-case hexadecimal.
    @unsafe static func serial(of certificate: OpaquePointer) -> String {
        let number = unsafe X509_get0_serialNumber(certificate)
        let bytes = unsafe UnsafeRawBufferPointer(
            start: ASN1_STRING_get0_data(number), count: Int(ASN1_STRING_length(number)))
        return unsafe Hexadecimal.text(of: RawSpan(_unsafeBytes: bytes))
    }

    /// SHA-256 of the certificate.
    @unsafe static func digest(of certificate: OpaquePointer) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: Digest32.byteCount)
        var count: UInt32 = 0
        guard unsafe X509_digest(certificate, EVP_sha256(), &bytes, &count) == 1,
            Int(count) == bytes.count
        else { return nil }
        return bytes
    }

    /// Seconds since 1970 at which a certificate runs out.
    @unsafe static func notAfter(of certificate: OpaquePointer) -> Int64 {
        unsafe self.seconds(of: X509_get0_notAfter(certificate))
    }

    /// A time as OpenSSL prints it: "Nov 23 23:40:42 2026 GMT".
    @unsafe static func text(of time: UnsafePointer<ASN1_TIME>?) -> String {
        unsafe self.printed { output in _ = unsafe ASN1_TIME_print(output, time) }
    }

    @unsafe private static func seconds(of time: UnsafePointer<ASN1_TIME>?) -> Int64 {
        var days: CInt = 0
        var seconds: CInt = 0
        guard let epoch = unsafe ASN1_TIME_set(nil, 0) else { return 0 }
        defer { unsafe ASN1_STRING_free(epoch) }
        guard unsafe ASN1_TIME_diff(&days, &seconds, epoch, time) == 1 else { return 0 }
        return Int64(days) * 86_400 + Int64(seconds)
    }

    @unsafe private static func printed(_ print: (OpaquePointer) -> Void) -> String {
        guard let output = unsafe BIO_new(BIO_s_mem()) else { return "" }
        defer { unsafe BIO_free(output) }
        unsafe print(output)
        var bytes = [UInt8](repeating: 0, count: 1_024)
        let count = unsafe BIO_read(output, &bytes, CInt(bytes.count))
        return String(decoding: bytes.prefix(Int(max(0, count))), as: UTF8.self)
    }
}
