internal import Cryptography
package import HTTPTransport
internal import KeyVault
internal import NIOCore
package import ServiceConfiguration
internal import State
internal import TLS

/// Connects each leg of a gateway or agent once, and says how it was.
///
/// Changes nothing: the certificates, connections and keys are the configuration's, not those of a process
/// that runs.
package struct Doctor: Sendable {
    private let configuration: GatewayConfiguration

    /// Of this configuration.
    package init(_ configuration: GatewayConfiguration) { self.configuration = configuration }

    /// All legs: own certificates, backends and what they are shown, key vaults, wrapping keys, the admin
    /// listener, and endpoint keys that run out.
    package func examine() async -> [LegReport] {
        var legs = await self.listeners()
        if let identity = self.configuration.identity {
            let chain = identity.certificate.chain
            legs.append(LegReport("identity", chain, chain: chain))
        }
        for endpoint in self.configuration.endpoints {
            for deployment in endpoint.deployments {
                for address in deployment.backends {
                    legs.append(await self.backend(address, deployment, of: endpoint))
                }
                for credential in deployment.credentials {
                    guard let secret = credential.secret else { continue }
                    let use = "credential \(credential.name) of \(endpoint.name)/\(deployment.name)"
                    legs.append(await self.secret(secret, use))
                }
            }
            if endpoint.durability != nil {
                legs.append(await self.wrappingKey(of: endpoint))
            }
        }
        if let admin = self.configuration.admin { legs.append(await self.admin(admin)) }
        legs += self.managedIdentity
        legs += self.expiringKeys
        return legs
    }

    /// Shows what listeners show to who connects; what cannot be connected from here, by its file.
    private func listeners() async -> [LegReport] {
        var legs: [LegReport] = []
        for listener in self.configuration.listeners {
            for files in listener.tls.certificates {
                var leg = LegReport("listener", "\(listener.address)", chain: files.chain)
                if leg.problem == nil, let address = listener.address.connectable,
                    let tls = self.client(of: listener, files)
                {
                    await leg.connect(address, tls)
                }
                legs.append(leg)
            }
        }
        return legs
    }

    /// How a listener is connected so that it has to show this certificate; nil if that cannot be done
    /// from here: it would have to be told who the client is, or might show another one.
    private func client(
        of listener: ListenerConfiguration, _ files: CertificateFiles
    ) -> TLSClientConfiguration? {
        guard listener.proxyProtocol == .none, listener.tls.certificates.count == 1,
            let bytes = try? WholeFile.read(files.chain, maximum: 1 << 20),
            let leaf = try? Certificate.chain(pem: bytes).first
        else { return nil }
        let names = leaf.dnsNames.map { $0.replacing("*", with: "scoregate") } + leaf.ipAddresses
        guard
            let peer = (try? leaf.identity()).map({ TLSExpectedPeer.identity($0.text) })
                ?? names.first.map({ TLSExpectedPeer.dnsName($0) })
        else { return nil }
        // The file's own certificates are what it must lead to: whoever issued them.
        var tls = TLSClientConfiguration(trustRoots: files.chain, peer: peer)
        if case .required(let roots) = listener.tls.clientAuthentication {
            guard let identity = self.configuration.identity, identity.trustRoots == roots else {
                return nil
            }
            tls.identity = TLSCertificateFiles(
                chain: identity.certificate.chain, key: identity.certificate.key)
        }
        return tls
    }

    private func backend(
        _ address: BackendAddress, _ deployment: DeploymentConfiguration,
        of endpoint: EndpointConfiguration
    ) async -> LegReport {
        var leg = LegReport("backend of \(endpoint.name)/\(deployment.name)", "\(address)")
        let tls = WorkerContexts.probe(address, deployment, self.configuration)
        var fetch = HTTPFetch(
            deployment.readinessProbe?.path ?? "/", at: address.poolAddress, tls: tls,
            fields: [("host", "localhost"), ("user-agent", "scoregate-doctor")])
        fetch.timeout = Self.timeout
        await leg.ask(fetch)
        if leg.problem == nil, let tls { await leg.connect(address.poolAddress, tls) }
        return leg
    }

    private func admin(_ admin: AdminConfiguration) async -> LegReport {
        var leg = LegReport("admin", "\(admin.address)")
        do {
            await leg.ask(try Readiness.question(self.configuration))
        } catch {
            leg.problem = "\(error)"
        }
        return leg
    }

    private func secret(_ secret: VaultSecretConfiguration, _ use: String) async -> LegReport {
        var leg = LegReport(use, secret.url)
        do {
            let vault = try AzureKeyVault(secret.vault.address, secret.vault.access)
            do {
                _ = try await VaultSecrets.value(of: secret, vault)
            } catch {
                leg.problem = error.description
            }
            if let session = vault.session { leg.take(session) }
        } catch {
            leg.problem = error.description
        }
        return leg
    }

    private func wrappingKey(of endpoint: EndpointConfiguration) async -> LegReport {
        guard let key = endpoint.encryption.customerKey else {
            return self.embeddedKey(of: endpoint)
        }
        var leg = LegReport("wrapping key of \(endpoint.name)", key.url)
        var vault: AzureKeyVault?
        do throws(KeyVaultError) {
            let made = try AzureKeyVault(key.vault.address, key.vault.access)
            vault = made
            _ = try await made.current(key.vaultName)
            leg.keyState = WrappingKeyState.active.rawValue
        } catch {
            if case .revoked(let state) = error { leg.keyState = state.rawValue }
            leg.problem = error.description
        }
        if let session = vault?.session { leg.take(session) }
        return leg
    }

    /// The one leg without TLS that there can be, named wherever the configuration has it; a key's leg asks over it.
    private var managedIdentity: [LegReport] {
        let isUsed = self.configuration.endpoints.contains { endpoint in
            guard case .azure(let credential) = endpoint.encryption.customerKey?.vault.access,
                case .managedIdentity = credential.proof
            else { return false }
            return true
        }
        guard isUsed, case .host(let host, let port) = AzureCredential.instanceMetadata else {
            return []
        }
        var leg = LegReport("managed identity", "http://\(host):\(port)")
        leg.protection = "none: an address of this machine's own"
        return [leg]
    }

    /// Endpoint keys that let nobody in any more, or will not before long; the others are not shown.
    private var expiringKeys: [LegReport] {
        guard let rootKey = self.configuration.rootKeyFile,
            StateStore.isMade(in: self.configuration.stateDirectory),
            let store = try? StateStore(
                folder: self.configuration.stateDirectory, rootKeyPath: rootKey),
            let keys = try? store.endpointKeys()
        else { return [] }
        return keys.expiring(self.configuration).map { key in
            var leg = LegReport(
                "endpoint key of \(key.endpoint.name), \(key.record.slot.rawValue)", key.record.kid)
            leg.keyState = key.hasExpired ? "expired" : "valid"
            leg.problem = "it \(key.hasExpired ? "expired" : "expires") on \(key.expiry)"
            return leg
        }
    }

    private func embeddedKey(of endpoint: EndpointConfiguration) -> LegReport {
        var leg = LegReport("wrapping key of \(endpoint.name)", "the embedded vault")
        leg.protection = "in this process"
        guard let rootKey = self.configuration.rootKeyFile else { return leg }
        do throws(StateError) {
            let store = try StateStore(
                folder: self.configuration.stateDirectory, rootKeyPath: rootKey)
            guard let newest = try store.wrappingKeys(of: endpoint.name).first else {
                leg.keyState = "made at the first use"
                return leg
            }
            leg.keyState = newest.vaultState.rawValue
            if newest.vaultState != .active {
                leg.problem = "the wrapping key is \(newest.vaultState.rawValue)"
            }
        } catch {
            leg.problem = error.description
        }
        return leg
    }

    /// 5 s: for a person who waits.
    private static let timeout = TimeAmount.seconds(5)
}

extension ListenAddress {
    /// Where it is reached from this host; nil for a port that the system chooses.
    package var connectable: ConnectionPool.Address? {
        switch self {
        case .unix(let path): .unix(path: path)
        case .ip(_, port: 0): nil
        case .ip(let address, let port):
            .host(
                address.bits == 0 || address == IPAddress(ipv4: 0)
                    ? "127.0.0.1" : address.description, port: port)
        }
    }
}
