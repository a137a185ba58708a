internal import ArgumentParser
internal import Gateway
internal import SealedLog

extension LogsCommand {
    /// `scoregate logs export`.
    struct Export: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write entries in clear to files, as Azure's data collector lays them out.",
            discussion: """
                CloudEvents, a line each, in {endpoint}/{deployment}/{collection}/{yyyy}/{MM}/{dd}/{HH}/ \
                below the folder, which must be new or empty. The files are in clear: whoever reads \
                them needs no key any more. What is wrong with the log is said on standard error, and \
                ends the command with 1; what could be read is exported all the same.
                """)

        @Argument(help: "The folder to write into.", completion: .directory)
        var folder: String

        @OptionGroup var target: Target

        @OptionGroup var selection: Selection

        func run() throws {
            let (archive, all) = try self.target.open(accessLog: self.selection.audit)
            let streams = all.filter {
                $0.endpoint.map { $0 != LogArchive.accessStream } ?? false
            }
            let export = try LogsCommand.failing { try LogExport(to: self.folder) }
            try LogsCommand.note(.exported, streams, in: archive)
            let isSound = try LogsCommand.read(streams, self.selection.filter, in: archive) {
                entry, stream in
                if self.selection.wants(entry) { try export.append(entry, of: stream) }
            }
            try LogsCommand.failing { try export.finish() }
            if self.target.options.output == .json {
                try JSONOutput.print(["entries": export.lines])
            } else {
                print("\(export.lines) entries exported, in clear, to \(self.folder)")
            }
            if !isSound { throw ExitCode(1) }
        }
    }
}
