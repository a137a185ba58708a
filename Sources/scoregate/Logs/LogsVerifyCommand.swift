internal import ArgumentParser
internal import Gateway
internal import SealedLog

extension LogsCommand {
    /// `scoregate logs verify`.
    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check that the log is whole and unchanged.",
            discussion: """
                Checks every frame, the chain from segment to segment, and what the state keeps of each \
                stream; of an endpoint whose wrapping key is disabled, the structure only. Prints what \
                is wrong, with its place, and ends with 1. What is explained by the log itself (a \
                crash, a full disk, expiry) is shown as a note.
                """)

        @OptionGroup var target: Target

        @Flag(help: "Check without keys: frame headers and the chain only.")
        var structureOnly = false

        func run() throws {
            let (archive, streams) = try self.target.open()
            var answers: [Answer] = []
            for stream in streams {
                let progress = Progress("checking \(stream.endpoint ?? "")", unit: "segments")
                let report = try LogsCommand.failing {
                    defer { progress.end() }
                    return try archive.verify(
                        stream, isStructureOnly: self.structureOnly || stream.endpoint == nil,
                        turned: progress.show)
                }
                answers.append(Answer(stream, report))
                if !report.findings.isEmpty, let advice = archive.foreignKeyAdvice(of: stream) {
                    StandardError.write(advice)
                }
            }
            if self.target.options.output == .json {
                try JSONOutput.print(answers)
            } else {
                for answer in answers { answer.show() }
            }
            if answers.contains(where: { !$0.findings.isEmpty }) { throw ExitCode(1) }
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
}
