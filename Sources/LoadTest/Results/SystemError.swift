internal import Glibc

/// Errors of system calls, in words.
enum SystemError {
    /// What strerror(3) says of `errno`.
    static func text(_ errno: CInt) -> String {
        unsafe strerror(errno).map { unsafe String(cString: $0) } ?? "errno \(errno)"
    }
}
