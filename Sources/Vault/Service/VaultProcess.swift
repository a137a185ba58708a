internal import ControlServer
internal import Glibc
package import Logging
internal import NIOCore
internal import ServiceConfiguration
internal import State
internal import Synchronization
internal import TLS
internal import UnixSignals

/// A vault as a process: from its configuration file to the last signal.
package enum VaultProcess {
    /// Serves until SIGTERM or SIGINT, then drains; the second of them ends at once.
    ///
    /// SIGHUP reads the configuration and all files it names again. The certificate files are watched
    /// as well.
    ///
    /// - Parameters:
    ///   - configurationPath: The configuration file.
    ///   - environment: The process's environment variables.
    ///   - logger: For the process's own log.
    /// - Throws: ``InvalidConfiguration`` or ``StartError``; nothing is left running then.
    package static func run(
        configurationPath: String, environment: [String: String], logger: Logger
    ) async throws {
        let configuration = try VaultConfiguration.read(
            path: configurationPath, environment: environment)
        try configuration.checkFiles()
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint, .sighup)
        // First: it makes the vault's own identity where nobody else does.
        let service = try VaultService(configuration, logger: logger)
        let tls: ControlTLS
        let joinTLS: ControlTLS
        do throws(TLSError) {
            tls = try ControlTLS(configuration.tls)
            joinTLS = try ControlTLS(configuration.joinTLS)
        } catch {
            throw StartError.environment("the listeners cannot be set up: \(error)")
        }
        do throws(StateError) {
            try service.identities.watch(service.connections)
        } catch {
            throw StartError.environment("the state cannot be watched: \(error)")
        }
        let watch = FileWatch(FileWatch.Files(configuration.watchedFiles))
        let pins = FileWatch(FileWatch.Files(configuration.pinFiles))
        let reload = { @Sendable (cause: String) in
            do {
                let new = try VaultConfiguration.read(
                    path: configurationPath, environment: environment)
                let files = FileWatch.Files(new.watchedFiles)
                try configuration.checkFixed(new)
                try tls.adopt(new.tls)
                try joinTLS.adopt(new.joinTLS)
                service.adopt(new.policy)
                watch.follow(files)
                logger.info("reloaded", metadata: ["cause": "\(cause)"])
            } catch {
                // What is in force stays in force.
                logger.error(
                    "reload failed; the configuration and certificates in force stay",
                    metadata: ["cause": "\(cause)", "error": "\(error)"])
            }
        }
        let drain = Drain()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for server in Self.servers(configuration, service, tls, joinTLS, logger) {
                group.addTask {
                    do {
                        try await server.server.run { address in
                            let bound = address.map { "\($0)" } ?? server.name
                            logger.info("listening", metadata: ["address": "\(bound)"])
                        } drain: {
                            await drain.began()
                        }
                    } catch {
                        throw StartError.environment("the listener \(server.name) failed: \(error)")
                    }
                }
            }
            group.addTask { await service.maintain() }
            group.addTask { await service.identities.maintain() }
            group.addTask {
                while !Task.isCancelled {
                    try? await Task.sleep(for: .seconds(1))
                    if watch.hasChanged() { reload("file changed") }
                    if pins.hasChanged() { service.retryPIN() }
                }
            }
            group.addTask {
                for await signal in signals {
                    if signal == .sighup {
                        reload("SIGHUP")
                        // A PIN that was changed before is tried once for both.
                        pins.follow(FileWatch.Files(configuration.pinFiles))
                        service.retryPIN()
                    } else if drain.begin() {
                        // Streams have no end of their own.
                        service.events.finish()
                    } else {
                        logger.warning("second signal: ending at once")
                        _exit(0)
                    }
                }
            }
            // Each listener ends by itself after a drain; anything else ends the process.
            for _ in 0..<configuration.listenerCount { try await group.next() }
            group.cancelAll()
        }
        service.identities.stop()
        await service.stop()
        logger.info("stopped")
        // Not exit: what a token's module does in its destructors is not to be trusted.
        _exit(0)
    }

    private static func servers(
        _ configuration: VaultConfiguration, _ service: VaultService, _ tls: ControlTLS,
        _ joinTLS: ControlTLS, _ logger: Logger
    ) -> [(name: String, server: ControlServer)] {
        var limits = ControlLimits()
        limits.connections = configuration.connections
        limits.idleTimeout = .milliseconds(configuration.idleTimeoutMilliseconds)
        limits.drainTimeout = .milliseconds(configuration.drainTimeoutMilliseconds)
        let isIssuing = configuration.identities.joinAddress != nil
        let identityRoutes =
            service.identityRoutes.denying + (isIssuing ? service.identityRoutes.renewing : [])
        var servers: [(String, ControlServer)] = []
        for address in configuration.listeners {
            guard case .ip(let host, let port) = address else { continue }
            let server = ControlServer(
                address: .mutualTLS(host: host.description, port: port, tls),
                routes: (service.routes + identityRoutes + service.healthRoutes)
                    .map(service.notingUse), limits: limits,
                connections: service.connections, logger: logger)
            servers.append(("\(address)", server))
        }
        if case .ip(let host, let port)? = configuration.identities.joinAddress {
            limits.connections = Self.mostJoining
            limits.connectionsPerSource = Self.mostJoiningPerSource
            limits.source = IdentityRoutes.source(of:)
            let server = ControlServer(
                address: .serverTLS(host: host.description, port: port, joinTLS),
                routes: service.identityRoutes.joining, limits: limits, logger: logger)
            servers.append(("\(host):\(port)", server))
        }
        if let path = configuration.adminSocket {
            let server = ControlServer(
                address: .unix(SocketFile(path: path)), routes: service.healthRoutes,
                limits: limits,
                logger: logger)
            servers.append(("unix:\(path)", server))
        }
        return servers
    }

    /// 64: whoever joins or rejoins is done in a moment, and strangers can connect here.
    private static let mostJoining = 64
    /// 8: services of one host that start together; seven more hosts can be at it beside.
    private static let mostJoiningPerSource = 8
}

/// Whether a drain has begun; what waits for that.
private final class Drain: Sendable {
    private let stream: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation
    private let hasBegun = Atomic(false)

    init() { (self.stream, self.continuation) = AsyncStream.makeStream() }

    /// Begins it; false if it had begun before.
    func begin() -> Bool {
        guard !self.hasBegun.exchange(true, ordering: .relaxed) else { return false }
        self.continuation.finish()
        return true
    }

    /// Returns when it has begun.
    func began() async { for await _ in self.stream {} }
}

extension VaultConfiguration {
    /// What ids of keys and secrets begin with.
    var publicURL: String { self.baseURL ?? "https://\(self.listeners[0])" }

    /// How many servers there are.
    fileprivate var listenerCount: Int {
        self.listeners.count + (self.adminSocket == nil ? 0 : 1)
            + (self.identities.joinAddress == nil ? 0 : 1)
    }

    /// The TLS of the listeners.
    fileprivate var tls: TLSServerConfiguration {
        TLSServerConfiguration(
            certificates: [
                TLSCertificateFiles(
                    chain: self.identity.certificate.chain, key: self.identity.certificate.key)
            ],
            clientAuthentication: .required, clientTrustRoots: self.identity.trustRoots,
            purpose: .internal, listener: "vault")
    }

    /// The TLS of the listener where services join: TLS 1.3, and nobody is asked for a certificate.
    fileprivate var joinTLS: TLSServerConfiguration {
        var tls = self.tls
        tls.clientAuthentication = .none
        tls.clientTrustRoots = nil
        tls.listener = "join"
        return tls
    }

    /// Throws unless the process may open as many files as it may have connections.
    fileprivate func checkFiles() throws {
        let needed = self.connections * self.listenerCount + Self.reservedFiles
        let files = FileDescriptorLimit.raise()
        guard needed <= files else {
            throw StartError.environment(
                "limits.connections needs \(needed) open files, but the process may have \(files):"
                    + " lower it, or raise the hard limit (ulimit -Hn, LimitNOFILE=)")
        }
    }

    /// The state, its log, the root key, standard streams, event loops, a token's module.
    private static var reservedFiles: Int { 64 }

    /// Throws if something is different in `new` that is fixed at the start.
    func checkFixed(_ new: VaultConfiguration) throws {
        var changed: [String] = []
        if self.spiffeID != new.spiffeID { changed.append("service") }
        if self.stateDirectory != new.stateDirectory { changed.append("state") }
        if self.rootKeyFile != new.rootKeyFile { changed.append("root_key") }
        if self.publicURL != new.publicURL { changed.append("base_url") }
        if self.listeners != new.listeners { changed.append("listeners") }
        if self.token != new.token { changed.append("pkcs11") }
        if self.identities != new.identities { changed.append("identities") }
        if self.adminSocket != new.adminSocket { changed.append("admin") }
        if self.drainTimeoutMilliseconds != new.drainTimeoutMilliseconds {
            changed.append("drain_timeout_ms")
        }
        if self.connections != new.connections
            || self.idleTimeoutMilliseconds != new.idleTimeoutMilliseconds
        {
            changed.append("limits")
        }
        guard changed.isEmpty else {
            throw StartError.configuration(
                "a restart is needed for a change of \(changed.joined(separator: ", "))")
        }
    }
}
