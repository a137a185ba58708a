/// The Huffman code of HPACK (RFC 7541, 5.2 and appendix B), for reading; we write none.
///
/// The code is canonical: the codes of one length follow each other in the order of their symbols,
/// so the lengths say everything. A window of ten bits finds all printable text but a few signs.
final class HPACKHuffman: Sendable {
    /// By the next ten bits: the symbol, and above it how long its code is; zero for longer codes.
    private let short: InlineArray<1024, UInt16>
    /// By length: the end of the codes that are no longer, aligned to 30 bits.
    private let limits: InlineArray<31, UInt32>
    /// By length: what, added to a code of this length, is the place of its symbol in ``symbols``.
    private let offsets: InlineArray<31, Int32>
    /// All symbols, those with shorter codes first; 256 is the end of the string.
    private let symbols: [UInt16]

    /// The code; made once.
    static let standard = HPACKHuffman()

    private init() {
        var short = InlineArray<1024, UInt16>(repeating: 0)
        var limits = InlineArray<31, UInt32>(repeating: 0)
        var offsets = InlineArray<31, Int32>(repeating: 0)
        var symbols: [UInt16] = []
        var code: UInt32 = 0
        for length in 1...30 {
            code <<= 1
            offsets[length] = Int32(symbols.count) - Int32(code)
            for symbol in 0..<Self.lengths.count where Self.lengths[symbol] == length {
                if length <= Self.windowBits {
                    let count = 1 << (Self.windowBits - length)
                    let first = Int(code) * count
                    for window in first..<(first + count) {
                        short[window] = UInt16(length) << 8 | UInt16(symbol)
                    }
                }
                symbols.append(UInt16(symbol))
                code += 1
            }
            limits[length] = code << UInt32(30 - length)
        }
        self.short = short
        self.limits = limits
        self.offsets = offsets
        self.symbols = symbols
    }

    /// How long what `bytes` encoded bytes stand for is at most: the shortest codes have five bits.
    static func decodedBytes(_ bytes: Int) -> Int { bytes * 8 / 5 }

    /// Decodes `source` into the memory at `target`, which has room for
    /// ``decodedBytes(_:)`` of its length.
    ///
    /// - Returns: How many bytes it stands for; nil where it is no such string: padding of more than
    ///   seven bits or with a zero in it, or the end of the string spelled out.
    @unsafe func decode(_ source: Span<UInt8>, to target: UnsafeMutablePointer<UInt8>) -> Int? {
        var count = 0
        // The next bits of the source are the lowest `available` ones.
        var bits: UInt64 = 0
        var available = 0
        var index = 0
        while true {
            if available < 30 {
                if index &+ 4 <= source.count {
                    let word = unsafe source.bytes.unsafeLoadUnaligned(
                        fromByteOffset: index, as: UInt32.self)
                    bits = bits &<< 32 | UInt64(UInt32(bigEndian: word))
                    available &+= 32
                    index &+= 4
                } else {
                    while index < source.count {
                        bits = bits &<< 8 | UInt64(source[index])
                        available &+= 8
                        index &+= 1
                    }
                }
            }
            // Ones after the end, as padding is.
            let window =
                available >= Self.windowBits
                ? Int(truncatingIfNeeded: bits &>> UInt64(available &- Self.windowBits)) & 1023
                : Int(truncatingIfNeeded: ~(~bits &<< UInt64(Self.windowBits &- available))) & 1023
            let entry = self.short[window]
            let length = Int(entry &>> 8)
            if length == 0 {
                guard let (symbol, length) = self.longCode(bits, available), symbol < 256 else {
                    return available < 8 && Self.isPadding(bits, available) ? count : nil
                }
                unsafe target[count] = UInt8(truncatingIfNeeded: symbol)
                available &-= length
            } else {
                guard length <= available else {
                    return available < 8 && Self.isPadding(bits, available) ? count : nil
                }
                unsafe target[count] = UInt8(truncatingIfNeeded: entry)
                available &-= length
            }
            count &+= 1
        }
    }

    /// The symbol of a code that is longer than the window; nil if there are too few bits for it.
    private func longCode(_ bits: UInt64, _ available: Int) -> (symbol: UInt16, length: Int)? {
        let aligned =
            available >= 30
            ? UInt32(truncatingIfNeeded: bits &>> UInt64(available &- 30)) & 0x3fff_ffff
            : UInt32(truncatingIfNeeded: bits &<< UInt64(30 &- available)) & 0x3fff_ffff
        for length in (Self.windowBits + 1)...30 where aligned < self.limits[length] {
            guard length <= available else { return nil }
            let code = Int32(aligned &>> UInt32(30 &- length))
            return (self.symbols[Int(code &+ self.offsets[length])], length)
        }
        return nil
    }

    private static func isPadding(_ bits: UInt64, _ available: Int) -> Bool {
        let mask: UInt64 = (1 &<< UInt64(available)) &- 1
        return bits & mask == mask
    }

    private static let windowBits = 10

    /// By symbol: how many bits its code has.
    private static let lengths: [UInt8] = [
        13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
        28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
        6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
        5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
        13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
        7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
        15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
        6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
        20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
        24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
        22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
        21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
        26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
        19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
        20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
        26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
        30,
    ]
}
