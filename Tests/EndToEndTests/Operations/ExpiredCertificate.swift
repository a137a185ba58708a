import Cryptography
import Foundation

/// A certificate for localhost that was right last year.
struct ExpiredCertificate {
    let certificate: String
    let key: String

    /// Issues it under a trust root of its own: the installation's is younger.
    static func make() throws -> ExpiredCertificate {
        let lastYear = CertificateAuthority.now - 365 * 86_400
        let authority = try CertificateAuthority.create(
            trustDomain: "scoregate.local", days: 3650, now: lastYear)
        let issued = try authority.issueServer(
            commonName: "old", dnsNames: ["localhost"], ipAddresses: ["127.0.0.1"], days: 1,
            now: lastYear)
        let key = unsafe issued.privateKeyPEM.bytes.withUnsafeBytes { unsafe Array($0) }
        return ExpiredCertificate(
            certificate: issued.certificate.pem, key: String(decoding: key, as: UTF8.self))
    }
}
