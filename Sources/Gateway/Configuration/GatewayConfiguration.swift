package import Cryptography
package import ServiceConfiguration

/// What a gateway's configuration file says, parsed and checked; nothing in it is left to doubt.
///
/// File paths are absolute: relative ones were resolved against the file's folder. Defaults
/// are filled in. Made by ``read(path:environment:)``.
package struct GatewayConfiguration: Sendable, Equatable {
    /// Absolute path of the file this was read from.
    package var file: String
    /// The process's own identity; its trust domain is that of all services it talks to.
    ///
    /// Its kind is `gateway`, or `agent` for one beside a model.
    package var spiffeID: SPIFFEID
    /// Folder of the SQLite state, 0700.
    package var stateDirectory: String
    /// File of the root key; nil only if no endpoint uses keys.
    package var rootKeyFile: String?
    /// How many workers to run; nil means as many as the processors given to the process.
    package var workers: Int?
    /// Where access log lines go; nil means none are written.
    package var accessLog: AccessLogConfiguration?
    /// How long a drain may wait for exchanges to finish.
    package var drainTimeoutMilliseconds: Int64
    /// Peers whose `x-forwarded-for` and PROXY protocol are believed.
    package var trustedProxies: [AddressRange]
    /// Whether those of peers on Unix sockets are believed, too.
    package var trustsUnixSockets = false
    /// Limits of every listener.
    package var limits: LimitsConfiguration
    /// At least one.
    package var listeners: [ListenerConfiguration]
    /// The admin listener; nil means there is none.
    package var admin: AdminConfiguration?
    /// The gateway's own certificate and the trust roots of the trust domain.
    package var identity: IdentityConfiguration?
    /// The vault that issues ``identity``; nil where somebody else keeps its files.
    package var identityVault: VaultIdentityConfiguration?
    /// The vault that ``identity`` may ask; nil where none is named.
    package var vault: VaultServiceConfiguration?
    /// The sealed log; nil if nothing is logged.
    package var log: LogConfiguration?
    /// At least one, in the order of the file; the index is the endpoint's number in a snapshot.
    package var endpoints: [EndpointConfiguration]

    /// Whether this is an agent: one model behind mutual TLS, passed on unchanged.
    package var isAgent: Bool { self.spiffeID.kind == .agent }
}

/// Where access log lines go.
///
/// The format is JSON lines, the only one so far.
package enum AccessLogConfiguration: Sendable, Equatable {
    /// The process's standard output.
    case standardOutput
    /// A file by absolute path, reopened on SIGHUP.
    case file(String)
}

/// Limits that hold for every listener.
package struct LimitsConfiguration: Sendable, Equatable {
    /// Most client connections at a time, all listeners and workers together.
    package var connections = 10_000
    /// Most bytes of a request head.
    package var headerBytes = 65_536
    /// Most bytes of a request body where the endpoint says nothing else: 100 MiB.
    package var bodyBytes: Int64 = 104_857_600
    /// From accepting a connection to its finished handshake.
    package var handshakeTimeoutMilliseconds: Int64 = 10_000
    /// From a request's first byte to the end of its head.
    package var headerTimeoutMilliseconds: Int64 = 10_000
    /// How long a connection may wait for its next request.
    package var idleTimeoutMilliseconds: Int64 = 60_000

    /// The defaults.
    package init() {}
}

/// The listener for `/healthz`, `/readyz`, `/metrics` and the admin API.
package struct AdminConfiguration: Sendable, Equatable {
    /// A Unix socket, or an IP address under mutual TLS with the gateway's identity.
    package var address: ListenAddress
}
