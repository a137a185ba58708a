internal import KeyVault
internal import ServiceConfiguration

/// A field that a deployment's backends want to see, whose value is a secret.
package struct CredentialConfiguration: Sendable, Equatable {
    /// The field's name, lower case.
    package var name: String
    /// What stands before the secret, for instance `Bearer`; nil for nothing.
    package var scheme: String?
    /// Where the secret is.
    package var source: Source

    /// Where a secret is: never in the configuration itself.
    package enum Source: Sendable, Equatable {
        /// In a file, its owner's alone, by absolute path.
        case file(String)
        /// In the vault.
        case vault(VaultSecretConfiguration)
    }

    /// Absolute path of the file it is in; nil where it is in the vault.
    package var file: String? { if case .file(let path) = self.source { path } else { nil } }
    /// Which secret of the vault it is; nil where it is in a file.
    package var secret: VaultSecretConfiguration? {
        if case .vault(let secret) = self.source { secret } else { nil }
    }
}

/// A secret of the vault service.
package struct VaultSecretConfiguration: Sendable, Hashable {
    /// The vault, and who we are to it.
    package var vault: CustomerKeyConfiguration.Vault
    /// The secret's name there.
    package var name: String
    /// The version that is used; nil for the newest one there is.
    package var version: String?

    /// The secret's URL, with the version if it is to stay at one.
    package var url: String {
        "\(self.vault.address)/secrets/\(self.name)" + (self.version.map { "/\($0)" } ?? "")
    }
}

extension DeploymentReader {
    /// Reads `credentials`: fields by name, each with where its secret is.
    func credentials(_ place: ConfigurationCursor) -> [CredentialConfiguration]? {
        guard let entries = place.entries() else { return nil }
        if entries.count > Self.mostCredentials {
            place.report("at most \(Self.mostCredentials) credentials a deployment")
        }
        var names: Set<String> = []
        let credentials = entries.compactMap { key, name, value -> CredentialConfiguration? in
            let name = name.lowercased()
            guard self.mayBeCredential(name) else {
                key.report(
                    "\"\(name)\" cannot be a credential: a field's name, none that the gateway sets "
                        + "itself or that frames the message")
                return nil
            }
            if !names.insert(name).inserted { key.report("\"\(name)\" is there twice") }
            guard
                let credential = value.mapping(keys: ["file", "secret", "version", "scheme"]),
                let source = self.source(credential)
            else { return nil }
            var scheme: String?
            if let place = credential["scheme"] {
                scheme = place.string()
                guard let scheme, scheme.utf8.allSatisfy(Self.isTokenByte), !scheme.isEmpty else {
                    place.report("a scheme is one word, for instance Bearer")
                    return nil
                }
            }
            if case .file(let path) = source {
                do throws(StartError) {
                    _ = try BackendCredential.secret(in: path)
                } catch {
                    value.report(error.description)
                }
            }
            return CredentialConfiguration(name: name, scheme: scheme, source: source)
        }
        return credentials.count == entries.count ? credentials : nil
    }

    private func source(_ credential: ConfigurationMapping) -> CredentialConfiguration.Source? {
        guard let place = credential["secret"] else {
            credential["version"]?.report("a file has no versions: those are of a \"secret\"")
            return credential.required("file").flatMap(self.files.path).map { .file($0) }
        }
        credential["file"]?.report(
            "it is in the vault or in a file: leave out either \"file\" or \"secret\"")
        let name = place.name(where: VaultAddress.isKeyName, "1 to 127 letters, digits and dashes")
        let version = credential["version"].map {
            $0.name(where: VaultAddress.isKeyVersion, "1 to 64 letters and digits")
        }
        // What is wrong with the vaults was reported.
        guard let name, version != .some(nil), let vaults = self.keyVaults else { return nil }
        guard vaults.service != nil else {
            place.report("there is no \"vault\" that it could be in")
            return nil
        }
        return vaults.serviceAccess.map {
            .vault(VaultSecretConfiguration(vault: $0, name: name, version: version ?? nil))
        }
    }

    private func mayBeCredential(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= 64 && name.utf8.allSatisfy(Self.isTokenByte)
            && !Self.taken.contains(name) && !name.hasPrefix("x-forwarded-")
            && !name.hasPrefix("x-scoregate-") && !name.hasPrefix("azureml-")
    }

    /// RFC 9110 section 5.6.2, letters in lower case or upper.
    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }

    private static let taken: Set<String> = [
        "host", "connection", "content-length", "content-type", "transfer-encoding", "te",
        "trailer", "upgrade", "expect", "keep-alive", "proxy-connection", "x-request-id",
        "x-ms-client-request-id", "forwarded", "via",
    ]
    private static let mostCredentials = 8
}
