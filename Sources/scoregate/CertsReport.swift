internal import Cryptography
internal import Foundation

/// What `scoregate certs` tells of a certificate.
struct CertificateReport: Encodable {
    let file: String
    let privateKey: String?
    let subject: String
    let issuer: String
    let serial: String
    let dnsNames: [String]
    let uriNames: [String]
    let ipAddresses: [String]
    let isAuthority: Bool
    let notBefore: String
    let notAfter: String
    let daysLeft: Int
    let key: String
    let sha256: String

    init(
        _ certificate: Certificate, file: String, key: String?,
        now: Int64 = CertificateAuthority.now
    ) {
        self.file = file
        self.privateKey = key
        self.subject = certificate.subject
        self.issuer = certificate.issuer
        self.serial = certificate.serial
        self.dnsNames = certificate.dnsNames
        self.uriNames = certificate.uriNames
        self.ipAddresses = certificate.ipAddresses
        self.isAuthority = certificate.isAuthority
        self.notBefore = Self.text(ofTime: certificate.notBefore)
        self.notAfter = Self.text(ofTime: certificate.notAfter)
        // Rounded down, so that 0 is the last day and what is past is negative.
        self.daysLeft = Int((Double(certificate.notAfter - now) / 86_400).rounded(.down))
        self.key = certificate.keyAlgorithm.description
        self.sha256 = certificate.fingerprint.hexadecimal
    }

    /// Writes the report on standard output.
    func write(as format: OutputFormat) {
        switch format {
        case .text: print(self.text)
        case .json: print(Self.json(self))
        }
    }

    /// Writes several reports, as text with a line between them or as one JSON array.
    static func write(_ reports: [CertificateReport], as format: OutputFormat) {
        switch format {
        case .text: print(reports.map(\.text).joined(separator: "\n\n"))
        case .json: print(self.json(reports))
        }
    }

    private var text: String {
        var lines = [("file", self.file)]
        if let privateKey { lines.append(("private key", privateKey)) }
        lines.append(("subject", self.subject))
        lines.append(("issuer", self.issuer))
        lines.append(("serial", self.serial))
        lines += self.dnsNames.map { ("DNS name", $0) }
        lines += self.ipAddresses.map { ("IP address", $0) }
        lines += self.uriNames.map { ("URI", $0) }
        lines.append(("may issue", self.isAuthority ? "yes, it is a trust root" : "no"))
        lines.append(("valid from", self.notBefore))
        lines.append(("valid until", "\(self.notAfter) (\(self.remaining))"))
        lines.append(("key", self.key))
        lines.append(("SHA-256", self.sha256))
        return lines.map { name, value in
            name + String(repeating: " ", count: 13 - name.count) + value
        }.joined(separator: "\n")
    }

    private var remaining: String {
        switch self.daysLeft {
        case ..<0: "expired"
        case 0: "less than a day left"
        case 1: "1 day left"
        default: "\(self.daysLeft) days left"
        }
    }

    private static func text(ofTime time: Int64) -> String {
        Date(timeIntervalSince1970: Double(time)).formatted(.iso8601)
    }

    private static func json(_ value: some Encodable) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        // Strings, numbers and arrays always encode.
        let encoded = try? encoder.encode(value)
        return encoded.map { String(decoding: $0, as: UTF8.self) } ?? "null"
    }
}
