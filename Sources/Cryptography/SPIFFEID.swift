/// The identity of a service: `spiffe://<trust domain>/<kind>/<name>`.
///
/// There is one way to write an identity, so that two are equal exactly if their texts are.
package struct SPIFFEID: Hashable, Sendable {
    /// What a service is for.
    package enum Kind: String, CaseIterable, Sendable {
        case gateway
        case agent
        case vault
        case reader
        case rewrap
        case `operator`
    }

    /// Who issues the identity: lower-case letters, digits, ".", "-" and "_".
    package let trustDomain: String
    /// What the service is for.
    package let kind: Kind
    /// Letters, digits, ".", "-" and "_"; replicas share it.
    package let name: String

    /// The whole identity.
    package var text: String {
        "\(Self.scheme)\(self.trustDomain)/\(self.kind.rawValue)/\(self.name)"
    }

    /// Reads an identity.
    ///
    /// - Throws: `.malformed` if it is not exactly of the form above: other scheme or case, a port,
    ///   user, query, fragment, percent sign, empty or dot segment, another kind.
    ///
    /// SPIFFE-ID standard, 2.1 and 2.2.
    package init(_ text: String) throws(CryptographyError) {
        guard text.utf8.count <= Self.maximumBytes, text.hasPrefix(Self.scheme) else {
            throw Self.malformed(text, "it must begin with \(Self.scheme)")
        }
        let parts = text.dropFirst(Self.scheme.count).split(
            separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 3 else {
            throw Self.malformed(text, "it must be \(Self.scheme)<trust domain>/<kind>/<name>")
        }
        guard let kind = Kind(rawValue: String(parts[1])) else {
            let kinds = Kind.allCases.map(\.rawValue).joined(separator: ", ")
            throw Self.malformed(text, "its kind must be one of \(kinds)")
        }
        try self.init(trustDomain: String(parts[0]), kind: kind, name: String(parts[2]))
    }

    /// The identity made of these parts.
    ///
    /// - Throws: `.malformed` if the trust domain or name has other characters or too many.
    package init(trustDomain: String, kind: Kind, name: String) throws(CryptographyError) {
        try Self.validate(trustDomain: trustDomain)
        guard (1...Self.maximumNameBytes).contains(name.utf8.count),
            name.utf8.allSatisfy({
                Self.isTrustDomainByte($0) || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= $0
            }),
            name != ".", name != ".."
        else {
            throw .malformed(
                "\"\(name)\" is no name of a service: 1 to \(Self.maximumNameBytes) letters, digits, "
                    + "\".\", \"-\" and \"_\"")
        }
        self.trustDomain = trustDomain
        self.kind = kind
        self.name = name
    }

    /// Throws `.malformed` unless `trustDomain` can stand in an identity.
    package static func validate(trustDomain: String) throws(CryptographyError) {
        guard (1...Self.maximumTrustDomainBytes).contains(trustDomain.utf8.count),
            trustDomain.utf8.allSatisfy(Self.isTrustDomainByte)
        else {
            throw .malformed(
                "\"\(trustDomain)\" is no trust domain: 1 to \(Self.maximumTrustDomainBytes) "
                    + "lower-case letters, digits, \".\", \"-\" and \"_\"")
        }
    }

    /// The identity of `trustDomain` itself, which its trust root carries.
    static func text(ofTrustDomain trustDomain: String) -> String { Self.scheme + trustDomain }

    private static func isTrustDomainByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    private static func malformed(_ text: String, _ reason: String) -> CryptographyError {
        .malformed("\"\(text.prefix(200))\" is no identity: \(reason)")
    }

    private static let scheme = "spiffe://"

    /// 2048 bytes: SPIFFE-ID standard, 2.3.
    private static let maximumBytes = 2048

    /// 255 bytes: SPIFFE-ID standard, 2.1.
    private static let maximumTrustDomainBytes = 255

    /// 64 bytes: the name also stands in the certificate's common name (RFC 5280, appendix A.1).
    private static let maximumNameBytes = 64
}
