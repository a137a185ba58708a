/// Versions of TLS we speak.
package enum TLSVersion: Int, Sendable, CaseIterable {
    /// RFC 5246.
    case tls12
    /// RFC 8446.
    case tls13

    /// As logs, metrics and `openssl` call it.
    package var name: String {
        switch self {
        case .tls12: "TLSv1.2"
        case .tls13: "TLSv1.3"
        }
    }
}

/// The cipher suites we speak, three of TLS 1.3 and six of TLS 1.2.
package enum TLSCipher: Int, Sendable, CaseIterable {
    /// 0x1301, RFC 8446.
    case aes128GCM
    /// 0x1302, RFC 8446.
    case aes256GCM
    /// 0x1303, RFC 8446.
    case chacha20Poly1305
    /// 0xC02B, RFC 5289.
    case ecdsaAES128GCM
    /// 0xC02F, RFC 5289.
    case rsaAES128GCM
    /// 0xC02C, RFC 5289.
    case ecdsaAES256GCM
    /// 0xC030, RFC 5289.
    case rsaAES256GCM
    /// 0xCCA9, RFC 7905.
    case ecdsaChaCha20Poly1305
    /// 0xCCA8, RFC 7905.
    case rsaChaCha20Poly1305

    /// Whether it is one of TLS 1.3, which names no kind of certificate.
    package var isOfTLS13: Bool { self.rawValue <= Self.chacha20Poly1305.rawValue }

    /// As OpenSSL calls it (SSL_CIPHER_get_name(3)).
    package var name: String {
        switch self {
        case .aes128GCM: "TLS_AES_128_GCM_SHA256"
        case .aes256GCM: "TLS_AES_256_GCM_SHA384"
        case .chacha20Poly1305: "TLS_CHACHA20_POLY1305_SHA256"
        case .ecdsaAES128GCM: "ECDHE-ECDSA-AES128-GCM-SHA256"
        case .rsaAES128GCM: "ECDHE-RSA-AES128-GCM-SHA256"
        case .ecdsaAES256GCM: "ECDHE-ECDSA-AES256-GCM-SHA384"
        case .rsaAES256GCM: "ECDHE-RSA-AES256-GCM-SHA384"
        case .ecdsaChaCha20Poly1305: "ECDHE-ECDSA-CHACHA20-POLY1305"
        case .rsaChaCha20Poly1305: "ECDHE-RSA-CHACHA20-POLY1305"
        }
    }

    /// The suite with this number of the IANA registry; nil for one we do not speak.
    init?(suite: UInt16) {
        switch suite {
        case 0x1301: self = .aes128GCM
        case 0x1302: self = .aes256GCM
        case 0x1303: self = .chacha20Poly1305
        case 0xC02B: self = .ecdsaAES128GCM
        case 0xC02F: self = .rsaAES128GCM
        case 0xC02C: self = .ecdsaAES256GCM
        case 0xC030: self = .rsaAES256GCM
        case 0xCCA9: self = .ecdsaChaCha20Poly1305
        case 0xCCA8: self = .rsaChaCha20Poly1305
        default: return nil
        }
    }
}

/// Groups of the key exchange.
package enum TLSGroup: Int, Sendable, CaseIterable {
    /// RFC 7748.
    case x25519
    /// NIST P-256.
    case p256
    /// NIST P-384.
    case p384

    /// As the registry for TLS calls it.
    package var name: String {
        switch self {
        case .x25519: "X25519"
        case .p256: "P-256"
        case .p384: "P-384"
        }
    }
}

/// What a finished handshake agreed on.
package struct TLSSessionInfo: Sendable {
    /// The version.
    package var version: TLSVersion
    /// The cipher suite.
    package var cipher: TLSCipher
    /// The group of the key exchange; nil for a resumed TLS 1.2 session, which has none.
    package var group: TLSGroup?
    /// The application protocol; nil if the client offered none, which means http/1.1.
    package var alpn: String?
    /// The name the client presented as SNI, in lower case.
    package var serverName: String?
    /// Whether a ticket took the place of certificates.
    package var isResumed: Bool
    /// What the peer's certificate says; nil if the peer presented none.
    package var peer: TLSPeer?
    /// Nanoseconds from the first byte to the end of the handshake.
    package var handshakeNanoseconds: Int64
}

/// What a verified peer certificate says.
package struct TLSPeer: Sendable, Equatable {
    /// The SPIFFE ID, if the certificate has one.
    package var identity: String?
    /// The certificate's serial number in lower-case hexadecimal.
    package var serial: String
    /// The subject in the form of RFC 2253, for logs; never to authorise.
    package var subject: String
    /// The certificate, DER.
    package var certificate: [UInt8]
    /// Seconds since 1970 at which the certificate runs out.
    package var notAfter: Int64
}
