internal import ArgumentParser
internal import Cryptography
internal import Foundation
internal import Gateway
internal import SealedLog
internal import ServiceConfiguration

/// `scoregate logs`: the sealed log of requests and responses.
struct LogsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logs",
        abstract: "List, read, verify, export and shred the sealed log.",
        discussion: """
            The log exists only encrypted, under a wrapping key for each endpoint ("keys wrapping"). \
            Each reading of it is itself logged, before anything is shown.
            """,
        subcommands: [
            List.self, Cat.self, Verify.self, Export.self, Rewrap.self, Shred.self,
        ])

    /// What the subcommands have in common.
    struct Target: ParsableArguments {
        @OptionGroup var options: ConfigurationOptions

        @Option(help: "Only the log of this endpoint.")
        var endpoint: String?

        /// Opens the log; an endpoint that has no log ends the command.
        ///
        /// - Parameter accessLog: Where accesses are logged; nil for the log itself.
        /// - Returns: The log, and the streams that are meant.
        /// - Throws: What ends the command.
        func open(
            accessLog: String? = nil
        ) throws -> (archive: LogArchive, streams: [LogArchive.Stream]) {
            FreedMemory.keep()
            let configuration = try self.options.read()
            let archive = try LogsCommand.failing {
                try LogArchive(configuration, actor: StateChange.actor, accessLog: accessLog)
            }
            let streams = try LogsCommand.failing { try archive.streams() }
            guard let endpoint else { return (archive, streams) }
            let wanted = streams.filter { $0.endpoint == endpoint }
            guard !wanted.isEmpty else {
                StandardError.write("nothing was logged of endpoint \"\(endpoint)\"")
                throw ExitCode(1)
            }
            return (archive, wanted)
        }
    }

    /// What of the entries is asked for, and where the asking is logged.
    struct Selection: ParsableArguments {
        @Option(help: "Only entries of this deployment.")
        var deployment: String?

        @Option(help: "Only entries from this time on.", transform: LogsCommand.time)
        var since: UInt64?

        @Option(help: "Only entries before this time.", transform: LogsCommand.time)
        var until: UInt64?

        @Option(
            help: "Log this reading in that folder; for a log folder that cannot be written.",
            completion: .directory)
        var audit: String?

        /// What segments can be chosen by.
        var filter: EntryFilter {
            var filter = EntryFilter()
            filter.since = self.since
            filter.until = self.until
            return filter
        }

        func wants(_ entry: LogEntry) -> Bool {
            self.filter.wants(entry)
                && (self.deployment.map { entry[.deployment] == Array($0.utf8) } ?? true)
        }
    }

    /// Runs `body`; a refusal ends the command with 1, anything else with 3.
    static func failing<Value>(_ body: () throws -> Value) throws -> Value {
        do {
            return try body()
        } catch {
            throw self.failure(error)
        }
    }

    /// What ends the command; `endpoint` is named where the error does not say whose log it is.
    static func failure(_ error: any Error, of endpoint: String? = nil) -> CommandFailure {
        switch error {
        case StartError.refused(let reason): CommandFailure(code: .refused, message: reason)
        case let error as StartError:
            CommandFailure(code: .environment, message: error.description)
        default:
            CommandFailure(
                code: .environment,
                message:
                    "the log\(endpoint.map { " of endpoint \($0)" } ?? "") cannot be read: \(error)"
            )
        }
    }

    /// Nanoseconds since 1970 of a time as `2026-01-31T12:34:56Z`, with milliseconds or without.
    @Sendable static func time(_ text: String) throws -> UInt64 {
        let exact = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
        // The plain form passes over a fraction, so it comes second.
        guard let date = (try? exact.parse(text)) ?? (try? Date(text, strategy: .iso8601)),
            date.timeIntervalSince1970 >= 0
        else {
            throw ValidationError(
                "\"\(text)\" is not a time as 2026-01-31T12:34:56Z or 2026-01-31T12:34:56.789Z")
        }
        // As nanoseconds the year 2554 is the last.
        guard let milliseconds = UInt64(exactly: (date.timeIntervalSince1970 * 1000).rounded()),
            milliseconds < UInt64.max / 1_000_000
        else { throw ValidationError("\"\(text)\" is too far in the future") }
        return milliseconds * 1_000_000
    }
}
