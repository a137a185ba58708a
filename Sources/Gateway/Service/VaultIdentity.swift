internal import Cryptography
internal import KeyVault
internal import Logging
internal import ServiceConfiguration
internal import TLS

extension DenyListWatch {
    /// The deny list that a service follows whose identity is not its vault's to issue: that of the vault its
    /// configuration names; nil where it names none.
    init?(ofVaultIn configuration: GatewayConfiguration) {
        guard let vault = configuration.vault, let identity = configuration.identity else {
            return nil
        }
        let tls = TLSClientConfiguration(
            trustRoots: identity.trustRoots,
            identity: TLSCertificateFiles(
                chain: identity.certificate.chain, key: identity.certificate.key),
            peer: .identity(vault.identity), minimumVersion: .tls13)
        // An agent keeps nothing.
        self.init(
            of: vault.address, tls,
            keptIn: configuration.isAgent ? nil : configuration.stateDirectory)
    }
}

/// What keeps a process's identity valid, where a vault issues it, and its deny list recent.
struct VaultIdentity {
    let keeper: IdentityKeeper
    let denyList: DenyListWatch

    /// Sees to it that there is a valid identity; nil where no vault issues it.
    ///
    /// Waits for a vault that is away, for a minute at most.
    static func start(
        _ configuration: GatewayConfiguration, logger: Logger
    ) async throws(StartError) -> VaultIdentity? {
        guard let vault = configuration.identityVault else { return nil }
        let client = IdentityClient(
            identity: configuration.spiffeID, folder: IdentityFolder(path: vault.directory),
            tokenPath: vault.tokenFile)
        let keeper = IdentityKeeper(client) { event in
            switch event {
            case .renewed(let certificate):
                logger.info(
                    "identity renewed",
                    metadata: [
                        "serial": "\(certificate.serial)", "not_after": "\(certificate.notAfter)",
                    ])
            case .failed(let error, let pause):
                logger.warning(
                    "the identity could not be renewed",
                    metadata: ["error": "\(error)", "retry_after": "\(pause)"])
            }
        }
        do throws(KeyVaultError) {
            try await keeper.start()
        } catch {
            throw StartError.environment("there is no identity: \(error)")
        }
        return VaultIdentity(keeper: keeper, denyList: DenyListWatch(client))
    }
}
