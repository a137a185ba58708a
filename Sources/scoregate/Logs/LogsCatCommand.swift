internal import ArgumentParser
internal import Gateway
internal import SealedLog
internal import ServiceConfiguration

extension LogsCommand {
    /// `scoregate logs cat`.
    struct Cat: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show entries, decrypted, a line of JSON each.",
            discussion: """
                Times are as 2026-01-31T12:34:56Z, or with milliseconds. What is wrong with the log is \
                said on standard error, and ends the command with 1. With --request-id, --since or \
                --until only the segments that may hold such entries are read and checked, by their \
                indexes: "logs verify" tells whether all of the log is there.
                """)

        @OptionGroup var target: Target

        @OptionGroup var selection: Selection

        @Option(help: "Only the entries of the request with this x-request-id.")
        var requestID: String?

        @Option(help: "Only responses with this status.")
        var status: UInt16?

        @Flag(help: "Also show who read the log.")
        var accesses = false

        @Option(help: "json: all that is known. cloudevents: as Azure's data collector writes it.")
        var format: Format = .json

        /// How entries are shown.
        enum Format: String, ExpressibleByArgument, CaseIterable {
            case json
            case cloudevents
        }

        func run() throws {
            let (archive, all) = try self.target.open(accessLog: self.selection.audit)
            let streams = all.filter {
                guard let endpoint = $0.endpoint else { return false }
                return endpoint != LogArchive.accessStream || self.accesses
            }
            try LogsCommand.note(.read, streams, in: archive)
            var filter = self.selection.filter
            filter.requestID = try LogsCommand.failing {
                try self.requestID.map { try LogIdentifier.request($0) }
            }
            let isSound = try LogsCommand.read(streams, filter, in: archive) { entry, _ in
                guard self.wants(entry) else { return }
                switch self.format {
                case .json: print(LogText.json(entry))
                case .cloudevents: if let line = try LogText.cloudEvent(entry) { print(line) }
                }
            }
            if !isSound { throw ExitCode(1) }
        }

        private func wants(_ entry: LogEntry) -> Bool {
            guard self.selection.wants(entry) else { return false }
            if let requestID, entry[.requestIDText] != Array(requestID.utf8) { return false }
            guard let status else { return true }
            return entry[.status] == [UInt8(status >> 8), UInt8(status & 0xff)]
        }
    }
}

extension LogsCommand {
    /// Logs that streams are about to be read; nothing may be shown where this throws.
    static func note(
        _ access: LogArchive.Access, _ streams: [LogArchive.Stream], in archive: LogArchive
    ) throws {
        let filter = CommandLine.arguments.dropFirst().joined(separator: " ")
        try self.failing { try archive.noteAccess(access, to: streams, filter: filter) }
    }

    /// Reads entries of several streams; what is wrong with them is said on standard error.
    ///
    /// - Returns: Whether nothing is.
    static func read(
        _ streams: [LogArchive.Stream], _ filter: EntryFilter, in archive: LogArchive,
        _ visit: (LogEntry, LogArchive.Stream) throws -> Void
    ) throws -> Bool {
        var isSound = true
        for stream in streams {
            let progress = Progress("reading \(stream.endpoint ?? "")", unit: "segments")
            defer { progress.end() }
            var failure: (any Error)?
            do {
                let report = try archive.read(
                    stream, filter,
                    { entry in
                        guard failure == nil else { return }
                        do { try visit(entry, stream) } catch { failure = error }
                    }, turned: progress.show)
                for finding in report.findings {
                    isSound = false
                    StandardError.write("\(stream.endpoint ?? ""): \(LogText.finding(finding))")
                }
                if !report.findings.isEmpty, let advice = archive.foreignKeyAdvice(of: stream) {
                    StandardError.write(advice)
                }
            } catch StartError.refused(let reason) {
                // The logs of the other endpoints are none the worse for it.
                isSound = false
                StandardError.write(reason)
            } catch {
                throw self.failure(error)
            }
            if let failure { throw self.failure(failure) }
        }
        return isSound
    }
}
