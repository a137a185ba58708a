package import ServiceConfiguration

/// One listening address and its TLS settings.
package struct ListenerConfiguration: Sendable, Equatable {
    /// Where to listen; port 0 asks the system for a free one.
    package var address: ListenAddress
    /// Whether connections begin with a PROXY protocol header; only from trusted proxies.
    package var proxyProtocol: ProxyProtocol
    /// How connections are encrypted: there is no plaintext listener.
    package var tls: ListenerTLSConfiguration

    /// The header a proxy puts before a connection's first byte.
    package enum ProxyProtocol: String, Sendable, CaseIterable {
        /// No header.
        case none
        /// The text form.
        case v1
        /// The binary form.
        case v2
    }
}

/// TLS settings of one listener.
package struct ListenerTLSConfiguration: Sendable, Equatable {
    /// At least one; chosen by SNI, the first is the default.
    package var certificates: [CertificateFiles]
    /// The oldest version accepted.
    package var minimumVersion: MinimumVersion
    /// Whether clients show a certificate.
    package var clientAuthentication: ClientAuthentication
    /// PEM file of the revocation lists that clients' certificates are looked up in; nil for none.
    package var clientRevocationLists: String?

    /// The oldest TLS version a listener accepts.
    package enum MinimumVersion: String, Sendable, CaseIterable {
        /// TLS 1.2.
        case tls12 = "1.2"
        /// TLS 1.3.
        case tls13 = "1.3"
    }

    /// Whether clients show a certificate, and whose are accepted.
    package enum ClientAuthentication: Sendable, Equatable {
        /// None is asked for.
        case none
        /// Asked for; one that is shown must lead to the roots of this PEM file.
        case optional(trustRoots: String)
        /// Every client must show one that leads to the roots of this PEM file.
        case required(trustRoots: String)
    }
}
