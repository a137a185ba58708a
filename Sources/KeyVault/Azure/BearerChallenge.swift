/// What a vault asks for in `WWW-Authenticate`: a token of whom, and for what.
///
/// A challenge comes from whoever answers in the vault's place, and decides where a secret goes: only
/// authorities that the configuration names are believed, and only a resource that the vault is of.
struct BearerChallenge: Sendable, Equatable {
    /// Host, and port if it is not 443, of who gives tokens.
    let authority: String
    /// Whose directory.
    let tenant: String
    /// What the token is for: `https://vault.azure.net`.
    let resource: String

    /// Reads a challenge.
    ///
    /// - Returns: nil if it is no Bearer challenge with an https authority, a tenant and a resource.
    init?(_ field: String) {
        let scheme = "bearer "
        guard field.lowercased().hasPrefix(scheme) else { return nil }
        var values: [String: String] = [:]
        // Values are URLs: none has a comma or a quotation mark.
        for part in field.dropFirst(scheme.count).split(separator: ",") {
            let pair = part.split(separator: "=", maxSplits: 1)
            guard pair.count == 2 else { return nil }
            let name = pair[0].trimmed.lowercased()
            var value = pair[1].trimmed
            if value.hasPrefix("\""), value.hasSuffix("\""), value.count >= 2 {
                value = value.dropFirst().dropLast()
            }
            guard values.updateValue(String(value), forKey: name) == nil else { return nil }
        }
        guard let authorization = values["authorization"] ?? values["authorization_uri"],
            authorization.hasPrefix("https://"),
            let resource = values["resource"] ?? values["scope"]
        else { return nil }
        let parts = authorization.dropFirst("https://".count).split(
            separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2 || (parts.count == 3 && parts[2].isEmpty),
            VaultAddress("https://\(parts[0])") != nil, AzureCredential.isDirectoryName(parts[1])
        else { return nil }
        self.authority = parts[0].lowercased()
        self.tenant = String(parts[1])
        self.resource = Self.withoutScope(resource)
    }

    /// Whether a token for the resource is meant for a vault there: the resource's host is the vault's, or
    /// a domain the vault is in.
    func isFor(_ address: VaultAddress) -> Bool {
        guard let resource = VaultAddress(self.resource) else { return false }
        return address.host == resource.host || address.host.hasSuffix("." + resource.host)
    }

    private static func withoutScope(_ resource: String) -> String {
        var resource = resource[...]
        if resource.hasSuffix("/.default") { resource.removeLast("/.default".count) }
        if resource.hasSuffix("/") { resource.removeLast() }
        return String(resource)
    }
}

extension Substring {
    fileprivate var trimmed: Substring {
        var text = self.drop { $0 == " " || $0 == "\t" }
        while text.last == " " || text.last == "\t" { text.removeLast() }
        return text
    }
}
