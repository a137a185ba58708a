internal import Dispatch
internal import Glibc
internal import NIOCore
internal import Synchronization

/// Where access log lines go: a thread of its own writes them, so that a full pipe or a slow disk
/// holds up no request.
///
/// What does not fit into ``maximumWaitingBytes`` is dropped, and the caller counts it.
final class AccessLog: Sendable {
    private let destination: AccessLogConfiguration
    private let queue = DispatchQueue(label: "access-log")
    private let waitingBytes = Atomic<Int>(0)
    private let descriptor: Mutex<Int32>

    /// - Throws: `errno` of open(2) if the file cannot be opened.
    init(_ destination: AccessLogConfiguration) throws(AccessLogError) {
        self.destination = destination
        self.descriptor = Mutex(try Self.open(destination))
    }

    /// Takes lines to write; false if they were dropped.
    ///
    /// Callable from any thread, never blocks.
    func write(_ lines: ByteBuffer) -> Bool {
        let count = lines.readableBytes
        guard self.waitingBytes.load(ordering: .relaxed) + count <= Self.maximumWaitingBytes else {
            return false
        }
        self.waitingBytes.add(count, ordering: .relaxed)
        self.queue.async {
            let descriptor = self.descriptor.withLock { $0 }
            Self.writeAll(lines, to: descriptor)
            self.waitingBytes.subtract(count, ordering: .relaxed)
        }
        return true
    }

    /// Opens the file anew after it was renamed; the lines before go to the old one.
    ///
    /// - Throws: `errno` of open(2); lines then go on into the old file.
    func reopen() throws(AccessLogError) {
        guard case .file = self.destination else { return }
        let new = try Self.open(self.destination)
        self.queue.async {
            let old = self.descriptor.withLock { descriptor in
                defer { descriptor = new }
                return descriptor
            }
            close(old)
        }
    }

    /// Waits, at most `seconds`, until what was taken is written.
    func drain(seconds: Int) {
        let done = DispatchSemaphore(value: 0)
        self.queue.async { done.signal() }
        _ = done.wait(timeout: .now() + .seconds(seconds))
    }

    private static func open(_ destination: AccessLogConfiguration) throws(AccessLogError) -> Int32
    {
        switch destination {
        case .standardOutput:
            return STDOUT_FILENO
        case .file(let path):
            let flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC
            let descriptor = unsafe Glibc.open(path, flags, 0o640)
            guard descriptor >= 0 else { throw .cannotOpen(path: path, errno: errno) }
            return descriptor
        }
    }

    private static func writeAll(_ lines: ByteBuffer, to descriptor: Int32) {
        var rest = lines
        while rest.readableBytes > 0 {
            let count = unsafe rest.withUnsafeReadableBytes {
                unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
            }
            if count > 0 {
                rest.moveReaderIndex(forwardBy: count)
            } else if errno != EINTR {
                // Nobody reads any more, or the disk is full: lines are lost, requests are not.
                return
            }
        }
    }

    /// 1 MiB: some thousand lines.
    private static let maximumWaitingBytes = 1 << 20
}

/// Why there is no access log.
enum AccessLogError: Error {
    /// The file could not be opened; `errno` of open(2).
    case cannotOpen(path: String, errno: Int32)
}
