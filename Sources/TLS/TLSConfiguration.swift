/// A certificate chain, leaf first, and its private key: two PEM files.
package struct TLSCertificateFiles: Sendable, Hashable {
    /// Path of the chain.
    package var chain: String
    /// Path of the key; others than owner and group may not read it.
    package var key: String

    /// Names the two files; nothing is read yet.
    package init(chain: String, key: String) {
        self.chain = chain
        self.key = key
    }
}

/// The lowest version of TLS a policy allows; the highest is always 1.3.
package enum TLSMinimumVersion: Sendable {
    /// TLS 1.2.
    case tls12
    /// TLS 1.3.
    case tls13
}

/// Whether a server asks its clients for certificates.
package enum TLSClientAuthentication: UInt8, Sendable {
    /// Not asked for.
    case none
    /// Asked for; what is presented must verify.
    case optional
    /// Asked for; without one there is no connection.
    case required
}

/// Whom a server talks to.
package enum TLSPurpose: Sendable {
    /// Anybody: TLS 1.2 as configured, tickets where no client certificates are asked for.
    case edge
    /// Services of the trust domain: TLS 1.3 only, no tickets, an identity in each certificate.
    case `internal`
}

/// What a TLS server is to do.
package struct TLSServerConfiguration: Sendable {
    /// Chosen by server name; the first is the default.
    ///
    /// At least one.
    package var certificates: [TLSCertificateFiles]
    /// The lowest version accepted; `.internal` raises it to 1.3.
    package var minimumVersion: TLSMinimumVersion
    /// Whether clients are asked for certificates.
    package var clientAuthentication: TLSClientAuthentication
    /// PEM file of the roots client certificates must lead to; needed unless none are asked for.
    package var clientTrustRoots: String?
    /// PEM file of the revocation lists of those roots and of every authority below them; nil looks
    /// up no revocation.
    package var clientRevocationLists: String?
    /// Application protocols, the preferred first; a client that offers others only is refused.
    package var alpn: [String]
    /// Whom the server talks to.
    package var purpose: TLSPurpose
    /// What the listener is called; a ticket of one listener is worth nothing at another.
    package var listener: String
    /// Milliseconds from the accepted connection to the end of the handshake.
    package var handshakeTimeoutMilliseconds: Int

    /// A server with `certificates`, everything else as for a public listener of HTTP/1.1.
    package init(
        certificates: [TLSCertificateFiles], minimumVersion: TLSMinimumVersion = .tls12,
        clientAuthentication: TLSClientAuthentication = .none, clientTrustRoots: String? = nil,
        alpn: [String] = ["http/1.1"], purpose: TLSPurpose = .edge, listener: String = "",
        handshakeTimeoutMilliseconds: Int = 10_000
    ) {
        self.certificates = certificates
        self.minimumVersion = minimumVersion
        self.clientAuthentication = clientAuthentication
        self.clientTrustRoots = clientTrustRoots
        self.alpn = alpn
        self.purpose = purpose
        self.listener = listener
        self.handshakeTimeoutMilliseconds = handshakeTimeoutMilliseconds
    }
}

/// Whom a client wants to talk to.
package enum TLSExpectedPeer: Sendable, Equatable {
    /// A DNS name, or an IP address as text: must stand in the certificate; a name is sent as SNI.
    case dnsName(String)
    /// A SPIFFE ID, compared as a whole.
    case identity(String)
}

/// What a TLS client is to do.
///
/// Verification cannot be switched off.
package struct TLSClientConfiguration: Sendable {
    /// PEM file of the roots servers must lead to; nil is the system's.
    package var trustRoots: String?
    /// SHA-256 of roots one of which the server must send along, for a client that does not have the
    /// roots themselves yet; takes the place of ``trustRoots`` unless it is empty.
    package var rootDigests: [[UInt8]] = []
    /// What the client proves itself with, if it is asked to.
    package var identity: TLSCertificateFiles?
    /// Whom it must reach.
    package var peer: TLSExpectedPeer
    /// Name sent as SNI; nil sends the name of `peer`, and none where that is an identity.
    package var serverName: String?
    /// Application protocols offered, the preferred first.
    package var alpn: [String]
    /// The lowest version accepted.
    package var minimumVersion: TLSMinimumVersion
    /// The highest version offered.
    package var maximumVersion = TLSVersion.tls13
    /// Cipher suites offered, the preferred first; nil is all of ours.
    package var cipherSuites: [TLSCipher]?
    /// Groups offered for the key exchange, the preferred first; nil is all of ours.
    package var groups: [TLSGroup]?
    /// Milliseconds from the connection to the end of the handshake.
    package var handshakeTimeoutMilliseconds: Int
    /// Whether the server's tickets are wanted, which OpenSSL then keeps the connection for.
    package var wantsTickets = false

    /// A client of `peer`, offering HTTP/1.1.
    package init(
        trustRoots: String?, identity: TLSCertificateFiles? = nil, peer: TLSExpectedPeer,
        serverName: String? = nil, alpn: [String] = ["http/1.1"],
        minimumVersion: TLSMinimumVersion = .tls12, handshakeTimeoutMilliseconds: Int = 10_000
    ) {
        self.trustRoots = trustRoots
        self.identity = identity
        self.peer = peer
        self.serverName = serverName
        self.alpn = alpn
        self.minimumVersion = minimumVersion
        self.handshakeTimeoutMilliseconds = handshakeTimeoutMilliseconds
    }
}
