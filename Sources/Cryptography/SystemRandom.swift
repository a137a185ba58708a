internal import COpenSSL
internal import Glibc

/// The kernel's random numbers, getrandom(2).
package enum SystemRandom {
    /// Fills all the free capacity of `output`.
    ///
    /// - Throws: `.system` if the kernel gives none.
    package static func fill(_ output: inout OutputRawSpan) throws(CryptographyError) {
        try unsafe output.withUnsafeMutableBytes { (buffer, count) throws(CryptographyError) in
            while count < buffer.count {
                let answer = unsafe getrandom(
                    buffer.baseAddress.map { unsafe $0 + count }, buffer.count - count, 0)
                if answer > 0 {
                    count += answer
                } else if errno != EINTR {
                    throw .system(call: "getrandom", errno: errno)
                }
            }
        }
    }

    /// An array of `count` random bytes; for secrets use ``secret(count:)``.
    package static func bytes(count: Int) throws(CryptographyError) -> [UInt8] {
        try unsafe [UInt8](unsafeUninitializedCapacity: count) {
            (buffer, initialisedCount) throws(CryptographyError) in
            var output = unsafe OutputRawSpan(
                buffer: UnsafeMutableRawBufferPointer(
                    rebasing: UnsafeMutableRawBufferPointer(buffer)[..<count]),
                initializedCount: 0)
            try Self.fill(&output)
            initialisedCount = output.byteCount
        }
    }

    /// Replaces the bytes of `array` in `range` by random ones, with one system call.
    package static func fill(
        _ array: inout [UInt8], in range: Range<Int>
    ) throws(CryptographyError) {
        precondition(array.indices.contains(range), "the range lies inside the array")
        // A result, because the closure's errors have no type.
        let outcome = unsafe array.withUnsafeMutableBytes { buffer in
            Result { () throws(CryptographyError) in
                var output = unsafe OutputRawSpan(
                    buffer: UnsafeMutableRawBufferPointer(rebasing: buffer[range]),
                    initializedCount: 0)
                try Self.fill(&output)
            }
        }
        try outcome.get()
    }

    /// A new secret of `count` random bytes.
    package static func secret(count: Int) throws(CryptographyError) -> SecretBytes {
        try SecretBytes(count: count, filledBy: Self.fill)
    }
}
