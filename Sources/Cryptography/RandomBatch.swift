internal import COpenSSL

/// Random numbers taken from the kernel 4 KiB at a time, so that an identifier costs no system call.
///
/// Not Sendable: one a worker. For identifiers and choices; keys come from ``SystemRandom``.
@safe package final class RandomBatch {
    private let buffer: UnsafeMutableRawBufferPointer
    private var used: Int

    /// Makes an empty batch; the first number fills it.
    package init() {
        unsafe self.buffer = .allocate(byteCount: Self.byteCount, alignment: 8)
        self.used = Self.byteCount
    }

    /// The next 64 random bits, which are handed out once and then wiped.
    package func next() -> UInt64 {
        if self.used == Self.byteCount { self.refill() }
        let number = unsafe self.buffer.load(fromByteOffset: self.used, as: UInt64.self)
        unsafe self.buffer.storeBytes(of: 0, toByteOffset: self.used, as: UInt64.self)
        self.used += 8
        return number
    }

    /// The two halves of a random UUID, version 4, most significant first (RFC 9562, 5.4).
    package func uuid() -> (high: UInt64, low: UInt64) {
        (
            self.next() & 0xFFFF_FFFF_FFFF_0FFF | 0x0000_0000_0000_4000,
            self.next() & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
        )
    }

    private func refill() {
        var output = unsafe OutputRawSpan(buffer: self.buffer, initializedCount: 0)
        do throws(CryptographyError) {
            try SystemRandom.fill(&output)
        } catch {
            // getrandom(2) does not fail for valid memory once the kernel has booted.
            preconditionFailure("the kernel gives random bytes: \(error)")
        }
        self.used = 0
    }

    deinit {
        unsafe OPENSSL_cleanse(self.buffer.baseAddress, Self.byteCount)
        unsafe self.buffer.deallocate()
    }

    /// 4 KiB: 256 identifiers a system call.
    private static let byteCount = 4096
}
