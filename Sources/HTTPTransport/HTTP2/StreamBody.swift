internal import NIOCore

/// What of a body waits to leave in DATA frames.
///
/// Small pieces are copied, so that they do not hold on to the buffer they were read into, which all
/// connections of a loop share; large ones are kept as they are. A buffer of copies is filled once
/// and freed when it is empty: one that is always written to and never empty would grow for ever.
struct StreamBody {
    /// Copied bytes; these leave before ``pieces``.
    private(set) var first = ByteBuffer()
    private(set) var pieces = CircularBuffer<ByteBuffer>(initialCapacity: 2)
    /// Whether the last piece is a copy of ours, to which more can be added.
    private var isLastOurs = false
    /// How many bytes wait.
    private(set) var count = 0

    /// Adds a piece of the body.
    mutating func append(_ bytes: ByteBuffer) {
        let added = bytes.readableBytes
        self.count += added
        if added >= Self.copiedBytes {
            self.pieces.append(bytes)
            self.isLastOurs = false
        } else if self.pieces.isEmpty, self.first.writerIndex + added <= Self.copiedBytes {
            self.first.writeImmutableBuffer(bytes)
        } else if self.isLastOurs,
            self.pieces[offset: self.pieces.count - 1].writerIndex + added <= Self.copiedBytes
        {
            self.pieces[offset: self.pieces.count - 1].writeImmutableBuffer(bytes)
        } else {
            var copy = ByteBufferAllocator().buffer(capacity: Self.copiedBytes)
            copy.writeImmutableBuffer(bytes)
            self.pieces.append(copy)
            self.isLastOurs = true
        }
    }

    /// Moves the next `count` bytes, which must be there, to the end of `output`.
    mutating func move(_ count: Int, to output: inout ByteBuffer) {
        precondition(count <= self.count, "more of a body than there is")
        self.count -= count
        var missing = count
        if self.first.readableBytes > 0 {
            missing -= Self.move(missing, from: &self.first, to: &output)
            if self.first.readableBytes == 0 { self.first.clear() }
        }
        while missing > 0 {
            missing -= Self.move(missing, from: &self.pieces[offset: 0], to: &output)
            if self.pieces[offset: 0].readableBytes == 0 { self.pieces.removeFirst() }
        }
        if self.pieces.isEmpty { self.isLastOurs = false }
    }

    /// Forgets what waits; keeps memory for a small body.
    mutating func reset() {
        self.count = 0
        self.isLastOurs = false
        if !self.pieces.isEmpty { self.pieces.removeAll() }
        if self.first.capacity > Self.copiedBytes {
            self.first = ByteBuffer()
        } else {
            self.first.clear()
        }
    }

    private static func move(
        _ count: Int, from piece: inout ByteBuffer, to output: inout ByteBuffer
    ) -> Int {
        let moved = min(count, piece.readableBytes)
        output.writeBytes(piece.readableBytesSpan.extracting(first: moved))
        piece.moveReaderIndex(forwardBy: moved)
        return moved
    }

    /// 8 KiB: a larger piece is worth the buffer it holds.
    private static let copiedBytes = 8192
}
