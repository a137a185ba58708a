internal import Glibc

/// The file of a Unix socket.
enum SocketFile {
    /// Lets only the owner connect: connecting needs the right to write (unix(7)).
    static func restrict(_ path: String) {
        _ = unsafe chmod(path, 0o600)
    }
}
