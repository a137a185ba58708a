internal import Cryptography

/// A fast generator for what need not be secret: traffic shares, request ids, jitter.
///
/// xoshiro256** (Blackman and Vigna, 2018), seeded from the system once a worker: a system call per
/// request id would cost more than the rest of the id. Never for keys, nonces or tokens.
struct FastRandom: RandomNumberGenerator {
    private var state: (UInt64, UInt64, UInt64, UInt64)

    init() {
        var system = SystemRandomNumberGenerator()
        self.state = (system.next() | 1, system.next(), system.next(), system.next())
    }

    mutating func next() -> UInt64 {
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
struct UUIDText {
    private(set) var bytes: InlineArray<36, UInt8>

    init(random: inout FastRandom) {
        var high = random.next()
        var low = random.next()
        high = (high & 0xffff_ffff_ffff_0fff) | 0x4000
        low = (low & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000
        var bytes = InlineArray<36, UInt8>(repeating: UInt8(ascii: "-"))
        var place = 35
        for digit in 0..<32 {
            if place == 8 || place == 13 || place == 18 || place == 23 { place -= 1 }
            let nibble = UInt8(truncatingIfNeeded: (digit < 16 ? low : high) & 15)
            bytes[place] = nibble < 10 ? 48 &+ nibble : 87 &+ nibble
            place -= 1
            if digit < 16 { low >>= 4 } else { high >>= 4 }
        }
        self.bytes = bytes
    }
}
