internal import COpenSSL
internal import Glibc

/// Bytes that are a secret: locked in memory, left out of core dumps and children, wiped at the end.
///
/// Single owner. The bytes are fixed in number and lie on pages of their own.
@safe package struct SecretBytes: ~Copyable, @unchecked Sendable {
    // Sendable: the memory is written only by the initialiser and never after it.
    private let base: UnsafeMutableRawPointer
    private let mappedBytes: Int
    /// How many bytes the secret has.
    package let count: Int

    /// Takes `count` bytes of locked memory and lets `fill` write them.
    ///
    /// - Throws: `.system` if the memory cannot be mapped or locked (RLIMIT_MEMLOCK), or what `fill` throws.
    package init(
        count: Int, filledBy fill: (inout OutputRawSpan) throws(CryptographyError) -> Void
    ) throws(CryptographyError) {
        precondition(count > 0, "a secret has at least one byte")
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let mappedBytes = (count + page - 1) / page * page
        let mapped = unsafe mmap(
            nil, mappedBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let base = unsafe mapped, unsafe base != MAP_FAILED else {
            throw .system(call: "mmap", errno: errno)
        }
        do throws(CryptographyError) {
            guard unsafe mlock(base, mappedBytes) == 0 else {
                throw .system(call: "mlock", errno: errno)
            }
            _ = unsafe madvise(base, mappedBytes, 16)  // MADV_DONTDUMP
            _ = unsafe madvise(base, mappedBytes, 18)  // MADV_WIPEONFORK
            var output = unsafe OutputRawSpan(
                buffer: UnsafeMutableRawBufferPointer(start: base, count: count),
                initializedCount: 0)
            try fill(&output)
            precondition(output.byteCount == count, "the secret was not filled")
        } catch {
            unsafe OPENSSL_cleanse(base, mappedBytes)
            unsafe munmap(base, mappedBytes)
            throw error
        }
        unsafe self.base = base
        self.mappedBytes = mappedBytes
        self.count = count
    }

    /// A secret with the same bytes as `bytes`, which the caller goes on owning.
    package init(copying bytes: RawSpan) throws(CryptographyError) {
        try self.init(count: bytes.byteCount) { (output) throws(CryptographyError) in
            for index in 0..<bytes.byteCount {
                output.append(unsafe bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self))
            }
        }
    }

    /// The secret's bytes, for as long as the owner is borrowed.
    package var bytes: RawSpan {
        @_lifetime(borrow self)
        get {
            let span = unsafe RawSpan(
                _unsafeBytes: UnsafeRawBufferPointer(start: base, count: count))
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    deinit {
        unsafe OPENSSL_cleanse(base, mappedBytes)
        unsafe munlock(base, mappedBytes)
        unsafe munmap(base, mappedBytes)
    }
}
