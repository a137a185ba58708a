internal import Cryptography

/// A file of the log that is open.
package struct LogFile: Sendable {
    /// What the file system knows it by.
    package let descriptor: Int32
    /// Where it is, for errors.
    package let path: String

    /// Names an open file.
    package init(descriptor: Int32, path: String) {
        self.descriptor = descriptor
        self.path = path
    }
}

/// The few file operations the log needs.
///
/// A protocol with one conformer in production: tests put one in its place that fails at the n-th
/// call, fills up, and loses power between any two. All throw `.file`.
package protocol LogFileSystem: AnyObject, Sendable {
    /// Makes a folder that only the owner writes and the group reads; one that is there is kept.
    func makeFolder(_ path: String) throws(SealedLogError)

    /// The names in a folder, in no order, without `.` and `..`; none where there is no folder.
    func names(in folder: String) throws(SealedLogError) -> [String]

    /// Creates a file that must not be there, for appending.
    func create(_ path: String) throws(SealedLogError) -> LogFile

    /// Opens a file for reading.
    func open(_ path: String) throws(SealedLogError) -> LogFile

    /// Appends all of `bytes`. Where this throws, some of them may have been written.
    func append(_ bytes: RawSpan, to file: LogFile) throws(SealedLogError)

    /// Replaces `bytes` by those from `offset` on, at most `count`, fewer only at the end.
    func read(
        _ file: LogFile, at offset: Int, count: Int, into bytes: inout [UInt8]
    ) throws(SealedLogError)

    /// How many bytes the file has, and when it was last written, Unix milliseconds.
    func status(of file: LogFile) throws(SealedLogError) -> (
        bytes: Int, writtenMilliseconds: UInt64
    )

    /// Returns once what was written to the file outlives a loss of power.
    func synchronize(_ file: LogFile) throws(SealedLogError)

    /// Takes the right to write the file from everybody.
    func makeReadOnly(_ file: LogFile) throws(SealedLogError)

    /// Closes the file; it cannot be used after.
    func close(_ file: LogFile)

    /// Gives a file another name, in one step, in place of what had it.
    func rename(_ path: String, to newPath: String) throws(SealedLogError)

    /// Removes a file; one that is not there is no error.
    func remove(_ path: String) throws(SealedLogError)

    /// Returns once what was written to all of them outlives a loss of power.
    func synchronize(_ files: [LogFile]) throws(SealedLogError)

    /// Returns once the names in a folder outlive a loss of power.
    func synchronizeFolder(_ path: String) throws(SealedLogError)

    /// Takes blocks of the disk for a file, so many bytes of it.
    func reserve(_ bytes: Int, for file: LogFile) throws(SealedLogError)
}

extension LogFileSystem {
    /// All bytes of a file.
    ///
    /// - Throws: `.file`, with `EFBIG` if it has more than `maximum`.
    func contents(of path: String, maximum: Int) throws(SealedLogError) -> [UInt8] {
        let file = try self.open(path)
        defer { self.close(file) }
        let count = try self.status(of: file).bytes
        guard count <= maximum else { throw .file(operation: "read", path: path, errno: 27) }
        var bytes: [UInt8] = []
        try self.read(file, at: 0, count: count, into: &bytes)
        return bytes
    }

    /// Writes files of a folder so that each is there whole, or not at all; all outlive a loss of power when
    /// this returns.
    ///
    /// What was there before is replaced in one step each: where this throws, a file is what it was or what
    /// it was to become.
    func replace(
        _ files: [(path: String, bytes: [UInt8])], in folder: String
    ) throws(SealedLogError) {
        var written: [LogFile] = []
        do throws(SealedLogError) {
            defer { for file in written { self.close(file) } }
            for (path, bytes) in files {
                let temporary = path + Self.temporarySuffix
                // What a process that died left here is nobody's.
                try self.remove(temporary)
                let file = try self.create(temporary)
                written.append(file)
                try self.append(bytes.rawSpan, to: file)
            }
            try self.synchronize(written)
        } catch {
            // The error that matters is the first.
            for file in written { try? self.remove(file.path) }
            throw error
        }
        for (path, _) in files { try self.rename(path + Self.temporarySuffix, to: path) }
        try self.synchronizeFolder(folder)
    }

    private static var temporarySuffix: String { ".new" }

    /// Returns once what was written to all of them outlives a loss of power.
    func synchronize(_ files: [LogFile]) throws(SealedLogError) {
        for file in files { try self.synchronize(file) }
    }
}
