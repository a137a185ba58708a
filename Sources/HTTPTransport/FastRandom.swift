/// A fast generator for what need not be secret: traffic shares, request ids, jitter.
///
/// xoshiro256** (Blackman and Vigna, 2018), seeded from the system once a worker: a system call per
/// request id would cost more than the rest of the id. Never for keys, nonces or tokens.
package struct FastRandom: RandomNumberGenerator {
    private var state: (UInt64, UInt64, UInt64, UInt64)

    /// A generator with a seed of its own.
    package init() {
        var system = SystemRandomNumberGenerator()
        self.state = (system.next() | 1, system.next(), system.next(), system.next())
    }

    /// The next 64 bits.
    package mutating func next() -> UInt64 {
        let product = self.state.1 &* 5
        let result = ((product << 7) | (product >> 57)) &* 9
        let shifted = self.state.1 << 17
        self.state.2 ^= self.state.0
        self.state.3 ^= self.state.1
        self.state.1 ^= self.state.2
        self.state.0 ^= self.state.3
        self.state.2 ^= shifted
        self.state.3 = (self.state.3 << 45) | (self.state.3 >> 19)
        return result
    }
}

/// The 36 characters of a version 4 UUID (RFC 9562 section 5.4).
package struct UUIDText {
    /// The first eight bytes.
    package let high: UInt64
    /// The last eight.
    package let low: UInt64

    /// A new one.
    package init(random: inout FastRandom) {
        self.high = (random.next() & 0xffff_ffff_ffff_0fff) | 0x4000
        self.low = (random.next() & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000
    }

    /// How many characters the text has.
    package static let byteCount = 36

    /// Appends the 36 characters.
    package func write(to output: inout ByteWriter) {
        let second = Self.digits(UInt32(truncatingIfNeeded: self.high))
        let third = Self.digits(UInt32(truncatingIfNeeded: self.low >> 32))
        output.append(Self.digits(UInt32(truncatingIfNeeded: self.high >> 32)))
        output.append("-")
        output.append(UInt32(truncatingIfNeeded: second))
        output.append("-")
        output.append(UInt32(truncatingIfNeeded: second >> 32))
        output.append("-")
        output.append(UInt32(truncatingIfNeeded: third))
        output.append("-")
        output.append(UInt32(truncatingIfNeeded: third >> 32))
        output.append(Self.digits(UInt32(truncatingIfNeeded: self.low)))
    }

    /// Eight hexadecimal digits, the most significant in the lowest byte: all at once, a byte each.
    private static func digits(_ number: UInt32) -> UInt64 {
        // Nibbles apart, the first of them lowest.
        var word = UInt64(number.byteSwapped)
        word = (word | word << 16) & 0x0000_ffff_0000_ffff
        word = (word | word << 8) & 0x00ff_00ff_00ff_00ff
        word = ((word >> 4) | (word << 8)) & 0x0f0f_0f0f_0f0f_0f0f
        // 6 more than 9 carries into bit 4: those are letters, 39 characters further on.
        let letters = ((word &+ 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101
        return word &+ 0x3030_3030_3030_3030 &+ letters &* 39
    }
}
