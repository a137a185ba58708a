extension RawSpan {
    /// The byte at `index`, which must lie inside.
    @inlinable @inline(__always)
    package func byte(at index: Int) -> UInt8 {
        precondition(index >= 0 && index < self.byteCount, "the byte lies inside the span")
        return unsafe self.unsafeLoad(fromByteOffset: index, as: UInt8.self)
    }
}
