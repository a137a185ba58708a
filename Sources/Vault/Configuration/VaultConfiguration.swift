package import Cryptography
package import ServiceConfiguration

/// What a vault's configuration file says, parsed and checked; nothing in it is left to doubt.
///
/// File paths are absolute. Defaults are filled in. Made by ``read(path:environment:)``.
package struct VaultConfiguration: Sendable, Equatable {
    /// Absolute path of the file this was read from.
    package var file: String
    /// The vault's own identity; its trust domain is that of all who may ask.
    package var spiffeID: SPIFFEID
    /// Folder of the SQLite state, 0700.
    package var stateDirectory: String
    /// File of the root key.
    package var rootKeyFile: String
    /// What the ids of keys and secrets begin with, `https://` and without `/` at its end; nil for the
    /// first listener's address.
    package var baseURL: String?
    /// Where it listens, under mutual TLS; at least one.
    package var listeners: [ListenAddress]
    /// The listener for health alone: a Unix socket; nil for none.
    package var adminSocket: String?
    /// Its own certificate and the trust roots of the trust domain.
    package var identity: IdentityConfiguration
    /// What identities it issues to others.
    package var identities: IdentitiesConfiguration
    /// How long a drain may wait for answers under way.
    package var drainTimeoutMilliseconds: Int64
    /// Most connections at a time, a listener.
    package var connections: Int
    /// How long a connection may wait for its next request.
    package var idleTimeoutMilliseconds: Int64
    /// The PKCS#11 token that keeps keys and seals the rest; nil if the root key seals everything.
    package var token: TokenConfiguration?
    /// Who may do what.
    package var policy: VaultPolicy
}

extension VaultConfiguration {
    /// Reads and checks the configuration of a vault, and the files it names.
    ///
    /// Blocks on files; for starting, reloading and the command line.
    ///
    /// - Parameters:
    ///   - path: The file; problems name it as given here.
    ///   - environment: Environment variables of the process.
    /// - Returns: A configuration that can be acted on as it is.
    /// - Throws: Everything that is wrong, not only the first.
    package static func read(
        path: String, environment: [String: String]
    ) throws(InvalidConfiguration) -> VaultConfiguration {
        try ConfigurationFile.read(path: path, environment: environment) { root, files in
            VaultConfigurationReader(files: files).vault(root)
        }
    }

    /// Where it can be asked for its health on this host.
    package var healthAddress: ListenAddress {
        if let adminSocket { return .unix(path: adminSocket) }
        guard case .ip(let address, let port) = self.listeners[0],
            address.bits == 0 || address == IPAddress(ipv4: 0)
        else { return self.listeners[0] }
        return .ip(IPAddress(ipv4: 0x7f00_0001), port: port)
    }

    /// The files that are read again when they change.
    var watchedFiles: [String] {
        [self.identity.certificate.chain, self.identity.certificate.key, self.identity.trustRoots]
    }

    /// The file of the token's PIN, which is tried again when it changes, and for no other reason than that
    /// and SIGHUP: a token locks itself after a few wrong ones.
    var pinFiles: [String] { self.token.map { [$0.pinFile] } ?? [] }
}
