internal import Foundation

/// The files of a report.
package enum ReportFiles {
    /// The JSON form of anything a report is made of.
    package static func json(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self) + "\n"
    }

    /// A line a second, with a header; times in seconds, empty where there is no value.
    package static func csv(_ points: [SecondPoint]) -> String {
        var text = "second,offered,sent,completed,failed,cancelled,p50,p90,p99,p99.9,max\n"
        for point in points {
            let counts = [
                point.second, point.offered, point.sent, point.completed, point.failed,
                point.cancelled,
            ].map(String.init)
            let times = [point.p50, point.p90, point.p99, point.p999, point.maximum].map(
                Self.field)
            text += (counts + times).joined(separator: ",") + "\n"
        }
        return text
    }

    /// A line a round and target, with a header; empty where there is no value.
    package static func csv(_ comparison: Comparison) -> String {
        var text =
            "round,target,url,good_answers_per_second,mean_seconds,p50_seconds,p90_seconds,"
            + "p99_seconds,failed_share\n"
        for (index, round) in comparison.rounds.enumerated() {
            for (name, leg, plan) in [
                ("A", round.a, comparison.a), ("B", round.b, comparison.b),
            ] {
                let numbers = [
                    leg.throughput, leg.mean, leg.p50, leg.p90, leg.p99, leg.failedShare,
                ].map(Self.field)
                let fields = ["\(index + 1)", name, Self.field(plan?.url ?? "")] + numbers
                text += fields.joined(separator: ",") + "\n"
            }
        }
        return text
    }

    /// A line a rate in the order they were tried, with a header; empty where there is no value.
    package static func csv(_ search: FindMaximum) -> String {
        var text =
            "rate_per_second,good_answers_per_second,p50_seconds,p99_seconds,failed_share,kept,"
            + "reason\n"
        for trial in search.trials {
            let numbers = [
                trial.rate, trial.throughput, trial.p50, trial.p99, trial.failedShare,
            ].map(Self.field)
            let fields = numbers + ["\(trial.isKept)", Self.field(trial.found ?? "")]
            text += fields.joined(separator: ",") + "\n"
        }
        return text
    }

    /// A number with six digits after its point: times to the microsecond.
    private static func field(_ number: Double?) -> String {
        number.map { Quantity.plain($0, digits: 6) } ?? ""
    }

    /// A text from elsewhere, quoted where it has to be: RFC 4180, section 2.
    private static func field(_ text: String) -> String {
        guard text.utf8.contains(where: { [0x22, 0x2c, 0x0a, 0x0d].contains($0) }) else {
            return text
        }
        return "\"" + text.replacing("\"", with: "\"\"") + "\""
    }

    /// Writes a file; what was there is replaced.
    ///
    /// - Throws: `.environment` with path and reason.
    package static func write(_ text: String, to path: String) throws(LoadError) {
        do {
            // Not in one step by another name: /dev/stdout and pipes are good places too.
            let file = FileManager.default
            if !file.fileExists(atPath: path), !file.createFile(atPath: path, contents: nil) {
                throw LoadError.environment("the folder is missing or may not be written")
            }
            let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
            // A device has no length to cut.
            try? handle.truncate(atOffset: 0)
            try handle.write(contentsOf: Data(text.utf8))
            try handle.close()
        } catch let error as LoadError {
            throw .environment("\(path) cannot be written: \(error)")
        } catch {
            throw .environment("\(path) cannot be written: \(Self.reason(error))")
        }
    }

    /// Finds out whether a file could be written; makes and changes none.
    ///
    /// - Throws: `.environment` with path and reason.
    package static func check(_ path: String) throws(LoadError) {
        let file = FileManager.default
        let folder = (path as NSString).deletingLastPathComponent
        let problem: String? =
            if file.fileExists(atPath: path + "/.") {
                "it is a folder"
            } else if file.fileExists(atPath: path) {
                file.isWritableFile(atPath: path) ? nil : "it may not be written"
            } else {
                file.isWritableFile(atPath: (folder.isEmpty ? "." : folder) + "/.")
                    ? nil : "the folder is missing or may not be written"
            }
        if let problem { throw .environment("\(path) cannot be written: \(problem)") }
    }

    /// Writes the text that a command has for its user to standard output.
    ///
    /// - Throws: `.environment` with the reason.
    package static func printSummary(_ text: String) throws(LoadError) {
        do {
            try FileHandle.standardOutput.write(contentsOf: Data(text.utf8))
        } catch {
            throw .environment("the summary cannot be written: \(Self.reason(error))")
        }
    }

    private static func reason(_ error: any Error) -> String {
        let reason =
            ((error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError) ?? error as NSError
        return reason.domain == NSPOSIXErrorDomain
            ? SystemError.text(CInt(reason.code)) : reason.localizedDescription
    }
}
