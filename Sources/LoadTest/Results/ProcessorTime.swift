internal import Glibc

/// The processor time of this process.
enum ProcessorTime {
    /// User and system time of all threads so far, in seconds (clock(3), whose unit POSIX sets).
    static var seconds: Double { Double(clock()) / 1e6 }
}
