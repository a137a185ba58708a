internal import Glibc
internal import NIOCore
internal import Synchronization

/// The file of a Unix socket, from before it is bound until it is removed.
package final class SocketFile: Sendable {
    /// Where it lies.
    package let path: String
    /// Which file was bound, as stat(2) tells it.
    private let bound = Mutex<Identity?>(nil)

    private struct Identity: Equatable {
        let device: dev_t
        let inode: ino_t
    }

    /// The file at `path`, which need not exist.
    package init(path: String) {
        self.path = path
    }

    /// Makes sure that nobody listens there: to bind a path takes it from whoever does.
    ///
    /// - Throws: IOError with EADDRINUSE if somebody does.
    package func probe() throws {
        let address = try SocketAddress(unixDomainSocketPath: self.path)
        let descriptor = socket(
            AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0
        )
        guard descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "socket") }
        defer { close(descriptor) }
        let result = unsafe address.withSockAddr { unsafe connect(descriptor, $0, socklen_t($1)) }
        // EAGAIN: its queue of connections is full (connect(2)).
        guard result != 0, errno != EAGAIN else {
            throw IOError(errnoCode: EADDRINUSE, reason: "bind")
        }
    }

    /// Lets only the owner connect, which needs the right to write (unix(7)), and remembers the file.
    func restrict() {
        _ = unsafe chmod(self.path, 0o600)
        self.bound.withLock { $0 = self.identity }
    }

    /// Removes the file, if it is the one that was bound.
    package func remove() {
        guard let own = self.bound.withLock({ $0.take() }), own == self.identity else { return }
        _ = unsafe unlink(self.path)
    }

    private var identity: Identity? {
        var status = stat()
        guard unsafe lstat(self.path, &status) == 0 else { return nil }
        return Identity(device: status.st_dev, inode: status.st_ino)
    }
}
