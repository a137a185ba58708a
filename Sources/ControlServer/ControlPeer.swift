package import Cryptography

/// Who is at the other end of a connection: what a client certificate that was verified says.
package struct ControlPeer: Sendable {
    /// The service.
    package let identity: SPIFFEID
    /// Its certificate.
    package let certificate: Certificate

    /// The peer that `der` stands for.
    ///
    /// - Throws: `.malformed` if the certificate is no service's.
    init(der: [UInt8]) throws(CryptographyError) {
        self.certificate = try Certificate(der: der)
        self.identity = try self.certificate.identity()
    }
}
