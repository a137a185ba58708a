internal import Cryptography
internal import Dispatch
internal import Glibc
internal import Synchronization

/// The file system of the machine.
///
/// The one place where this target calls the C library.
package final class SystemFiles: LogFileSystem {
    /// Makes one; it has no state.
    package init() {}

    package func makeFolder(_ path: String) throws(SealedLogError) {
        guard unsafe mkdir(path, Self.folderMode) == 0 || errno == EEXIST else {
            throw .now("mkdir", path)
        }
        // mkdir(2) leaves set-group-ID to the folder above and takes the umask away.
        guard unsafe chmod(path, Self.folderMode) == 0 || errno == EPERM else {
            throw .now("chmod", path)
        }
    }

    package func names(in folder: String) throws(SealedLogError) -> [String] {
        guard let listing = unsafe opendir(folder) else {
            guard errno == ENOENT else { throw .now("opendir", folder) }
            return []
        }
        defer { unsafe closedir(listing) }
        var names: [String] = []
        errno = 0
        while let entry = unsafe readdir(listing) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) {
                    unsafe String(cString: $0)
                }
            }
            if name != ".", name != ".." { names.append(name) }
            errno = 0
        }
        guard errno == 0 else { throw .now("readdir", folder) }
        return names
    }

    package func create(_ path: String) throws(SealedLogError) -> LogFile {
        let descriptor = unsafe Glibc.open(
            path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, Self.fileMode)
        guard descriptor >= 0 else { throw .now("create", path) }
        return LogFile(descriptor: descriptor, path: path)
    }

    package func open(_ path: String) throws(SealedLogError) -> LogFile {
        let descriptor = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { throw .now("open", path) }
        return LogFile(descriptor: descriptor, path: path)
    }

    package func append(_ bytes: RawSpan, to file: LogFile) throws(SealedLogError) {
        var written = 0
        while written < bytes.byteCount {
            let answer = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.write(
                    file.descriptor, $0.baseAddress.map { unsafe $0 + written },
                    $0.count - written)
            }
            if answer > 0 {
                written += answer
            } else if answer == 0 || errno != EINTR {
                throw .now("write", file.path)
            }
        }
    }

    package func read(
        _ file: LogFile, at offset: Int, count: Int, into bytes: inout [UInt8]
    ) throws(SealedLogError) {
        bytes.setCount(count)
        var filled = 0
        while filled < count {
            let answer = unsafe bytes.withUnsafeMutableBytes {
                unsafe pread(
                    file.descriptor, $0.baseAddress.map { unsafe $0 + filled }, count - filled,
                    offset + filled)
            }
            if answer > 0 {
                filled += answer
            } else if answer == 0 {
                break
            } else if errno != EINTR {
                throw .now("read", file.path)
            }
        }
        bytes.setCount(filled)
    }

    package func status(
        of file: LogFile
    ) throws(SealedLogError) -> (bytes: Int, writtenMilliseconds: UInt64) {
        var status = stat()
        guard unsafe fstat(file.descriptor, &status) == 0 else { throw .now("stat", file.path) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw .file(operation: "open", path: file.path, errno: EINVAL)
        }
        // A file may have any time that somebody gave it.
        let seconds = min(max(0, status.st_mtim.tv_sec), Int.max / 1000 - 1)
        let written = seconds * 1000 + status.st_mtim.tv_nsec / 1_000_000
        return (status.st_size, UInt64(written))
    }

    package func synchronize(_ file: LogFile) throws(SealedLogError) {
        guard fdatasync(file.descriptor) == 0 else { throw .now("fdatasync", file.path) }
    }

    /// On several threads: the file system writes its journal once for all who wait for it.
    package func synchronize(_ files: [LogFile]) throws(SealedLogError) {
        guard files.count > 1 else {
            if let file = files.first { try self.synchronize(file) }
            return
        }
        let failure = Mutex<SealedLogError?>(nil)
        let group = DispatchGroup()
        for thread in 0..<min(files.count, Self.synchronizers) {
            // A queue each: threads that wait for the disk would keep a shared one from starting more.
            DispatchQueue(label: "synchronize \(thread)").async(group: group) {
                for index in stride(from: thread, to: files.count, by: Self.synchronizers) {
                    do throws(SealedLogError) {
                        try self.synchronize(files[index])
                    } catch {
                        failure.withLock { $0 = $0 ?? error }
                    }
                }
            }
        }
        group.wait()
        if let error = failure.withLock({ $0 }) { throw error }
    }

    /// 8: with more a disk gains nothing.
    private static let synchronizers = 8

    package func makeReadOnly(_ file: LogFile) throws(SealedLogError) {
        guard fchmod(file.descriptor, Self.finalMode) == 0 else { throw .now("chmod", file.path) }
    }

    package func close(_ file: LogFile) {
        // What the call could report, synchronize(_:) has reported before.
        _ = Glibc.close(file.descriptor)
    }

    package func rename(_ path: String, to newPath: String) throws(SealedLogError) {
        guard unsafe Glibc.rename(path, newPath) == 0 else { throw .now("rename", path) }
    }

    package func remove(_ path: String) throws(SealedLogError) {
        guard unsafe unlink(path) == 0 || errno == ENOENT else { throw .now("unlink", path) }
    }

    package func synchronizeFolder(_ path: String) throws(SealedLogError) {
        let descriptor = unsafe Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .now("open", path) }
        defer { _ = Glibc.close(descriptor) }
        guard fsync(descriptor) == 0 else { throw .now("fsync", path) }
    }

    package func reserve(_ bytes: Int, for file: LogFile) throws(SealedLogError) {
        // posix_fallocate(3) returns its error and writes where the file system cannot reserve.
        let answer = posix_fallocate(file.descriptor, 0, bytes)
        guard answer == 0 else {
            throw .file(operation: "fallocate", path: file.path, errno: answer)
        }
    }

    /// 2750: the owner writes, the group reads, and files take the folder's group.
    private static let folderMode: mode_t = 0o2750
    /// 0640: the owner writes, the group reads.
    private static let fileMode: mode_t = 0o640
    /// 0440: nobody writes.
    private static let finalMode: mode_t = 0o440
}

extension SealedLogError {
    /// The error of a call that has just set `errno`.
    fileprivate static func now(_ operation: String, _ path: String) -> SealedLogError {
        .file(operation: operation, path: path, errno: errno)
    }
}

/// The lock of a log folder, or of a state whose streams are written: one writer at a time.
///
/// An advisory lock (flock(2)) that ends with the process however it ends; the file stays.
package struct LogLock: ~Copyable, Sendable {
    private let descriptor: Int32

    /// Takes the lock file `path`, and writes `holder` into it for those who come second.
    ///
    /// - Throws: `.locked` with what the present holder wrote, or `.file`.
    package init(_ path: String, holder: String) throws(SealedLogError) {
        let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o640)
        guard descriptor >= 0 else { throw .now("open", path) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let number = errno
            defer { close(descriptor) }
            guard number == EWOULDBLOCK else {
                throw .file(operation: "flock", path: path, errno: number)
            }
            var text = [UInt8](repeating: 0, count: 256)
            let count = unsafe pread(descriptor, &text, text.count, 0)
            throw .locked(holder: String(decoding: text[..<max(0, count)], as: UTF8.self))
        }
        let bytes = Array(holder.utf8.prefix(256))
        guard ftruncate(descriptor, 0) == 0,
            unsafe pwrite(descriptor, bytes, bytes.count, 0) == bytes.count
        else {
            let error = SealedLogError.now("write", path)
            close(descriptor)
            throw error
        }
        self.descriptor = descriptor
    }

    deinit {
        close(self.descriptor)
    }
}
