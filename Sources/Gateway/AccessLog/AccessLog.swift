internal import Dispatch
internal import Glibc
internal import Logging
internal import NIOCore
internal import Synchronization

/// Where access log lines go: a thread of its own writes them, so that a full pipe or a slow disk
/// holds up no request.
///
/// What does not fit into ``maximumWaitingBytes`` is dropped, and the caller counts it; what cannot be
/// written is counted here.
final class AccessLog: Sendable {
    private let destination: AccessLogConfiguration
    private let queue = DispatchQueue(label: "access-log")
    private let waitingBytes = Atomic<Int>(0)
    private let output: Mutex<Output>
    private let lost = Atomic<Int>(0)
    private let logger: Logger

    /// What is written to.
    private struct Output {
        var descriptor: Int32
        /// Whether the last write failed.
        var isFailing = false
        /// Whether the last line written lacks its end.
        var isCut = false
    }

    /// - Throws: `errno` of open(2) if the file cannot be opened.
    init(_ destination: AccessLogConfiguration, logger: Logger) throws(AccessLogError) {
        self.destination = destination
        self.output = Mutex(Output(descriptor: try Self.open(destination)))
        self.logger = logger
    }

    /// How many lines were taken and could not be written.
    var lostLines: Int { self.lost.load(ordering: .relaxed) }

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
            // Nobody but this queue ever wants the lock.
            self.output.withLock { self.writeAll(lines, to: &$0) }
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
            let old = self.output.withLock { output in
                defer {
                    output.descriptor = new
                    output.isCut = false
                }
                return output.descriptor
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

    private func writeAll(_ lines: ByteBuffer, to output: inout Output) {
        var rest = lines
        if output.isCut {
            // What comes now is not the end of the line that was cut.
            rest = ByteBuffer(bytes: [UInt8(ascii: "\n")])
            rest.writeImmutableBuffer(lines)
        }
        while rest.readableBytes > 0 {
            let count = unsafe rest.withUnsafeReadableBytes {
                unsafe Glibc.write(output.descriptor, $0.baseAddress, $0.count)
            }
            if count > 0 {
                rest.moveReaderIndex(forwardBy: count)
                output.isCut = rest.getInteger(at: rest.readerIndex - 1) != UInt8(ascii: "\n")
            } else if errno != EINTR {
                // Nobody reads any more, or the disk is full: lines are lost, requests are not.
                return self.lose(min(rest.lines, lines.lines), errno, &output)
            }
        }
        guard output.isFailing else { return }
        output.isFailing = false
        self.logger.notice(
            "the access log is written again", metadata: ["lost": "\(self.lostLines)"])
    }

    private func lose(_ lines: Int, _ number: Int32, _ output: inout Output) {
        self.lost.add(lines, ordering: .relaxed)
        guard !output.isFailing else { return }
        output.isFailing = true
        self.logger.error(
            "access log lines are lost",
            metadata: ["error": "\(IOError(errnoCode: number, reason: "write"))"])
    }

    /// 1 MiB: some thousand lines.
    private static let maximumWaitingBytes = 1 << 20
}

extension ByteBuffer {
    /// How many lines end in it.
    fileprivate var lines: Int {
        self.readableBytesView.reduce(0) { $1 == UInt8(ascii: "\n") ? $0 + 1 : $0 }
    }
}

/// Why there is no access log.
enum AccessLogError: Error {
    /// The file could not be opened; `errno` of open(2).
    case cannotOpen(path: String, errno: Int32)
}
