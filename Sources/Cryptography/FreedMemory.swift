internal import COpenSSL

/// What becomes of memory that is freed.
package enum FreedMemory {
    /// Keeps up to 64 MiB of it for what is allocated next (mallopt(3)).
    ///
    /// For a process that goes through much data in pieces of about a megabyte and ends: giving each back
    /// to the kernel, which clears it and maps it anew, takes as long as decrypting it.
    package static func keep() {
        _ = mallopt(M_TRIM_THRESHOLD, self.keptBytes)
        // Larger pieces than 32 MiB, the most there can be, are still mapped by themselves.
        _ = mallopt(M_MMAP_THRESHOLD, self.keptBytes / 2)
    }

    private static let keptBytes: Int32 = 67_108_864
}
