internal import SealedLog

/// A log's folder for as long as its lock is held.
///
/// Made on one thread and used by another, the writer's: never by two at once.
final class LockedFolder: @unchecked Sendable {
    let folder: LogFolder
    private let lock: LogLock

    /// Takes the lock of that name, and prepares the folder.
    init(
        _ path: String, reserveBytes: Int, lock: String, holder: String
    ) throws(SealedLogError) {
        self.lock = try LogLock(path + "/" + lock, holder: holder)
        self.folder = try LogFolder(path, reserveBytes: reserveBytes, SystemFiles())
    }
}
