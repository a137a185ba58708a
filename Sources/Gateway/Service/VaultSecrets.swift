internal import Cryptography
internal import KeyVault
internal import Logging
internal import ServiceConfiguration
internal import Synchronization

/// The secrets of the vault that backends are shown: the last good value of each.
///
/// What cannot be had, or not be used, leaves the value in force: that one is no good any more is the
/// backend's to say. Questions come one after another, off the workers' loops.
final class VaultSecrets: Sendable {
    /// A value that can stand in a field.
    final class Value: Sendable {
        let version: String
        let word: SecretBytes

        /// - Throws: `.malformed` if it is not visible ASCII, or too long.
        init(_ secret: VaultSecret) throws(CryptographyError) {
            let word = try secret.value.word()
            guard word.count <= BackendCredential.maximumBytes else {
                throw .malformed("it has more than \(BackendCredential.maximumBytes) bytes")
            }
            self.version = secret.version
            self.word = word
        }
    }

    /// By the secret they are of.
    typealias Values = [VaultSecretConfiguration: Value]

    private struct State {
        /// The last good ones.
        var values: Values = [:]
        /// The versions that requests are sent with.
        var inForce: [VaultSecretConfiguration: String] = [:]
        /// Those of which the last look came to nothing.
        var failed: Set<VaultSecretConfiguration> = []
        var client: AzureKeyVault?
        /// How ``client`` was reached.
        var vault: CustomerKeyConfiguration.Vault?
        /// Listens to ``client``, once its secrets are in force.
        var follower: Task<Void, Never>?
        var followed: AzureKeyVault?
    }

    private let state = Mutex(State())
    private let wishes = Wishes()
    private let logger: Logger

    init(logger: Logger) { self.logger = logger }

    /// Asks for all that a configuration names.
    ///
    /// - Returns: A value of each; the one in force where there is no other to be had.
    /// - Throws: ``StartError`` if there is none.
    func values(of configuration: GatewayConfiguration) async throws(StartError) -> Values {
        let wanted = configuration.vaultSecrets
        guard let vault = wanted.first?.vault else {
            self.state.withLock { $0.values = [:] }
            return [:]
        }
        let client = try self.client(of: vault)
        let known = self.state.withLock { $0.values }
        var values: Values = [:]
        for secret in wanted {
            values[secret] = try await self.value(of: secret, client, known[secret])
        }
        self.state.withLock { $0.values = values }
        return values
    }

    /// Asks for those in use again.
    ///
    /// - Returns: Whether one is to be had now that is not in force.
    func look() async -> Bool {
        let (client, known) = self.state.withLock { ($0.client, $0.values) }
        guard let client else { return false }
        for (secret, value) in known {
            // With a value to go on with nothing is thrown.
            guard let newest = try? await self.value(of: secret, client, value) else { continue }
            self.state.withLock { $0.values[secret] = newest }
        }
        return self.state.withLock { $0.values.mapValues(\.version) != $0.inForce }
    }

    /// Requests are sent with these from now on; their vault is listened to, and no other any more.
    func adopt(_ values: Values) {
        self.state.withLock { state in
            state.inForce = values.mapValues(\.version)
            let vault = values.isEmpty ? nil : state.client
            guard vault !== state.followed else { return }
            state.follower?.cancel()
            state.followed = vault
            state.follower = vault.map { vault in
                Task { [wishes] in
                    await vault.follow { news in
                        // While nothing is heard, they are asked for all the same.
                        if case .lost = news { return }
                        wishes.wish()
                    }
                }
            }
        }
    }

    /// Tells when to ``look()``: every 30 s, and when the vault told of a change; until cancelled.
    func run(_ isDue: () -> Void) async {
        let clock = Task { [wishes] in
            while !Task.isCancelled {
                try? await Task.sleep(for: Self.interval)
                wishes.wish()
            }
        }
        defer { clock.cancel() }
        await self.wishes.serve { isDue() }
    }

    /// Listens to nobody any more.
    func stop() { self.state.withLock { $0.follower?.cancel() } }

    /// What keeps secrets from being asked for.
    var warnings: [String] {
        self.state.withLock { $0.failed.map(\.url).sorted() }.map {
            "the secret \($0) cannot be had; the value in force stays"
        }
    }

    /// Asks once.
    ///
    /// - Returns: A value that can stand in a field.
    /// - Throws: ``StartError`` with what keeps it from being used.
    static func value(
        of secret: VaultSecretConfiguration, _ client: AzureKeyVault
    ) async throws(StartError) -> Value {
        let found: VaultSecret
        do throws(KeyVaultError) {
            found = try await client.secret(secret.name, version: secret.version)
        } catch {
            throw .environment("the secret \(secret.url) cannot be used: \(error.ofSecret)")
        }
        do throws(CryptographyError) {
            return try Value(found)
        } catch {
            throw .environment("the secret \(secret.url) cannot be used: \(error)")
        }
    }

    private func value(
        of secret: VaultSecretConfiguration, _ client: AzureKeyVault, _ known: Value?
    ) async throws(StartError) -> Value {
        do throws(StartError) {
            let value = try await Self.value(of: secret, client)
            self.state.withLock { _ = $0.failed.remove(secret) }
            return value
        } catch {
            guard let known else { throw error }
            if self.state.withLock({ $0.failed.insert(secret).inserted }) {
                self.logger.error(
                    "a backend's credential is not to be had anew; the value in force stays",
                    metadata: ["error": "\(error)"])
            }
            return known
        }
    }

    /// The client of `vault`, with the certificates there are now.
    private func client(
        of vault: CustomerKeyConfiguration.Vault
    ) throws(StartError) -> AzureKeyVault {
        do throws(KeyVaultError) {
            let present = self.state.withLock { $0.vault == vault ? $0.client : nil }
            if let present {
                try present.reload()
                return present
            }
            let client = try AzureKeyVault(vault.address, vault.access)
            self.state.withLock { state in
                state.client = client
                state.vault = vault
            }
            return client
        } catch {
            throw .environment("the vault cannot be asked for secrets: \(error)")
        }
    }

    /// 30 s: a new version is in use within a minute, as of a wrapping key.
    private static let interval = Duration.seconds(30)
}

extension GatewayConfiguration {
    /// All secrets of the vault that backends are to be shown.
    fileprivate var vaultSecrets: Set<VaultSecretConfiguration> {
        Set(
            self.endpoints.flatMap(\.deployments).flatMap(\.credentials).compactMap(\.secret))
    }
}

extension KeyVaultError {
    /// The error as half a sentence about a secret.
    fileprivate var ofSecret: String {
        switch self {
        case .revoked(.forbidden): "the vault grants no right to get it"
        case .revoked(.deleted): "the vault has no such secret, or version"
        case .revoked(let state): "it is \(state.rawValue)"
        default: self.description
        }
    }
}
