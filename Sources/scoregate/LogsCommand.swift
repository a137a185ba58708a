internal import ArgumentParser
internal import Foundation
internal import Gateway
internal import SealedLog

/// `scoregate logs`: the sealed log of requests and responses.
struct LogsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logs",
        abstract: "List, read and verify the sealed log.",
        discussion: """
            The log exists only encrypted, under a wrapping key for each endpoint ("keys wrapping"). \
            Each reading of it is itself logged, before anything is shown.
            """,
        subcommands: [List.self, Cat.self, Verify.self])

    /// What the subcommands have in common.
    struct Target: ParsableArguments {
        @OptionGroup var options: ConfigurationOptions

        @Option(help: "Only the log of this endpoint.")
        var endpoint: String?

        /// Opens the log; an endpoint that has no log ends the command.
        func open() throws -> (archive: LogArchive, streams: [LogArchive.Stream]) {
            let configuration = try self.options.read()
            let archive = try LogsCommand.failing {
                try LogArchive(configuration, actor: StateChange.actor)
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

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the segments there are; needs no key.")

        @OptionGroup var target: Target

        func run() throws {
            let (archive, streams) = try self.target.open()
            var listed: [Listed] = []
            for stream in streams {
                listed += try LogsCommand.failing { try archive.segments(of: stream) }
                    .map { Listed(stream, $0) }
            }
            if self.target.options.output == .json { return try JSONOutput.print(listed) }
            if listed.isEmpty { print("nothing was logged") }
            for segment in listed {
                print(
                    "\(segment.endpoint ?? "?")\t\(segment.segment)\t\(segment.bytes) bytes\t"
                        + "\(segment.created ?? "-")\t\(segment.wrappingKey ?? "no key")\t"
                        + segment.state)
            }
        }
    }

    struct Cat: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show entries, decrypted, a line of JSON each.",
            discussion: """
                Times are as 2026-01-31T12:34:56Z. What is wrong with the log is said on standard \
                error, and ends the command with 1.
                """)

        @OptionGroup var target: Target

        @Option(help: "Only entries of this deployment.")
        var deployment: String?

        @Option(help: "Only entries from this time on.", transform: LogsCommand.time)
        var since: UInt64?

        @Option(help: "Only entries before this time.", transform: LogsCommand.time)
        var until: UInt64?

        @Option(help: "Only the entries of the request with this x-request-id.")
        var requestID: String?

        @Option(help: "Only responses with this status.")
        var status: UInt16?

        @Flag(help: "Also show who read the log.")
        var accesses = false

        func run() throws {
            let (archive, all) = try self.target.open()
            let streams = all.filter {
                guard let endpoint = $0.endpoint else { return false }
                return endpoint != LogArchive.accessStream || self.accesses
            }
            let filter = CommandLine.arguments.dropFirst().joined(separator: " ")
            try LogsCommand.failing {
                try archive.noteAccess(to: streams, by: StateChange.actor, filter: filter)
            }
            var isSound = true
            for stream in streams {
                let report = try LogsCommand.failing {
                    try archive.read(stream) { (entry) throws(SealedLogError) in
                        if self.wants(entry) { print(LogText.json(entry)) }
                    }
                }
                for finding in report.findings {
                    isSound = false
                    StandardError.write("\(stream.endpoint ?? ""): \(LogText.finding(finding))")
                }
            }
            if !isSound { throw ExitCode(1) }
        }

        private func wants(_ entry: LogEntry) -> Bool {
            if let since, entry.nanoseconds < since { return false }
            if let until, entry.nanoseconds >= until { return false }
            if let deployment, entry[.deployment] != Array(deployment.utf8) { return false }
            if let requestID, entry[.requestIDText] != Array(requestID.utf8) { return false }
            guard let status else { return true }
            return entry[.status] == [UInt8(status >> 8), UInt8(status & 0xff)]
        }
    }

    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check that the log is whole and unchanged.",
            discussion: """
                Checks every frame, the chain from segment to segment, and what the state keeps of each \
                stream. Prints what is wrong, with its place, and ends with 1. What is explained by the \
                log itself (a crash, a full disk, expiry) is shown as a note.
                """)

        @OptionGroup var target: Target

        @Flag(help: "Check without keys: frame headers and the chain only.")
        var structureOnly = false

        func run() throws {
            let (archive, streams) = try self.target.open()
            var answers: [Answer] = []
            for stream in streams {
                let report = try LogsCommand.failing {
                    try archive.verify(
                        stream, isStructureOnly: self.structureOnly || stream.endpoint == nil)
                }
                answers.append(Answer(stream, report))
            }
            if self.target.options.output == .json {
                try JSONOutput.print(answers)
            } else {
                for answer in answers { answer.show() }
            }
            if answers.contains(where: { !$0.findings.isEmpty }) { throw ExitCode(1) }
        }
    }

    private struct Listed: Encodable {
        let endpoint: String?
        let stream: String
        let segment: String
        let bytes: Int
        let created: String?
        let wrappingKey: String?
        let state: String

        init(_ stream: LogArchive.Stream, _ segment: LogArchive.Segment) {
            self.endpoint = stream.endpoint
            self.stream = stream.id.text
            self.segment = segment.name.text
            self.bytes = segment.bytes
            self.created =
                segment.createdMilliseconds == 0
                ? nil : UTCDate.text(of: Int64(segment.createdMilliseconds / 1000))
            self.wrappingKey = segment.wrappingKey
            self.state = segment.isFinal ? "final" : segment.isTorn ? "torn" : "open"
        }
    }

    private struct Answer: Encodable {
        let endpoint: String?
        let stream: String
        let segments: Int
        let frames: UInt64
        let entries: UInt64
        let structureOnly: Bool
        let findings: [String]
        let notes: [String]

        init(_ stream: LogArchive.Stream, _ report: StreamReport) {
            self.endpoint = stream.endpoint
            self.stream = stream.id.text
            self.segments = report.segments
            self.frames = report.frames
            self.entries = report.entries
            self.structureOnly = report.isStructureOnly
            self.findings = report.findings.map(LogText.finding)
            self.notes = report.notes.map(LogText.note)
        }

        func show() {
            let verdict = self.findings.isEmpty ? "ok" : "NOT AS IT WAS WRITTEN"
            let depth = self.structureOnly ? ", structure only" : ", \(self.entries) entries"
            print(
                "\(self.endpoint ?? self.stream): \(verdict), \(self.segments) segments, "
                    + "\(self.frames) frames\(depth)")
            for finding in self.findings { print("  \(finding)") }
            for note in self.notes { print("  note: \(note)") }
        }
    }

    /// Runs `body`; a refusal ends the command with 1, anything else with 3.
    private static func failing<Value>(_ body: () throws -> Value) throws -> Value {
        do {
            return try body()
        } catch StartError.refused(let reason) {
            throw CommandFailure(code: .refused, message: reason)
        } catch let error as StartError {
            throw CommandFailure(code: .environment, message: error.description)
        } catch {
            throw CommandFailure(code: .environment, message: "the log cannot be read: \(error)")
        }
    }

    /// Nanoseconds since 1970 of a time as `2026-01-31T12:34:56Z`.
    @Sendable private static func time(_ text: String) throws -> UInt64 {
        guard let date = try? Date(text, strategy: .iso8601), date.timeIntervalSince1970 >= 0 else {
            throw ValidationError("\"\(text)\" is not a time as 2026-01-31T12:34:56Z")
        }
        // As nanoseconds the year 2554 is the last.
        guard let seconds = UInt64(exactly: date.timeIntervalSince1970.rounded(.down)),
            seconds < UInt64.max / 1_000_000_000
        else { throw ValidationError("\"\(text)\" is too far in the future") }
        return seconds * 1_000_000_000
    }
}
