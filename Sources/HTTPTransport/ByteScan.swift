internal import NIOCore

/// What ``Swift/Span/scanLine(from:)`` found.
enum LineScan {
    /// A whole line: the index of its CR, which LF follows.
    case line(end: Int)
    /// The line is not complete; the next scan may start at this index.
    case needMore(scanned: Int)
    /// A byte that no line may hold: a control byte, CR without LF, LF without CR.
    case invalid
}

// Eight bytes at a time, little-endian: the byte at the lowest address is the lowest eight bits.
extension Span<UInt8> {
    /// The eight bytes from `index` on, which must all be inside.
    @inline(__always)
    func word(at index: Int) -> UInt64 {
        // Any bit pattern is a valid UInt64, and the load itself checks the bounds.
        unsafe UInt64(
            littleEndian: self.bytes.unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self))
    }

    /// The `length` (at most eight) bytes from `index` on, zeros above them.
    @inline(__always)
    func word(at index: Int, length: Int) -> UInt64 {
        guard length < 8 else { return self.word(at: index) }
        if index + 8 <= self.count {
            return self.word(at: index) & ((1 &<< UInt64(length &* 8)) &- 1)
        }
        let end = index &+ length
        if end >= 8, length > 0 {
            // The eight bytes that end there, without those before.
            return self.word(at: end &- 8) &>> UInt64(64 &- length &* 8)
        }
        var word: UInt64 = 0
        for offset in 0..<length {
            word |= UInt64(self[index + offset]) &<< UInt64(offset &* 8)
        }
        return word
    }

    /// Finds the CRLF that ends the line, refusing control bytes other than HTAB on the way.
    ///
    /// - Parameter start: Where to start: the line's first byte, or what `.needMore` said.
    /// - Returns: Where the line ends, or why that is not known.
    @inline(__always)
    func scanLine(from start: Int) -> LineScan {
        var index = start
        let count = self.count
        while true {
            while index &+ 8 <= count {
                let word = self.word(at: index)
                // Highest bit of each byte that is below 0x20 or is 0x7F. A borrow can mark a byte
                // wrongly only above one marked rightly, and the lowest mark is what is used.
                let controls = (word &- 0x2020_2020_2020_2020) & ~word
                let others = word ^ 0x7f7f_7f7f_7f7f_7f7f
                let deletes = (others &- 0x0101_0101_0101_0101) & ~others
                let marks = (controls | deletes) & 0x8080_8080_8080_8080
                if marks != 0 {
                    index &+= marks.trailingZeroBitCount &>> 3
                    break
                }
                index &+= 8
            }
            while index < count, self[index] >= 0x20, self[index] != 0x7f { index &+= 1 }
            guard index < count else { return .needMore(scanned: count) }
            switch self[index] {
            case ASCII.carriageReturn:
                guard index &+ 1 < count else { return .needMore(scanned: index) }
                return self[index &+ 1] == ASCII.lineFeed ? .line(end: index) : .invalid
            case ASCII.tab:
                index &+= 1
            default:
                return .invalid
            }
        }
    }

    /// Whether these bytes may be a field's value: no control bytes but HTAB, no blanks at the ends
    /// (RFC 9113 8.2.1).
    @inline(__always)
    var isFieldValue: Bool {
        guard !self.isEmpty else { return true }
        let last = self[self.count &- 1]
        guard self[0] != ASCII.space, self[0] != ASCII.tab, last != ASCII.space, last != ASCII.tab
        else { return false }
        var index = 0
        while index < self.count {
            let length = Swift.min(8, self.count &- index)
            // What is missing of the last word is as good as spaces.
            let word =
                length == 8
                ? self.word(at: index)
                : self.word(at: index, length: length)
                    | (0x2020_2020_2020_2020 &<< UInt64(length &* 8))
            let controls = (word &- 0x2020_2020_2020_2020) & ~word
            let others = word ^ 0x7f7f_7f7f_7f7f_7f7f
            let deletes = (others &- 0x0101_0101_0101_0101) & ~others
            if (controls | deletes) & 0x8080_8080_8080_8080 != 0 {
                // HTAB, or a byte marked for the sake of one below it: byte by byte.
                for place in index..<(index &+ length) {
                    let byte = self[place]
                    guard byte >= 0x20 && byte != 0x7f || byte == ASCII.tab else { return false }
                }
            }
            index &+= 8
        }
        return true
    }

    /// Whether these bytes are exactly those of `literal`.
    @inline(__always)
    func isExactly(_ literal: StaticString) -> Bool {
        guard self.count == literal.utf8CodeUnitCount else { return false }
        var index = 0
        while index < self.count {
            let length = Swift.min(8, self.count &- index)
            guard self.word(at: index, length: length) == literal.word(at: index) else {
                return false
            }
            index &+= 8
        }
        return true
    }

    /// Whether bit 5 of each byte is set, as it is in lower-case letters, digits and `-`, and is not in
    /// the letters and the control byte that it turns into those.
    @inline(__always)
    var isLowered: Bool {
        var bits = caseBits
        var index = 0
        while index < self.count {
            let length = Swift.min(8, self.count &- index)
            let word = self.word(at: index, length: length)
            bits &= length == 8 ? word : word | (caseBits &<< UInt64(length &* 8))
            index &+= 8
        }
        return bits == caseBits
    }

    /// Skips letters, digits and `-` from `start` on, eight bytes at a time.
    ///
    /// - Returns: The index of the first other byte, or of fewer than eight bytes that were not looked at.
    @inline(__always)
    func skipWordsOfNameBytes(from start: Int) -> Int {
        var index = start
        while index &+ 8 <= self.count {
            let word = self.word(at: index)
            let lowered = word | caseBits
            // Adding 0x80 - n to a byte below 0x80 sets its highest bit where the byte is n or more.
            // A byte from 0x80 on may spoil those above it, and is marked itself.
            let letters =
                (lowered &+ 0x1f1f_1f1f_1f1f_1f1f) & ~(lowered &+ 0x0505_0505_0505_0505)
            let digits = (word &+ 0x5050_5050_5050_5050) & ~(word &+ 0x4646_4646_4646_4646)
            let dashes = ~((word ^ 0x2d2d_2d2d_2d2d_2d2d) &+ 0x7f7f_7f7f_7f7f_7f7f)
            let others = (~(letters | digits | dashes) | word) & 0x8080_8080_8080_8080
            if others != 0 { return index &+ (others.trailingZeroBitCount &>> 3) }
            index &+= 8
        }
        return index
    }

    /// Whether the bytes in `range` are those of `literal`, which is lower case, in any case.
    ///
    /// `literal` must be letters, digits and `-`, and `range` must hold token bytes only: for those,
    /// setting bit 5 is lowering the case.
    @inline(__always)
    package func isName(_ literal: StaticString, start: Int, length: Int) -> Bool {
        guard length == literal.utf8CodeUnitCount else { return false }
        var index = 0
        while index &+ 8 <= length {
            guard self.word(at: start &+ index) | caseBits == literal.word(at: index) else {
                return false
            }
            index &+= 8
        }
        guard index < length else { return true }
        let rest = length &- index
        let mask: UInt64 = (1 &<< UInt64(rest &* 8)) &- 1
        return (self.word(at: start &+ index, length: rest) | caseBits) & mask
            == literal.word(at: index) & mask
    }
}

extension ByteBuffer {
    /// Appends `bytes`.
    @inline(__always)
    mutating func append(_ bytes: Span<UInt8>) {
        // A byte has no padding that reading it raw could show.
        self.writeBytes(unsafe bytes.bytes)
    }
}

extension StaticString {
    /// The eight bytes from `index` on, zeros after the end: a constant once inlined.
    @inline(__always)
    func word(at index: Int) -> UInt64 {
        var word: UInt64 = 0
        var offset = 0
        while offset < 8, index &+ offset < self.utf8CodeUnitCount {
            // Inside the literal, by the condition of the loop.
            let byte = unsafe self.utf8Start[index &+ offset]
            word |= UInt64(byte) &<< UInt64(offset &* 8)
            offset &+= 1
        }
        return word
    }
}

/// Bit 5 of each byte.
private let caseBits: UInt64 = 0x2020_2020_2020_2020

/// The bytes that HTTP/1.1 gives a meaning.
enum ASCII {
    static var tab: UInt8 { 0x09 }
    static var lineFeed: UInt8 { 0x0a }
    static var carriageReturn: UInt8 { 0x0d }
    static var space: UInt8 { 0x20 }
    static var colon: UInt8 { 0x3a }
    static var comma: UInt8 { 0x2c }
    static var semicolon: UInt8 { 0x3b }
    static var slash: UInt8 { 0x2f }
    static var percent: UInt8 { 0x25 }
    static var question: UInt8 { 0x3f }
    static var zero: UInt8 { 0x30 }

    /// The value of a hexadecimal digit, nil for any other byte.
    @inline(__always)
    static func hexadecimalValue(_ byte: UInt8) -> UInt8? {
        let digit = byte &- 0x30
        if digit < 10 { return digit }
        let letter = (byte | 0x20) &- 0x61
        return letter < 6 ? letter &+ 10 : nil
    }

    /// `byte`, or the lower-case letter where it is an upper-case one.
    @inline(__always)
    static func lowered(_ byte: UInt8) -> UInt8 { byte &- 0x41 < 26 ? byte | 0x20 : byte }

    /// Whether `byte` is a decimal digit.
    @inline(__always)
    static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }
}
