internal import Cryptography
internal import HTTPTransport
internal import KeyVault
internal import NIOCore
internal import ServiceConfiguration
internal import State
internal import TLS

/// One leg of a service, as it was found.
package struct LegReport: Sendable, Encodable {
    /// What it is for.
    package let name: String
    /// Where it leads.
    package let address: String
    /// What keeps it from being as it should; nil if nothing does.
    package fileprivate(set) var problem: String?
    /// What protects it: the version of TLS, or that it does not leave the machine.
    package fileprivate(set) var protection: String?
    /// The cipher suite.
    package fileprivate(set) var cipher: String?
    /// The group of the key exchange.
    package fileprivate(set) var group: String?
    /// Who is at the other end, by SPIFFE ID or name; of a certificate of our own, who we are.
    package fileprivate(set) var identity: String?
    /// Who says so.
    package fileprivate(set) var issuer: String?
    /// Days until the certificate runs out, rounded down.
    package fileprivate(set) var daysLeft: Int?
    /// What its vault says of a wrapping key.
    package fileprivate(set) var keyState: String?

    fileprivate init(_ name: String, _ address: String) {
        self.name = name
        self.address = address
    }
}

/// Connects each leg of a gateway or agent once, and says how it was.
///
/// Changes nothing: the certificates, connections and keys are the configuration's, not those of a process
/// that runs.
package struct Doctor: Sendable {
    private let configuration: GatewayConfiguration

    /// Of this configuration.
    package init(_ configuration: GatewayConfiguration) { self.configuration = configuration }

    /// All legs: own certificates, backends, key vaults, wrapping keys, the admin listener.
    package func examine() async -> [LegReport] {
        var legs = self.ownCertificates()
        for endpoint in self.configuration.endpoints {
            for deployment in endpoint.deployments {
                for address in deployment.backends {
                    legs.append(await self.backend(address, deployment, of: endpoint))
                }
            }
            if endpoint.durability != nil {
                legs.append(await self.wrappingKey(of: endpoint))
            }
        }
        if let admin = self.configuration.admin { legs.append(await self.admin(admin)) }
        return legs
    }

    private func ownCertificates() -> [LegReport] {
        var legs: [LegReport] = []
        for listener in self.configuration.listeners {
            for files in listener.tls.certificates {
                legs.append(self.own("listener", "\(listener.address)", files))
            }
        }
        if let identity = self.configuration.identity {
            legs.append(
                self.own("identity", identity.certificate.chain, identity.certificate))
        }
        return legs
    }

    private func own(_ name: String, _ address: String, _ files: CertificateFiles) -> LegReport {
        var leg = LegReport(name, address)
        do throws(CryptographyError) {
            let bytes = try WholeFile.read(files.chain, maximum: Self.maximumFileBytes)
            guard let leaf = try Certificate.chain(pem: bytes).first else {
                throw .malformed("\(files.chain): no certificate")
            }
            leg.take(leaf)
        } catch {
            leg.problem = "\(error)"
        }
        return leg
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
        await leg.connect(fetch)
        return leg
    }

    private func admin(_ admin: AdminConfiguration) async -> LegReport {
        var leg = LegReport("admin", "\(admin.address)")
        do {
            await leg.connect(try Readiness.question(self.configuration))
        } catch {
            leg.problem = "\(error)"
        }
        return leg
    }

    private func wrappingKey(of endpoint: EndpointConfiguration) async -> LegReport {
        guard let key = endpoint.encryption.customerKey else {
            return self.embeddedKey(of: endpoint)
        }
        var leg = LegReport(
            "wrapping key of \(endpoint.name)", "\(key.vault.address)/keys/\(key.vaultName)")
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
    /// 1 MiB, as the configuration's reader allows.
    private static let maximumFileBytes = 1 << 20
}

extension LegReport {
    /// Connects it; whatever is answered will do.
    fileprivate mutating func connect(_ fetch: HTTPFetch) async {
        do {
            let answer = try await fetch.answer()
            if let session = answer.session {
                self.take(session)
            } else if case .unix = fetch.address {
                self.protection = "Unix socket"
            } else {
                self.protection = "loopback"
            }
        } catch let error as StreamError {
            self.problem = error.reason
        } catch {
            self.problem = "\(error)"
        }
    }

    /// What TLS agreed on, and with whom.
    fileprivate mutating func take(_ session: TLSSessionInfo) {
        self.protection = session.version.name
        self.cipher = session.cipher.name
        self.group = session.group?.name
        guard let peer = session.peer, let leaf = try? Certificate(der: peer.certificate) else {
            return
        }
        self.take(leaf)
    }

    /// Whose certificate it is, and how long it lasts.
    fileprivate mutating func take(_ leaf: Certificate) {
        let names = leaf.uriNames + leaf.dnsNames + leaf.ipAddresses
        self.identity = names.first ?? leaf.subject
        self.issuer = leaf.issuer
        let seconds = leaf.notAfter - UnixTime.milliseconds / 1000
        self.daysLeft = Int((Double(seconds) / 86_400).rounded(.down))
        if seconds <= 0 { self.problem = "the certificate has expired" }
    }
}
