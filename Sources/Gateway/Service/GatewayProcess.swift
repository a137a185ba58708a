package import Cryptography
internal import Glibc
internal import KeyVault
package import Logging
internal import ServiceConfiguration
internal import UnixSignals

/// A gateway as a process: from its configuration file to the last signal.
package enum GatewayProcess {
    /// Serves until SIGTERM or SIGINT, then drains; the second of them ends at once.
    ///
    /// SIGHUP reads the configuration and all files it names again and opens the access log anew. The
    /// certificate files are watched as well.
    ///
    /// - Parameters:
    ///   - kind: What the configuration must be of: `gateway` or `agent`.
    ///   - configurationPath: The configuration file.
    ///   - environment: The process's environment variables.
    ///   - logger: For the process's own log.
    /// - Throws: ``InvalidConfiguration`` or ``StartError``; nothing is left running then.
    package static func run(
        _ kind: SPIFFEID.Kind, configurationPath: String, environment: [String: String],
        logger: Logger
    ) async throws {
        var configuration = try GatewayConfiguration.read(
            path: configurationPath, environment: environment)
        guard configuration.spiffeID.kind == kind else {
            throw StartError.configuration(
                """
                \(configurationPath) is of a service of kind \(configuration.spiffeID.kind), \
                not \(kind): see service.kind
                """)
        }
        let identity = try await VaultIdentity.start(configuration, logger: logger)
        if identity != nil {
            // Only now it can be told what the certificate stands for.
            configuration = try GatewayConfiguration.read(
                path: configurationPath, environment: environment)
        }
        let watch = FileWatch(FileWatch.Files(configuration))
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint, .sighup)
        let admin = try AdminServer(configuration)
        let gateway = try await Gateway.start(configuration, logger: logger)
        let denyList = identity?.denyList ?? DenyListWatch(ofVaultIn: configuration)
        if let denyList { await gateway.deny(denyList.last) }
        for address in gateway.addresses {
            logger.info("listening", metadata: ["address": "\(address)"])
        }
        let reload = { @Sendable (cause: Reloads.Cause) in
            do {
                if cause == .secrets { return try await gateway.refreshSecrets() }
                let new = try GatewayConfiguration.read(
                    path: configurationPath, environment: environment)
                let files = FileWatch.Files(new)
                try await gateway.reload(new)
                try admin.reload(new)
                watch.follow(files)
                // Not where files changed by themselves, as identities of an hour do.
                if cause == .hangup { gateway.warnOfExpiringKeys() }
            } catch {
                // What is in force stays in force.
                gateway.reloadFailed()
                logger.error(
                    "reload failed; the configuration and certificates in force stay",
                    metadata: ["cause": "\(cause.rawValue)", "error": "\(error)"])
            }
        }
        let reloads = Reloads()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await admin.run(gateway, logger: logger)
            }
            if let identity {
                group.addTask { await identity.keeper.run() }
            }
            if let denyList {
                group.addTask {
                    await denyList.run { list in
                        await gateway.deny(list)
                    } onSilence: { error in
                        logger.warning(
                            "the deny list cannot be followed; the last one stays in force",
                            metadata: ["error": "\(error)"])
                    }
                }
            }
            group.addTask { await reloads.serve(reload) }
            group.addTask {
                while !Task.isCancelled {
                    try? await Task.sleep(for: .seconds(86_400))
                    if !Task.isCancelled { gateway.warnOfExpiringKeys() }
                }
            }
            group.addTask { await gateway.secrets.run { reloads.wish(.secrets) } }
            group.addTask {
                while !Task.isCancelled {
                    try? await Task.sleep(for: .seconds(1))
                    if watch.hasChanged() { reloads.wish(.fileChanged) }
                }
            }
            group.addTask {
                var isDraining = false
                for await signal in signals {
                    if signal == .sighup {
                        identity?.keeper.renewNow()
                        reloads.wish(.hangup)
                    } else if isDraining {
                        logger.warning("second signal: ending at once")
                        exit(0)
                    } else {
                        isDraining = true
                        // On the side: the second signal must be heard meanwhile.
                        Task {
                            await gateway.drain()
                            await gateway.stop()
                            admin.removeSocket()
                            logger.info("stopped")
                            exit(0)
                        }
                    }
                }
            }
            // The first to fail ends the process; none of them ends otherwise.
            try await group.next()
            group.cancelAll()
        }
    }
}
