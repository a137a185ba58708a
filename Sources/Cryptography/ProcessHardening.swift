internal import COpenSSL
internal import Glibc

/// What a process that holds keys gives up, and sets aside, at its start.
package enum ProcessHardening {
    /// No core dumps, no tracing by other processes of the user, no gain of privileges; locked
    /// memory for private keys.
    ///
    /// prctl(2): PR_SET_DUMPABLE 0 also keeps /proc/PID/mem from the user's other processes.
    ///
    /// - Throws: As ``OpenSSLLibrary/reserveSecureHeap()``.
    package static func apply() throws(CryptographyError) {
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
        _ = COpenSSL_prctl(PR_SET_DUMPABLE, 0)
        _ = COpenSSL_prctl(PR_SET_NO_NEW_PRIVS, 1)
        try OpenSSLLibrary.reserveSecureHeap()
    }
}
