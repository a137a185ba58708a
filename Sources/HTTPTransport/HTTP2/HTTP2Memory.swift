internal import CNghttp2
internal import Glibc

/// Memory for nghttp2's objects: what it gives back is kept for the next one of that size.
///
/// A stream costs nghttp2 a dozen allocations. The C library keeps seven blocks of a size at hand,
/// while one turn of the loop opens and closes many more streams than that. Loop-bound, so that no
/// lock is needed; must outlive the sessions that use it.
///
/// Before each block stand 16 bytes with its size in units of 16 bytes, zero where it is larger than
/// what is kept.
@safe final class HTTP2Memory {
    /// The bytes that are kept, and from the second word on the first kept block of each size; a kept
    /// block begins with the address of the next.
    private let table: UnsafeMutablePointer<UInt>

    init() {
        unsafe self.table = .allocate(capacity: Self.largestUnits + 1)
        unsafe self.table.initialize(repeating: 0, count: Self.largestUnits + 1)
    }

    deinit {
        for units in 1...Self.largestUnits {
            var next = unsafe self.table[units]
            while let block = unsafe UnsafeMutableRawPointer(bitPattern: next) {
                unsafe next = block.load(as: UInt.self)
                unsafe Glibc.free(block - Self.headerBytes)
            }
        }
        unsafe self.table.deallocate()
    }

    /// Bytes that are kept, without what stands before the blocks.
    var keptBytes: Int { Int(unsafe self.table[0]) }

    /// What a session is made with.
    @unsafe var functions: nghttp2_mem {
        unsafe nghttp2_mem(
            mem_user_data: self.table,
            malloc: { count, table in unsafe HTTP2Memory.allocate(count, table) },
            free: { block, table in unsafe HTTP2Memory.free(block, table) },
            calloc: { count, size, table in
                let (bytes, isTooMuch) = count.multipliedReportingOverflow(by: size)
                guard !isTooMuch, let block = unsafe HTTP2Memory.allocate(bytes, table) else {
                    return nil
                }
                return unsafe memset(block, 0, bytes)
            },
            realloc: { block, count, table in
                unsafe HTTP2Memory.reallocate(block, count, table)
            })
    }

    @unsafe private static func allocate(
        _ count: Int, _ memory: UnsafeMutableRawPointer?
    ) -> UnsafeMutableRawPointer? {
        guard let table = unsafe memory?.assumingMemoryBound(to: UInt.self) else { return nil }
        let units = max(1, (count &+ 15) >> 4)
        guard units <= self.largestUnits else { return unsafe self.make(count, units: 0) }
        guard let block = unsafe UnsafeMutableRawPointer(bitPattern: table[units]) else {
            return unsafe self.make(units << 4, units: units)
        }
        unsafe table[units] = block.load(as: UInt.self)
        unsafe table[0] &-= UInt(units) << 4
        return unsafe block
    }

    @unsafe private static func make(_ count: Int, units: Int) -> UnsafeMutableRawPointer? {
        guard let start = unsafe malloc(count + self.headerBytes) else { return nil }
        unsafe start.storeBytes(of: units, as: Int.self)
        return unsafe start + self.headerBytes
    }

    @unsafe private static func free(
        _ block: UnsafeMutableRawPointer?, _ memory: UnsafeMutableRawPointer?
    ) {
        guard let block = unsafe block,
            let table = unsafe memory?.assumingMemoryBound(to: UInt.self)
        else { return }
        let start = unsafe block - self.headerBytes
        let units = unsafe start.load(as: Int.self)
        guard units > 0, unsafe table[0] < self.maximumKeptBytes else {
            unsafe Glibc.free(start)
            return
        }
        unsafe block.storeBytes(of: table[units], as: UInt.self)
        unsafe table[units] = UInt(bitPattern: block)
        unsafe table[0] &+= UInt(units) << 4
    }

    @unsafe private static func reallocate(
        _ block: UnsafeMutableRawPointer?, _ count: Int, _ memory: UnsafeMutableRawPointer?
    ) -> UnsafeMutableRawPointer? {
        guard let block = unsafe block else { return unsafe self.allocate(count, memory) }
        let start = unsafe block - self.headerBytes
        let held = unsafe start.load(as: Int.self) << 4
        guard held > 0 else {
            guard let larger = unsafe realloc(start, count + self.headerBytes) else { return nil }
            return unsafe larger + self.headerBytes
        }
        guard count > held else { return unsafe block }
        guard let larger = unsafe self.allocate(count, memory) else { return nil }
        unsafe memcpy(larger, block, held)
        unsafe self.free(block, memory)
        return unsafe larger
    }

    private static let headerBytes = 16
    /// 1 KiB: nghttp2's larger blocks live as long as a session.
    private static let largestUnits = 64
    /// 1 MiB: some thousand streams.
    private static let maximumKeptBytes: UInt = 1 << 20
}
