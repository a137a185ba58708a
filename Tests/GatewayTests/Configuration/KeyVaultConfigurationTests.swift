import KeyVault
import ServiceConfiguration
import TLS
import Testing

@testable import Gateway

@Suite("Customers' keys in the configuration") struct KeyVaultConfigurationTests {
    private static let service = "vault: {base_url: \"https://127.0.0.1:7443\"}"
    private static let azure =
        "azure: {tenant_id: contoso.example, client_id: app-1, client_secret: {file: secret}}"

    /// The valid configuration with other lines for the vaults and for the endpoint's encryption.
    private static func yaml(_ vaults: String, _ encryption: String) -> String {
        ConfigurationFileTests.valid
            .replacing("workers: 2", with: vaults, maxReplacements: 1)
            .replacing("hbi: false", with: "encryption: {\(encryption)}", maxReplacements: 1)
    }

    private func folder() throws -> ConfigurationFolder {
        let folder = try ConfigurationFolder()
        try folder.write("secret", "s3cret")
        return folder
    }

    @Test("A key of the vault service is reached under the service's own identity")
    func ofTheService() throws {
        let folder = try self.folder()
        let read = try folder.read(
            Self.yaml(
                Self.service,
                "cmk_vault_base_url: \"https://127.0.0.1:7443/\", cmk_key_name: iris-log, grace_ms: 5000"
            ))
        let encryption = read.endpoints[0].encryption
        #expect(encryption.graceMilliseconds == 5000 && encryption.onRevoke == .refuse)
        let key = try #require(encryption.customerKey)
        #expect(key.vaultName == "iris-log")
        #expect(key.vault.address.description == "https://127.0.0.1:7443")
        #expect(
            key.vault.access
                == .service(
                    identity: TLSCertificateFiles(
                        chain: "\(folder.path)/identity.pem", key: "\(folder.path)/identity.key"),
                    trustRoots: "\(folder.path)/roots.pem",
                    peer: "spiffe://scoregate.local/vault/vault"))
        #expect(read.endpoints[1].encryption.customerKey == nil)
    }

    @Test("A key of an Azure Key Vault is reached as an application or as the machine")
    func ofAzure() throws {
        let folder = try self.folder()
        let key =
            "cmk_vault_base_url: \"https://iris.vault.azure.net\", cmk_key_name: k, cmk_key_version: abc1"
        let read = try folder.read(Self.yaml(Self.service + "\n" + Self.azure, key))
        let customerKey = try #require(read.endpoints[0].encryption.customerKey)
        #expect(customerKey.vaultName == "k/abc1")
        #expect(
            customerKey.vault.access
                == .azure(
                    AzureCredential(
                        .clientSecret(
                            tenant: "contoso.example", clientID: "app-1",
                            file: "\(folder.path)/secret"))))
        let managed = try folder.read(Self.yaml("azure: {managed_identity: imds}", key))
        #expect(
            managed.endpoints[0].encryption.customerKey?.vault.access
                == .azure(AzureCredential(.managedIdentity(clientID: nil))))
    }

    @Test(
        "Each problem is named where it stands",
        arguments: [
            (
                "workers: 2", "cmk_key_name: a, cmk_vault_base_url: \"https://a.vault.azure.net\"",
                "27:55: this is not \"vault\", and for an Azure Key Vault \"azure\" must say who we are"
            ),
            (
                service, "cmk_key_name: a, cmk_vault_base_url: \"http://127.0.0.1:7443\"",
                "27:55: \"http://127.0.0.1:7443\" is not a key vault's base URL: https://HOST or "
                    + "https://HOST:PORT"
            ),
            (
                service, "cmk_vault_base_url: \"https://127.0.0.1:7443\"",
                "27:17: missing key \"cmk_key_name\""
            ),
            (
                service, "cmk_key_name: a/b, cmk_vault_base_url: \"https://127.0.0.1:7443\"",
                "27:32: this is not of the form wanted here: 1 to 127 letters, digits and dashes"
            ),
            (
                "vault: {base_url: \"https://a\", identity: \"spiffe://scoregate.local/agent/a\"}",
                "on_revoke: refuse",
                "5:42: \"spiffe://scoregate.local/agent/a\" is not the identity of a vault"
            ),
            (
                "azure: {managed_identity: imds, tenant_id: t}", "on_revoke: refuse",
                "5:44: managed_identity: imds takes the place of tenant_id"
            ),
            (
                "azure: {managed_identity: other}", "on_revoke: refuse",
                "5:27: \"other\" is not one of imds"
            ),
            (
                "azure: {client_id: a, client_secret: {file: secret}}", "on_revoke: refuse",
                "5:8: missing key \"tenant_id\""
            ),
            (
                "azure: {tenant_id: t, client_id: a, client_secret: {file: none}}",
                "on_revoke: refuse",
                "5:59: the client secret cannot be used:…"
            ),
            (
                "azure: {managed_identity: imds, authority_hosts: [\"https://a\"]}",
                "on_revoke: refuse",
                "5:51: \"https://a\" is not a host: as login.microsoftonline.com"
            ),
        ])
    func problem(_ vaults: String, _ encryption: String, _ expected: String) throws {
        let folder = try self.folder()
        let problems = folder.problems(Self.yaml(vaults, encryption))
        #expect(problems.count == 1, "\(problems)")
        if expected.hasSuffix("…") {
            #expect(problems.first?.hasPrefix(expected.dropLast()) == true, "\(problems)")
        } else {
            #expect(problems.first == expected)
        }
    }

    @Test(
        "A credential is a secret of the vault, or stands in a file",
        arguments: [
            (service, "secret: backend-key, version: 9a", nil),
            ("workers: 2", "secret: backend-key", "there is no \"vault\" that it could be in"),
            (service, "secret: a/b", "this is not of the form wanted here: 1 to 127 letters,"),
            (service, "secret: a, version: a-b", "this is not of the form wanted here"),
            (service, "secret: a, file: secret", "leave out either \"file\" or \"secret\""),
            (service, "file: secret, version: 9a", "a file has no versions"),
            (service, "scheme: Bearer", "missing key \"file\""),
        ])
    func credential(_ vaults: String, _ credential: String, _ expected: String?) throws {
        let folder = try self.folder()
        let backends = "        backends:"
        let yaml = Self.yaml(vaults, "on_revoke: refuse")
            .replacing(
                backends, with: "        credentials: {x-a: {\(credential)}}\n\(backends)",
                maxReplacements: 1)
        let problems = folder.problems(yaml)
        if let expected {
            #expect(problems.count == 1, "\(problems)")
            #expect(problems.first?.contains(expected) == true, "\(problems)")
        } else {
            #expect(problems.isEmpty, "\(problems)")
        }
    }

    @Test("A vault needs an identity to show it")
    func withoutIdentity() throws {
        let folder = try self.folder()
        let yaml = Self.yaml(Self.service, "on_revoke: refuse")
            .replacing(
                "identity: {chain: identity.pem, key: identity.key, trust_roots: roots.pem}\n",
                with: "")
        #expect(
            folder.problems(yaml).contains(
                "5:8: a vault needs \"identity\": nobody gets at keys without one"))
    }
}
