internal import Cryptography
internal import Gateway
internal import HTTPTransport
internal import KeyVault
internal import ServiceConfiguration
internal import State
internal import TLS
internal import Vault

/// Connects each leg of a vault once, and says how it was, and how each of its keys is.
///
/// Changes nothing.
struct VaultDoctor {
    let configuration: VaultConfiguration

    /// All legs: its own certificate, its listeners, its health, its keys.
    func examine() async -> [LegReport] {
        let chain = self.configuration.identity.certificate.chain
        var legs = [LegReport("identity", chain, chain: chain)]
        for address in self.configuration.listeners {
            legs.append(await self.listener("listener", address, asks: true))
        }
        if let address = self.configuration.identities.joinAddress {
            legs.append(await self.listener("join listener", address, asks: false))
        }
        legs.append(await self.health())
        return legs + self.keys()
    }

    /// `asks`: whether clients there show a certificate; then we show the vault's own.
    private func listener(
        _ name: String, _ address: ListenAddress, asks: Bool
    ) async -> LegReport {
        var leg = LegReport(name, "\(address)")
        guard let target = address.connectable else { return leg }
        let identity = self.configuration.identity
        var tls = TLSClientConfiguration(
            trustRoots: identity.trustRoots, peer: .identity(self.configuration.spiffeID.text),
            minimumVersion: .tls13)
        if asks {
            tls.identity = TLSCertificateFiles(
                chain: identity.certificate.chain, key: identity.certificate.key)
        }
        await leg.connect(target, tls)
        return leg
    }

    private func health() async -> LegReport {
        let address = self.configuration.healthAddress
        var leg = LegReport("readiness", "\(address)")
        do {
            let readiness = try await Readiness.ask(
                at: address, identity: self.configuration.identity,
                peer: self.configuration.spiffeID)
            if !readiness.isReady { leg.problem = readiness.text }
        } catch let error as StreamError {
            leg.problem = error.reason
        } catch {
            leg.problem = "\(error)"
        }
        return leg
    }

    /// The newest version of each key that is not deleted.
    private func keys() -> [LegReport] {
        var legs: [LegReport] = []
        do throws(StateError) {
            let store = try StateStore(
                folder: self.configuration.stateDirectory,
                rootKeyPath: self.configuration.rootKeyFile)
            var page: [VaultVersion] = []
            repeat {
                page = try store.newestVaultVersions(
                    .key, isDeleted: false, after: page.last?.name, limit: Self.readAtOnce)
                legs += page.map { self.key($0, at: UnixTime.milliseconds) }
            } while page.count == Self.readAtOnce
        } catch {
            var leg = LegReport("keys", self.configuration.stateDirectory)
            leg.problem = error.description
            legs.append(leg)
        }
        return legs
    }

    private func key(_ version: VaultVersion, at now: Int64) -> LegReport {
        let base = self.configuration.baseURL ?? "https://\(self.configuration.listeners[0])"
        var leg = LegReport(
            "key \(version.name)", "\(base)/keys/\(version.name)/\(version.version)")
        leg.protection = version.protection.rawValue
        leg.daysLeft = version.expiresMilliseconds.map { LegReport.days(until: $0 / 1000) }
        let state = version.keyState(at: now)
        leg.keyState = state.rawValue
        if state != .active { leg.problem = "the key is \(state.rawValue)" }
        return leg
    }

    private static let readAtOnce = 100
}

extension VaultVersion {
    /// Whether a key may be used at a millisecond of Unix time, and if not, why.
    fileprivate func keyState(at now: Int64) -> WrappingKeyState {
        guard self.isEnabled else { return .disabled }
        if let start = self.notBeforeMilliseconds, now < start { return .notYetValid }
        if let end = self.expiresMilliseconds, now >= end { return .expired }
        return .active
    }
}
