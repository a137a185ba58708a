internal import Glibc

/// Files read and written whole: certificates, keys, sealed secrets.
package enum WholeFile {
    /// The bytes of the regular file at `path`, symbolic links followed.
    ///
    /// - Throws: `.file` if it is missing, unreadable, not regular, empty, or has more than
    ///   `maximum` bytes.
    package static func read(_ path: String, maximum: Int) throws(CryptographyError) -> [UInt8] {
        let file = try ReadableFile(path, maximum: maximum)
        return try unsafe [UInt8](unsafeUninitializedCapacity: file.count) {
            (buffer, initialisedCount) throws(CryptographyError) in
            var output = unsafe OutputRawSpan(
                buffer: UnsafeMutableRawBufferPointer(
                    start: buffer.baseAddress, count: file.count), initializedCount: 0)
            try file.read(into: &output)
            initialisedCount = output.byteCount
        }
    }

    /// Writes `bytes` to the file at `path` so that it is there whole and durable, or not at all.
    ///
    /// - Parameters:
    ///   - bytes: What the file shall hold.
    ///   - path: Its folder must exist.
    ///   - mode: Its permission bits, 0o600 for whatever holds a secret; the umask takes away more.
    ///   - isReplacing: Whether a file that is there is replaced, in one step. Otherwise it is left
    ///     and the call throws.
    /// - Throws: `.file`; what was at `path` is then unchanged.
    package static func write(
        _ bytes: RawSpan, to path: String, mode: UInt32, isReplacing: Bool
    ) throws(CryptographyError) {
        // Unguessable, so that nobody can put a link there first; O_EXCL would refuse it anyway.
        let random = try SystemRandom.bytes(count: 8)
        let suffix = Hexadecimal.text(of: random.rawSpan)
        let written = isReplacing ? "\(path).\(suffix)" : path
        let descriptor = unsafe open(written, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw .ofFile(path) }
        do throws(CryptographyError) {
            try Self.fill(descriptor, with: bytes, path)
            guard unsafe !isReplacing || rename(written, path) == 0 else { throw .ofFile(path) }
        } catch {
            unsafe unlink(written)
            throw error
        }
        try Self.synchroniseFolder(of: path)
    }

    /// Gives a file another name in the same folder, in place of what had it; durable.
    package static func move(_ path: String, to newPath: String) throws(CryptographyError) {
        guard unsafe rename(path, newPath) == 0 else { throw .ofFile(newPath) }
        try Self.synchroniseFolder(of: newPath)
    }

    private static func fill(
        _ descriptor: Int32, with bytes: RawSpan, _ path: String
    ) throws(CryptographyError) {
        defer { close(descriptor) }
        var written = 0
        while written < bytes.byteCount {
            let answer = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.write(
                    descriptor, $0.baseAddress.map { unsafe $0 + written }, $0.count - written)
            }
            if answer >= 0 {
                written += answer
            } else if errno != EINTR {
                throw .ofFile(path)
            }
        }
        guard fsync(descriptor) == 0 else { throw .ofFile(path) }
    }

    /// A new name is durable once its folder is (fsync(2)).
    private static func synchroniseFolder(of path: String) throws(CryptographyError) {
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
        let descriptor = unsafe open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .ofFile(folder) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw .ofFile(folder) }
    }
}

extension SecretBytes {
    /// The secret in the regular file at `path`, symbolic links followed.
    ///
    /// - Throws: `.file` as ``WholeFile/read(_:maximum:)``, and if others than its owner, root and
    ///   this process have a right to the file; `.system` if its memory cannot be locked.
    package init(contentsOf path: String, maximum: Int) throws(CryptographyError) {
        let file = try ReadableFile(path, maximum: maximum)
        if let problem = file.access.problem(for: .current) {
            throw .file(path: path, problem: problem)
        }
        try self.init(count: file.count) { (output) throws(CryptographyError) in
            try file.read(into: &output)
        }
    }
}

/// A regular file, open for reading, with a size that was within bounds when it was opened.
private struct ReadableFile: ~Copyable {
    private let descriptor: Int32
    private let path: String
    let count: Int
    let access: SecretFileAccess

    init(_ path: String, maximum: Int) throws(CryptographyError) {
        // O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw .ofFile(path) }
        let status: stat
        do throws(CryptographyError) {
            status = try Self.status(of: descriptor, path, maximum: maximum)
        } catch {
            close(descriptor)
            throw error
        }
        self.descriptor = descriptor
        self.path = path
        self.count = status.st_size
        self.access = SecretFileAccess(
            mode: status.st_mode & 0o7777, owner: status.st_uid, group: status.st_gid)
    }

    private static func status(
        of descriptor: Int32, _ path: String, maximum: Int
    ) throws(CryptographyError) -> stat {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw .ofFile(path) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw .file(path: path, problem: .notRegular)
        }
        guard status.st_size > 0 else { throw .file(path: path, problem: .empty) }
        guard status.st_size <= maximum else {
            throw .file(path: path, problem: .tooLarge(maximum: maximum))
        }
        return status
    }

    /// Fills `output`, which has room for ``count`` bytes.
    func read(into output: inout OutputRawSpan) throws(CryptographyError) {
        try unsafe output.withUnsafeMutableBytes { (buffer, filled) throws(CryptographyError) in
            while filled < self.count {
                let answer = unsafe Glibc.read(
                    self.descriptor, buffer.baseAddress.map { unsafe $0 + filled },
                    self.count - filled)
                if answer > 0 {
                    filled += answer
                } else if answer == 0 {
                    throw .file(path: self.path, problem: .changedWhileRead)
                } else if errno != EINTR {
                    throw .ofFile(self.path)
                }
            }
        }
    }

    deinit {
        close(self.descriptor)
    }
}
