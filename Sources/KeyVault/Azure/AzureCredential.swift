internal import Cryptography
package import HTTPTransport
internal import TLS

/// Who we are to Entra ID, which gives the tokens for an Azure Key Vault.
package struct AzureCredential: Sendable, Hashable {
    /// How we show it.
    package enum Proof: Sendable, Hashable {
        /// An application of a tenant, by a secret in a file that is its owner's alone.
        case clientSecret(tenant: String, clientID: String, file: String)
        /// The identity of the machine we run on; `clientID` where it has several.
        case managedIdentity(clientID: String?)
    }

    /// How we show it.
    package var proof: Proof
    /// Hosts that tokens may be asked from; whatever else a vault names is refused.
    package var authorityHosts: Set<String>
    /// PEM file of the roots of vaults and authorities; nil is the system's.
    package var trustRoots: String?

    /// Who we are.
    package init(
        _ proof: Proof, authorityHosts: Set<String> = Self.publicAuthorities,
        trustRoots: String? = nil
    ) {
        self.proof = proof
        self.authorityHosts = authorityHosts
        self.trustRoots = trustRoots
    }

    /// Of Azure's public cloud.
    package static let publicAuthorities: Set = ["login.microsoftonline.com"]

    /// Where the machine's identity is asked for: the one leg without TLS that leaves the process, for
    /// the address is the machine's own (Azure Instance Metadata Service).
    package static let instanceMetadata = ConnectionPool.Address.host("169.254.169.254", port: 80)

    /// What to ask, of whom, for a token that answers `challenge`.
    ///
    /// - Throws: `.unusable` if the challenge leads elsewhere than it may, or the secret cannot be read.
    func question(
        for challenge: BearerChallenge, of vault: VaultAddress
    ) throws(KeyVaultError) -> (authority: VaultAddress?, request: HTTPClient.Request) {
        guard challenge.isFor(vault) else {
            throw .unusable(reason: "it wants a token that is for another service")
        }
        switch self.proof {
        case .managedIdentity(let clientID):
            var target =
                "/metadata/identity/oauth2/token?api-version=2018-02-01&resource="
                + Self.encoded(challenge.resource)
            if let clientID { target += "&client_id=" + Self.encoded(clientID) }
            return (
                nil,
                HTTPClient.Request(
                    target, fields: [("host", "169.254.169.254"), ("metadata", "true")])
            )
        case .clientSecret(let tenant, let clientID, let file):
            guard self.authorityHosts.contains(challenge.authority),
                let authority = VaultAddress("https://\(challenge.authority)")
            else { throw .unusable(reason: "it names an authority that is not one of ours") }
            guard challenge.tenant == tenant else {
                throw .unusable(reason: "it is of another tenant than the configured one")
            }
            var request = HTTPClient.Request(
                "/\(tenant)/oauth2/v2.0/token",
                fields: [
                    ("host", authority.authority), ("accept", "application/json"),
                    ("content-type", "application/x-www-form-urlencoded"),
                ])
            request.method = .post
            let form =
                "grant_type=client_credentials&client_id=\(Self.encoded(clientID))&scope="
                + Self.encoded(challenge.resource + "/.default") + "&client_secret="
            request.body = Array(form.utf8)
            do throws(CryptographyError) {
                let secret = try SecretBytes(wordIn: file, maximum: Self.maximumSecretBytes)
                for index in 0..<secret.count {
                    request.body += Self.encoded(secret.bytes[byte: index])
                }
            } catch {
                throw .unusable(reason: "the client secret cannot be used: \(error)")
            }
            return (authority, request)
        }
    }

    /// Whether `text` can name a tenant or an application: a GUID or a domain.
    package static func isDirectoryName(_ text: some StringProtocol) -> Bool {
        (1...253).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "-"), UInt8(ascii: "."):
                    true
                default: false
                }
            }
    }

    private static func encoded(_ text: String) -> String {
        String(decoding: text.utf8.flatMap(self.encoded), as: UTF8.self)
    }

    /// RFC 3986, 2.3: what stands for itself; everything else as its hexadecimal digits.
    private static func encoded(_ byte: UInt8) -> [UInt8] {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "-"), UInt8(ascii: "."),
            UInt8(ascii: "_"), UInt8(ascii: "~"):
            return [byte]
        default:
            return [UInt8(ascii: "%")] + Array(Hexadecimal.text(of: [byte].rawSpan).utf8)
        }
    }

    /// 1 KiB: Entra ID makes secrets of 40 characters.
    private static let maximumSecretBytes = 1024
}
