internal import COpenSSL

/// Comparison of secrets in a time that depends on their length alone.
package enum ConstantTime {
    /// Whether both spans have the same bytes.
    ///
    /// Spans of unequal length are unequal at once.
    package static func equal(_ first: RawSpan, _ second: RawSpan) -> Bool {
        guard first.byteCount == second.byteCount else { return false }
        return unsafe first.withUnsafeBytes { first in
            unsafe second.withUnsafeBytes { second in
                unsafe CRYPTO_memcmp(first.baseAddress, second.baseAddress, first.count) == 0
            }
        }
    }

    /// Whether both digests have the same bytes.
    package static func equal(_ first: Digest32, _ second: Digest32) -> Bool {
        self.difference(first, second) == 0
    }

    /// Whether any of `candidates` equals `digest`; all are compared, wherever one matches.
    package static func contains(_ candidates: Span<Digest32>, _ digest: Digest32) -> Bool {
        var matches = 0
        for index in candidates.indices {
            matches |= self.difference(candidates[index], digest) == 0 ? 1 : 0
        }
        return matches != 0
    }

    /// Overwrites `bytes` with zeros, in a way that the compiler does not leave out.
    package static func wipe<let count: Int>(_ bytes: inout [count of UInt8]) {
        var span = bytes.mutableSpan
        unsafe span.withUnsafeMutableBytes { unsafe OPENSSL_cleanse($0.baseAddress, $0.count) }
    }

    private static func difference(_ first: Digest32, _ second: Digest32) -> Int32 {
        unsafe withUnsafeBytes(of: first.words) { first in
            unsafe withUnsafeBytes(of: second.words) { second in
                unsafe CRYPTO_memcmp(first.baseAddress, second.baseAddress, Digest32.byteCount)
            }
        }
    }
}
