internal import Foundation
package import SealedLog
internal import ServiceConfiguration

/// Writes entries in clear, in the folders and lines of Azure Machine Learning's data collector:
/// `{endpoint}/{deployment}/{collection}/{yyyy}/{MM}/{dd}/{HH}/{instance}.jsonl`.
///
/// The instance is the log's stream. Bodies that are not text or over 4 MB are files beside, named in
/// their line. Into a new folder, 0700, files 0600: nothing that is there is written over.
package final class LogExport {
    /// How many lines were written.
    package private(set) var lines = 0

    private let folder: URL
    private var files: [String: FileHandle] = [:]

    /// Makes the folder.
    ///
    /// - Throws: ``StartError`` if something is there already, or it cannot be made.
    package init(to path: String) throws {
        self.folder = URL(fileURLWithPath: path, isDirectory: true)
        let manager = FileManager.default
        if let names = try? manager.contentsOfDirectory(atPath: path), !names.isEmpty {
            throw StartError.refused("\(path) is not empty: export into a new folder")
        }
        try Self.environment(path) { try self.makeFolder(self.folder) }
    }

    /// Writes an entry; events are passed over.
    ///
    /// - Parameters:
    ///   - entry: The entry.
    ///   - stream: Its stream.
    /// - Throws: ``StartError`` if a file cannot be written.
    package func append(_ entry: LogEntry, of stream: LogArchive.Stream) throws {
        let folder = self.folder(of: entry)
        let line = try LogText.cloudEvent(entry) { body in
            let name = "\(LogText.uuid(of: entry.requestID))-\(entry.sequence).bin"
            let file = folder.appending(path: name)
            try Self.environment(file.path) {
                try self.makeFolder(folder)
                try self.create(file).write(contentsOf: Data(body))
            }
            return name
        }
        guard let line else { return }
        let path = folder.appending(path: "\(stream.id.text).jsonl")
        try Self.environment(path.path) {
            let file = try self.file(at: path, in: folder)
            try file.write(contentsOf: Data((line + "\n").utf8))
        }
        self.lines += 1
    }

    /// Returns once all is on disk.
    package func finish() throws {
        for (path, file) in self.files {
            try Self.environment(path) {
                try file.synchronize()
                try file.close()
            }
        }
        self.files = [:]
    }

    private func folder(of entry: LogEntry) -> URL {
        let date = Date(timeIntervalSince1970: Double(entry.nanoseconds / 1_000_000_000))
        let hour = date.formatted(
            Date.VerbatimFormatStyle(
                format: """
                    \(year: .padded(4))/\(month: .twoDigits)/\(day: .twoDigits)/\
                    \(hour: .twoDigits(clock: .twentyFourHour, hourCycle: .zeroBased))
                    """,
                timeZone: .gmt, calendar: Calendar(identifier: .gregorian)))
        return self.folder
            .appending(path: Self.component(entry.text(.endpoint)))
            .appending(path: Self.component(entry.text(.deployment)))
            .appending(path: entry.kind == .request ? "request" : "response")
            .appending(path: hour)
    }

    /// A name as one part of a path, whatever is in it.
    private static func component(_ name: String) -> String {
        let safe = String(
            name.unicodeScalars.map { scalar in
                scalar == "/" || scalar == "\0" ? "_" : Character(scalar)
            })
        return safe.isEmpty || safe.hasPrefix(".") ? "_" + safe : safe
    }

    private func file(at path: URL, in folder: URL) throws -> FileHandle {
        if let file = self.files[path.path] { return file }
        // Entries come by time: the files of hours that are over are done with.
        if self.files.count >= Self.openFiles {
            for file in self.files.values { try file.close() }
            self.files = [:]
        }
        try self.makeFolder(folder)
        let file =
            FileManager.default.fileExists(atPath: path.path)
            ? try FileHandle(forWritingTo: path) : try self.create(path)
        try file.seekToEnd()
        self.files[path.path] = file
        return file
    }

    private func create(_ file: URL) throws -> FileHandle {
        guard
            FileManager.default.createFile(
                atPath: file.path, contents: nil, attributes: [.posixPermissions: 0o600])
        else { throw CocoaError(.fileWriteUnknown) }
        return try FileHandle(forWritingTo: file)
    }

    private func makeFolder(_ folder: URL) throws {
        try FileManager.default.createDirectory(
            at: folder, withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
    }

    private static func environment<Value>(
        _ path: String, _ body: () throws -> Value
    ) throws -> Value {
        do {
            return try body()
        } catch {
            throw StartError.environment(
                "\(path) cannot be written: \(error.localizedDescription)")
        }
    }

    /// 64: the collections of some deployments, for the hour before and the present one.
    private static let openFiles = 64
}
