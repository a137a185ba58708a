internal import COpenSSL
internal import Glibc

/// The OpenSSL this process runs with.
package enum OpenSSLLibrary {
    /// 3.0.22: the oldest release whose corrections we rely on, as `OPENSSL_VERSION_NUMBER` has it.
    package static let minimumVersion: UInt = 0x3000_0160

    /// What the library calls itself, such as "OpenSSL 3.0.22 25 Aug 2026".
    package static var version: String {
        guard let text = unsafe OpenSSL_version(OPENSSL_VERSION) else { return "OpenSSL" }
        return unsafe String(cString: text)
    }

    /// Prepares the library, once a process; later calls cost a comparison.
    ///
    /// The system's openssl.cnf is not read, so that it cannot weaken us, and nothing is torn down
    /// at exit, where other threads may still be inside (OPENSSL_init_crypto(3)). Must precede every
    /// other use of OpenSSL; the types of this target call it themselves.
    ///
    /// - Throws: `.libraryTooOld`, or `.openSSL` if the library does not start.
    package static func initialise() throws(CryptographyError) {
        try self.outcome.get()
    }

    /// Sets locked memory aside for OpenSSL's own copies of private keys.
    ///
    /// Meant for long-running processes, once, before the first private key is read. Pages are
    /// locked, left out of core dumps and guarded on both sides (OPENSSL_secure_malloc(3)). The
    /// limit of locked memory is raised as far as the process may: secrets of ours need some too.
    ///
    /// - Throws: `.system` if the memory cannot be locked (RLIMIT_MEMLOCK).
    package static func reserveSecureHeap() throws(CryptographyError) {
        try self.initialise()
        guard CRYPTO_secure_malloc_initialized() == 0 else { return }
        var limit = rlimit()
        if unsafe getrlimit(__rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue), &limit) == 0 {
            limit.rlim_cur = limit.rlim_max
            _ = unsafe setrlimit(__rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue), &limit)
        }
        let bytes = self.secureHeapBytes(
            processors: sysconf(Int32(_SC_NPROCESSORS_ONLN)), limit: limit.rlim_cur)
        // 2 would be a heap that works and is not locked.
        guard CRYPTO_secure_malloc_init(bytes, self.smallestSecureBytes) == 1 else {
            CRYPTO_secure_malloc_done()
            throw .system(call: "mlock", errno: ENOMEM)
        }
    }

    /// How many bytes of the locked memory keys have taken.
    static var secureHeapBytesInUse: Int { CRYPTO_secure_used() }

    private static let outcome: Result<Void, CryptographyError> = {
        guard OPENSSL_init_crypto(initialiseOptions, nil) == 1 else {
            return .failure(.ofOpenSSL("starting OpenSSL"))
        }
        guard OpenSSL_version_num() >= minimumVersion else {
            return .failure(.libraryTooOld(found: version, needed: text(of: minimumVersion)))
        }
        return .success(())
    }()

    /// Writes 0xMNN00PP0 as M.NN.PP (OPENSSL_VERSION_NUMBER(3)).
    static func text(of number: UInt) -> String {
        "\(number >> 28).\(number >> 20 & 0xFF).\(number >> 4 & 0xFF)"
    }

    private static let initialiseOptions =
        UInt64(OPENSSL_INIT_NO_LOAD_CONFIG) | UInt64(OPENSSL_INIT_NO_ATEXIT)

    /// A power of two: 64 KiB a processor, for each worker reads every key anew, but at least 1 MiB,
    /// and of the memory that may be locked at most a half if that is more.
    static func secureHeapBytes(processors: Int, limit: UInt) -> Int {
        var bytes = 1 << 20
        while bytes < processors << 16, bytes << 1 <= limit / 2 { bytes <<= 1 }
        return bytes
    }

    /// 32 bytes: the private half of a P-256 or X25519 key.
    private static let smallestSecureBytes = 32
}
