internal import COpenSSL
internal import Glibc

/// Bytes that are a secret: locked in memory, left out of core dumps and children, wiped at the end.
///
/// Single owner. The bytes are fixed in number and lie on pages of their own,
/// between two that nobody may touch.
@safe package struct SecretBytes: ~Copyable, @unchecked Sendable {
    // Sendable: the memory is written only by the initialiser and never after it.
    private let base: UnsafeMutableRawPointer
    private let lockedBytes: Int
    private let pageBytes: Int
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
        let lockedBytes = (count + page - 1) / page * page
        // A page without rights on either side stops a reader that runs over the end of another
        // allocation.
        let mapped = unsafe mmap(
            nil, lockedBytes + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else {
            throw .system(call: "mmap", errno: errno)
        }
        let base = unsafe mapped + page
        do throws(CryptographyError) {
            guard unsafe mprotect(base, lockedBytes, PROT_READ | PROT_WRITE) == 0 else {
                throw .system(call: "mprotect", errno: errno)
            }
            guard unsafe mlock(base, lockedBytes) == 0 else {
                throw .system(call: "mlock", errno: errno)
            }
            guard unsafe madvise(base, lockedBytes, Self.dontDump) == 0,
                unsafe madvise(base, lockedBytes, Self.wipeOnFork) == 0
            else { throw .system(call: "madvise", errno: errno) }
            var output = unsafe OutputRawSpan(
                buffer: UnsafeMutableRawBufferPointer(start: base, count: count),
                initializedCount: 0)
            do throws(CryptographyError) {
                try fill(&output)
            } catch {
                unsafe OPENSSL_cleanse(base, lockedBytes)
                throw error
            }
            precondition(output.byteCount == count, "the secret was not filled")
        } catch {
            unsafe munmap(mapped, lockedBytes + 2 * page)
            throw error
        }
        unsafe self.base = base
        self.lockedBytes = lockedBytes
        self.pageBytes = page
        self.count = count
    }

    /// A secret with the same bytes as `bytes`, which the caller goes on owning.
    package init(copying bytes: RawSpan) throws(CryptographyError) {
        try self.init(count: bytes.byteCount) { (output) throws(CryptographyError) in
            for index in 0..<bytes.byteCount {
                output.append(bytes[byte: index])
            }
        }
    }

    /// Another secret with the same bytes.
    package func copy() throws(CryptographyError) -> SecretBytes {
        try SecretBytes(copying: self.bytes)
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
        unsafe OPENSSL_cleanse(base, lockedBytes)
        // Unlocks too (munlock(2)).
        unsafe munmap(base - pageBytes, lockedBytes + 2 * pageBytes)
    }

    // madvise(2); Swift's Glibc module leaves the names out.
    private static let dontDump: Int32 = 16
    private static let wipeOnFork: Int32 = 18
}
