internal import Glibc

/// Wakes one thread that waits: a pipe(2) that a byte is written to.
package final class Doorbell: Sendable {
    private let readEnd: Int32
    private let writeEnd: Int32

    /// Makes one that was not rung.
    package init() throws(SealedLogError) {
        var ends: [Int32] = [0, 0]
        guard unsafe pipe(&ends) == 0 else {
            throw .file(operation: "pipe", path: "", errno: errno)
        }
        for end in ends {
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
        }
        self.readEnd = ends[0]
        self.writeEnd = ends[1]
    }

    /// Ends a wait, or the next one.
    package func ring() {
        var byte: UInt8 = 1
        // Fails only where the pipe is full, and then it was rung.
        _ = unsafe write(self.writeEnd, &byte, 1)
    }

    /// Waits until it is rung, or for that many nanoseconds; nil waits for ever.
    package func wait(nanoseconds: UInt64?) {
        var descriptor = pollfd(fd: self.readEnd, events: Int16(POLLIN), revents: 0)
        // Up to the next millisecond: poll(2) takes no less.
        let milliseconds = nanoseconds.map { Int32(clamping: ($0 + 999_999) / 1_000_000) } ?? -1
        guard unsafe poll(&descriptor, 1, milliseconds) > 0 else { return }
        var bytes = [UInt8](repeating: 0, count: 64)
        _ = unsafe read(self.readEnd, &bytes, bytes.count)
    }

    deinit {
        close(self.readEnd)
        close(self.writeEnd)
    }
}

/// A thread of its own, for what blocks: the log's writer synchronises files.
package final class WriterThread: Sendable {
    private let thread: pthread_t

    /// Starts a thread that runs `body` once.
    package init(_ body: @escaping @Sendable () -> Void) throws(SealedLogError) {
        let box = unsafe Unmanaged.passRetained(Body(body))
        var thread = pthread_t()
        let answer = unsafe pthread_create(&thread, nil, runWriter, box.toOpaque())
        guard answer == 0 else {
            unsafe box.release()
            throw .file(operation: "pthread_create", path: "", errno: answer)
        }
        self.thread = thread
    }

    /// Returns once the body has; must be called once.
    package func join() {
        _ = pthread_join(self.thread, nil)
    }

    fileprivate final class Body: Sendable {
        let run: @Sendable () -> Void

        init(_ run: @escaping @Sendable () -> Void) {
            self.run = run
        }
    }
}

private func runWriter(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let argument = unsafe argument else { return nil }
    unsafe Unmanaged<WriterThread.Body>.fromOpaque(argument).takeRetainedValue().run()
    return nil
}

/// The machine's clocks.
package enum SystemClocks {
    /// The present time.
    package static var now: LogTime {
        LogTime(
            unixNanoseconds: self.read(CLOCK_REALTIME),
            monotonicNanoseconds: self.read(CLOCK_BOOTTIME))
    }

    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        let answer = unsafe clock_gettime(clock, &time)
        precondition(answer == 0, "the machine has this clock")
        return UInt64(max(0, time.tv_sec)) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
