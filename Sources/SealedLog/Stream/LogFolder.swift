/// A log folder: its lock, its key ring, a reserve of disk space, and a folder for each stream.
///
/// ```
/// lock                                       held by the process that writes
/// reserve                                    blocks kept for the day the disk is full
/// keyring/<log key id>.json                  wrapped log keys
/// <stream id>/<number>-<segment id>.sgl      segments
/// ```
///
/// Used by one thread.
package final class LogFolder {
    /// Where it is.
    package let path: String
    /// Its files.
    package let files: any LogFileSystem
    /// Its wrapped log keys.
    package let keyRing: KeyRing

    private let reserveBytes: Int
    /// Whether the reserve is there.
    private(set) var hasReserve = false
    /// How many bytes of what the reserve gave nobody was promised.
    private var roomBytes = 0

    /// Prepares the folder, which must exist, and sets the reserve aside.
    ///
    /// - Throws: `.file`: nothing is logged where this fails.
    package init(
        _ path: String, reserveBytes: Int, _ files: any LogFileSystem
    ) throws(SealedLogError) {
        self.path = path
        self.files = files
        self.reserveBytes = reserveBytes
        self.keyRing = KeyRing(log: path, files)
        try self.keyRing.prepare(log: path)
        try self.setReserveAside()
    }

    /// Where the segments of a stream lie.
    package func folder(of streamID: LogIdentifier) -> String { self.path + "/" + streamID.text }

    /// Takes blocks of the disk for the day it is full; does nothing where they are there.
    ///
    /// - Throws: `.file`, with `ENOSPC` while there is no room.
    package func setReserveAside() throws(SealedLogError) {
        guard self.reserveBytes > 0, !self.hasReserve else { return }
        try self.files.remove(self.reservePath)
        let file = try self.files.create(self.reservePath)
        defer { self.files.close(file) }
        do throws(SealedLogError) {
            try self.files.reserve(self.reserveBytes, for: file)
        } catch {
            try? self.files.remove(self.reservePath)
            throw error
        }
        self.hasReserve = true
        self.roomBytes = 0
    }

    /// Gives the reserve back, so that what must still be written has room.
    ///
    /// - Returns: Whether there was one.
    package func releaseReserve() throws(SealedLogError) -> Bool {
        guard self.hasReserve else { return false }
        self.hasReserve = false
        try self.files.remove(self.reservePath)
        self.roomBytes = self.reserveBytes
        return true
    }

    /// Gives the reserve back, and says how much of it a stream may take that ends: the half of what is
    /// left, so that each that comes after has room for its count of losses.
    func takeRoom() throws(SealedLogError) -> Int {
        _ = try self.releaseReserve()
        defer { self.roomBytes -= self.roomBytes / 2 }
        return self.roomBytes / 2
    }

    private var reservePath: String { self.path + "/reserve" }
}
