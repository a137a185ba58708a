internal import ArgumentParser
internal import Gateway
internal import SealedLog
internal import ServiceConfiguration

extension LogsCommand {
    /// `scoregate logs list`.
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
            self.state = segment.isFinal ? "final" : "open"
        }
    }
}
