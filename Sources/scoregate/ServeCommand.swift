internal import ArgumentParser
internal import Cryptography
internal import Foundation
internal import Gateway
internal import Logging
internal import ServiceConfiguration

/// `scoregate serve`: the gateway.
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Run the gateway.",
        discussion: """
            Serves until SIGTERM or SIGINT, then refuses new connections and lets exchanges in \
            progress finish for at most drain_timeout_ms; a second signal ends at once. SIGHUP \
            reads the configuration, certificates and keys again without dropping a connection; \
            what is wrong then is logged, and what was in force stays. Certificates that change \
            on disk are noticed within a second.
            """)

    @OptionGroup var options: ServiceOptions

    func run() async throws {
        try await self.options.run(.gateway)
    }
}

/// What the commands that run until a signal have in common.
struct ServiceOptions: ParsableArguments {
    @Option(
        name: .shortAndLong, help: "The configuration file.",
        completion: .file(extensions: ["yaml", "yml"]))
    var config: String

    @Option(help: "How much is logged on standard error.")
    var logLevel = LogLevel.info

    /// Runs the data plane as a service of this kind.
    func run(_ kind: SPIFFEID.Kind) async throws {
        try await self.run { path, environment, logger in
            try await GatewayProcess.run(
                kind, configurationPath: path, environment: environment, logger: logger)
        }
    }

    /// Runs a service until it ends: `body` with the configuration's path, the environment and the log.
    func run(_ body: (String, [String: String], Logger) async throws -> Void) async throws {
        try ProcessHardening.applyOrFail()
        let environment = ProcessInfo.processInfo.environment
        let logger = Log.make(self.logLevel)
        for name in SecretEnvironment.doubtful(in: environment) {
            logger.warning(
                "an environment variable looks like a secret; keep secrets in files of mode 0600",
                metadata: ["name": "\(name)"])
        }
        do {
            try await body(self.config, environment, logger)
        } catch let error as InvalidConfiguration {
            throw CommandFailure(code: .refused, message: error.description)
        } catch let error as StartError {
            throw CommandFailure(code: .environment, message: error.description)
        }
    }
}

/// How much is logged.
enum LogLevel: String, ExpressibleByArgument, CaseIterable {
    case trace
    case debug
    case info
    case warning
    case error

    var level: Logger.Level { Logger.Level(rawValue: self.rawValue) ?? .info }
}

/// The process's own log, on standard error.
enum Log {
    static func make(_ level: LogLevel) -> Logger {
        LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
        var logger = Logger(label: "scoregate")
        logger.logLevel = level.level
        return logger
    }
}
