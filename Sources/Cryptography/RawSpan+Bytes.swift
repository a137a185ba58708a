extension RawSpan {
    /// The byte at `index`, which must lie inside.
    package subscript(byte index: Int) -> UInt8 {
        precondition(index >= 0 && index < self.byteCount, "the byte lies inside the span")
        return unsafe self.unsafeLoad(fromByteOffset: index, as: UInt8.self)
    }

    /// The big-endian integer at `offset`; its bytes must lie inside.
    @inlinable
    package func bigEndian<Number: FixedWidthInteger & BitwiseCopyable>(
        _ type: Number.Type, at offset: Int
    ) -> Number {
        precondition(
            offset >= 0 && offset <= self.byteCount - MemoryLayout<Number>.size,
            "the integer lies inside the span")
        return unsafe Number(
            bigEndian: self.unsafeLoadUnaligned(fromByteOffset: offset, as: Number.self))
    }

    /// A copy of the bytes; not for secrets.
    package var array: [UInt8] {
        unsafe self.withUnsafeBytes { unsafe Array($0) }
    }
}

extension [UInt8] {
    /// The array's bytes, for as long as it is borrowed.
    package var rawSpan: RawSpan {
        @_lifetime(borrow self)
        get {
            // Unsafe only for element types with padding, which bytes do not have.
            unsafe _overrideLifetime(self.span.bytes, borrowing: self)
        }
    }

    /// Appends a copy of `bytes`.
    @inlinable
    package mutating func append(_ bytes: RawSpan) {
        unsafe self.append(count: bytes.byteCount) { target in
            unsafe bytes.withUnsafeBytes { unsafe target.copyMemory(from: $0) }
        }
    }

    /// Appends `count` bytes, all of which `body` must write.
    @inlinable
    package mutating func append(count: Int, _ body: (UnsafeMutableRawBufferPointer) -> Void) {
        self.append(addingCapacity: count) { output in
            unsafe output.withUnsafeMutableBufferPointer { buffer, initialized in
                unsafe body(
                    UnsafeMutableRawBufferPointer(
                        start: buffer.baseAddress.map { unsafe $0 + initialized }, count: count))
                initialized += count
            }
        }
    }

    /// Appends `number`, big-endian.
    @inlinable
    package mutating func append(bigEndian number: some FixedWidthInteger & BitwiseCopyable) {
        unsafe self.append(count: number.bitWidth / 8) {
            unsafe $0.storeBytes(of: number.bigEndian, as: type(of: number))
        }
    }

    /// Replaces the bytes from `offset` on by `number`, big-endian; they must be there.
    @inlinable
    package mutating func replace(
        at offset: Int, withBigEndian number: some FixedWidthInteger & BitwiseCopyable
    ) {
        unsafe Swift.withUnsafeBytes(of: number.bigEndian) { number in
            precondition(
                offset >= 0 && offset <= self.count - number.count,
                "the integer lies inside the array")
            unsafe self.withUnsafeMutableBytes {
                unsafe UnsafeMutableRawBufferPointer(rebasing: $0[offset...]).copyMemory(
                    from: number)
            }
        }
    }

    /// Replaces the bytes from `offset` on by a copy of `bytes`; they must be there.
    package mutating func replace(at offset: Int, with bytes: RawSpan) {
        precondition(
            offset >= 0 && offset <= self.count - bytes.byteCount,
            "the bytes lie inside the array")
        guard bytes.byteCount > 0 else { return }
        unsafe bytes.withUnsafeBytes { bytes in
            unsafe self.withUnsafeMutableBytes {
                unsafe UnsafeMutableRawBufferPointer(rebasing: $0[offset...]).copyMemory(
                    from: bytes)
            }
        }
    }

    /// Gives the array `count` bytes, of which those beyond the present ones are zero; keeps its
    /// memory.
    package mutating func setCount(_ count: Int) {
        if count <= self.count {
            self.removeLast(self.count - count)
        } else {
            self.append(contentsOf: repeatElement(0, count: count - self.count))
        }
    }
}
