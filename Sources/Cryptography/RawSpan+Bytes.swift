extension RawSpan {
    /// The byte at `index`, which must lie inside.
    subscript(byte index: Int) -> UInt8 {
        precondition(index >= 0 && index < self.byteCount, "the byte lies inside the span")
        return unsafe self.unsafeLoad(fromByteOffset: index, as: UInt8.self)
    }

    /// A copy of the bytes; not for secrets.
    var array: [UInt8] {
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
}
