package import NIOCore

/// Writes pieces one after the other into room that was asked for once.
///
/// A head has dozens of pieces; to ask a ByteBuffer for each of them whether it has room, and the
/// only reference to its memory, costs more than to copy them. Lives for the length of one
/// ``NIOCore/ByteBuffer/write(atMost:_:)``; writing more than was asked for stops the process.
@safe @usableFromInline package struct ByteWriter: ~Copyable {
    @usableFromInline let start: UnsafeMutableRawPointer
    @usableFromInline let room: Int
    /// Bytes written so far.
    @usableFromInline package var count = 0

    @usableFromInline init(_ start: UnsafeMutableRawPointer, room: Int) {
        unsafe self.start = unsafe start
        self.room = room
    }

    @inlinable @inline(__always)
    mutating func append(_ source: UnsafeRawPointer, _ bytes: Int) {
        precondition(bytes <= self.room &- self.count, "more written than was asked for")
        unsafe (self.start + self.count).copyMemory(from: source, byteCount: bytes)
        self.count &+= bytes
    }

    /// Appends a literal.
    @inlinable @inline(__always)
    package mutating func append(_ text: StaticString) {
        unsafe self.append(text.utf8Start, text.utf8CodeUnitCount)
    }

    /// Appends `bytes`.
    @inlinable @inline(__always)
    package mutating func append(_ bytes: Span<UInt8>) {
        guard !bytes.isEmpty else { return }
        unsafe bytes.withUnsafeBytes { source in
            guard let base = source.baseAddress else { return }
            unsafe self.append(base, source.count)
        }
    }

    /// Appends `bytes`, for instance of a secret.
    package mutating func append(_ bytes: RawSpan) {
        guard bytes.byteCount > 0 else { return }
        unsafe bytes.withUnsafeBytes { source in
            guard let base = source.baseAddress else { return }
            unsafe self.append(base, source.count)
        }
    }

    /// Appends the bytes of `buffer`.
    package mutating func append(_ buffer: ByteBuffer) {
        self.append(buffer.readableBytesUInt8Span)
    }

    /// Appends `text`; named, so that a literal is never taken for a String.
    package mutating func append(utf8 text: String) {
        for byte in text.utf8 { self.append(byte) }
    }

    /// Appends the bytes of `word`, the lowest first.
    @inlinable @inline(__always)
    package mutating func append<Word: FixedWidthInteger & BitwiseCopyable>(_ word: Word) {
        var word = word.littleEndian
        unsafe withUnsafeBytes(of: &word) { source in
            guard let base = source.baseAddress else { return }
            unsafe self.append(base, source.count)
        }
    }

    /// Appends `number`, which is not negative, in decimal: at most 19 digits.
    package mutating func append(decimal number: Int) {
        precondition(number >= 0, "a length or status is not negative")
        if number < 10 { return self.append(ASCII.zero &+ UInt8(truncatingIfNeeded: number)) }
        // From the last digit, eight to a word, which then has the first of them lowest.
        var rest = number
        var digits: UInt64 = 0
        var count = 0
        repeat {
            let (quotient, remainder) = rest.quotientAndRemainder(dividingBy: 10)
            digits = digits &<< 8 | UInt64(0x30 &+ remainder)
            rest = quotient
            count &+= 1
        } while rest > 0 && count < 8
        if rest > 0 { self.append(decimal: rest) }
        for _ in 0..<count {
            self.append(UInt8(truncatingIfNeeded: digits))
            digits &>>= 8
        }
    }
}

extension ByteBuffer {
    /// Lets `body` write up to `room` bytes at the end.
    package mutating func write(atMost room: Int, _ body: (inout ByteWriter) -> Void) {
        unsafe self.writeWithUnsafeMutableBytes(minimumWritableBytes: max(room, 1)) { window in
            guard let base = window.baseAddress else { return 0 }
            var writer = unsafe ByteWriter(base, room: window.count)
            body(&writer)
            return writer.count
        }
    }
}
