internal import Cryptography
package import KeyVault
internal import ServiceConfiguration
internal import TLS

/// `scoregate vault` as a service of the trust domain that is asked for keys and the deny list.
package struct VaultServiceConfiguration: Sendable, Equatable {
    /// Where it is.
    package var address: VaultAddress
    /// Its SPIFFE ID.
    package var identity: String
}

/// The key vaults that customers' keys may be in, and who we are to them.
struct KeyVaults {
    /// `scoregate vault`, if there is one.
    var service: VaultServiceConfiguration?
    /// Who we are to Azure; nil if nobody.
    var azure: AzureCredential?
    /// What we prove ourselves with to ``service``; nil if it was wrong, and was reported.
    var identity: IdentityConfiguration?

    /// How ``service`` is reached; nil if there is none, or ``identity`` was wrong.
    var serviceAccess: CustomerKeyConfiguration.Vault? {
        guard let service, let identity else { return nil }
        return CustomerKeyConfiguration.Vault(
            address: service.address,
            access: .service(
                identity: TLSCertificateFiles(
                    chain: identity.certificate.chain, key: identity.certificate.key),
                trustRoots: identity.trustRoots, peer: service.identity))
    }
}

// Which vaults there are.
extension ConfigurationReader {
    /// Reads `vault` and `azure`; nil if one is wrong.
    func keyVaults(
        _ root: ConfigurationMapping, trustDomain: String?, identity: IdentityConfiguration?
    ) -> KeyVaults? {
        var vaults = KeyVaults(identity: identity)
        if let place = root["vault"] {
            guard let service = self.vault(place, trustDomain: trustDomain) else { return nil }
            vaults.service = service
            if root["identity"] == nil {
                place.report("a vault needs \"identity\": nobody gets at keys without one")
            }
        }
        if let place = root["azure"] {
            guard let azure = self.azure(place) else { return nil }
            vaults.azure = azure
        }
        return vaults
    }

    private func vault(
        _ place: ConfigurationCursor, trustDomain: String?
    ) -> VaultServiceConfiguration? {
        guard let vault = place.mapping(keys: ["base_url", "identity"]) else { return nil }
        let address = vault.required("base_url").flatMap { $0.vaultAddress() }
        var identity = trustDomain.map { "spiffe://\($0)/vault/vault" }
        if let place = vault["identity"] {
            identity = place.string().flatMap { text in
                do throws(CryptographyError) {
                    let id = try SPIFFEID(text)
                    if id.kind == .vault { return id.text }
                    place.report("\"\(text)\" is not the identity of a vault")
                } catch {
                    place.report("\(error)")
                }
                return nil
            }
        }
        guard let address, let identity else { return nil }
        return VaultServiceConfiguration(address: address, identity: identity)
    }

    private func azure(_ place: ConfigurationCursor) -> AzureCredential? {
        let keys = [
            "tenant_id", "client_id", "client_secret", "managed_identity", "authority_hosts",
            "trust_roots",
        ]
        guard let azure = place.mapping(keys: keys) else { return nil }
        let clientID = azure["client_id"].map { $0.directoryName() }
        if clientID == .some(nil) { return nil }
        let proof: AzureCredential.Proof
        if let managed = azure["managed_identity"] {
            guard let _: InstanceMetadata = managed.choice() else { return nil }
            for key in ["tenant_id", "client_secret"] {
                azure[key]?.report("managed_identity: imds takes the place of \(key)")
            }
            proof = .managedIdentity(clientID: clientID ?? nil)
        } else {
            let tenant = azure.required("tenant_id")?.directoryName()
            let secret = azure.required("client_secret")?.mapping(keys: ["file"])?
                .required("file").flatMap(self.clientSecret)
            guard azure.required("client_id") != nil, let tenant, let secret,
                let clientID = clientID ?? nil
            else { return nil }
            proof = .clientSecret(tenant: tenant, clientID: clientID, file: secret)
        }
        var credential = AzureCredential(proof)
        if let place = azure["authority_hosts"] {
            guard let elements = place.elements() else { return nil }
            if elements.isEmpty { place.report("the list is empty: name who may give tokens") }
            credential.authorityHosts = Set(
                elements.compactMap { element in
                    guard let text = element.string()?.lowercased() else { return nil }
                    if VaultAddress("https://\(text)") != nil { return text }
                    element.report("\"\(text)\" is not a host: as login.microsoftonline.com")
                    return nil
                })
        }
        if let place = azure["trust_roots"] {
            guard let roots = self.files.trustRoots(place) else { return nil }
            credential.trustRoots = roots
        }
        return credential
    }

    private func clientSecret(_ place: ConfigurationCursor) -> String? {
        guard let path = self.files.path(place) else { return nil }
        do throws(CryptographyError) {
            _ = try SecretBytes(wordIn: path, maximum: 1024)
        } catch {
            place.report("the client secret cannot be used: \(error)")
        }
        return path
    }

    /// Where a machine's identity is asked for.
    private enum InstanceMetadata: String, CaseIterable {
        /// Azure's Instance Metadata Service.
        case imds
    }
}

// Which of their keys an endpoint has.
extension EndpointReader {
    /// Reads the `cmk_` keys of `encryption`; nil if there are none, or one is wrong.
    func customerKey(_ encryption: ConfigurationMapping) -> CustomerKeyConfiguration? {
        let keys = ["cmk_vault_base_url", "cmk_key_name", "cmk_key_version"]
        guard keys.contains(where: { encryption[$0] != nil }) else { return nil }
        let place = encryption.required("cmk_vault_base_url")
        let name = encryption.required("cmk_key_name").flatMap {
            $0.name(where: VaultAddress.isKeyName, "1 to 127 letters, digits and dashes")
        }
        let version = encryption["cmk_key_version"].map {
            $0.name(where: VaultAddress.isKeyVersion, "1 to 64 letters and digits")
        }
        guard let place, let address = place.vaultAddress(), let name, version != .some(nil),
            // What is wrong with the vaults was reported.
            let vaults = self.keyVaults
        else { return nil }
        let vault: CustomerKeyConfiguration.Vault
        if let service = vaults.service, service.address == address {
            guard let access = vaults.serviceAccess else { return nil }
            vault = access
        } else if let azure = vaults.azure {
            vault = .init(address: address, access: .azure(azure))
        } else {
            place.report(
                "this is not \"vault\", and for an Azure Key Vault \"azure\" must say who we are")
            return nil
        }
        return CustomerKeyConfiguration(vault: vault, name: name, version: version ?? nil)
    }
}

extension ConfigurationCursor {
    /// The base URL of a key vault that stands here.
    fileprivate func vaultAddress() -> VaultAddress? {
        guard let text = self.string() else { return nil }
        if let address = VaultAddress(text) { return address }
        self.report("\"\(text)\" is not a key vault's base URL: https://HOST or https://HOST:PORT")
        return nil
    }

    /// The GUID or domain that stands here.
    fileprivate func directoryName() -> String? {
        self.name(where: AzureCredential.isDirectoryName, "a GUID or a domain")
    }

    /// The text that stands here, if it is of the form wanted; not shown if it is not, as the name of a
    /// secret may be the secret.
    func name(where isValid: (String) -> Bool, _ form: String) -> String? {
        guard let text = self.string() else { return nil }
        if isValid(text) { return text }
        self.report("this is not of the form wanted here: \(form)")
        return nil
    }
}
