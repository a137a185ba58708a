/// A certificate chain and its private key, as PEM files by absolute path.
package struct CertificateFiles: Sendable, Hashable {
    /// The certificate chain, leaf first.
    package var chain: String
    /// The private key of the leaf.
    package var key: String

    /// Names the two files.
    package init(chain: String, key: String) {
        self.chain = chain
        self.key = key
    }
}

/// A service's own certificate inside the trust domain, and whom it trusts there.
package struct IdentityConfiguration: Sendable, Equatable {
    /// Own certificate, shown to peers.
    package var certificate: CertificateFiles
    /// PEM file of the roots that peers' certificates must lead to.
    package var trustRoots: String

    /// Names the files.
    package init(certificate: CertificateFiles, trustRoots: String) {
        self.certificate = certificate
        self.trustRoots = trustRoots
    }
}
