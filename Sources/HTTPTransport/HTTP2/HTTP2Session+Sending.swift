internal import NIOCore

// What we send.
extension HTTP2Session {
    /// Appends what is to be sent to `output`, frame by frame, until there is no more or there are
    /// about `limit` bytes.
    ///
    /// - Returns: Whether there may be more.
    func drain(into output: inout ByteBuffer, limit: Int) -> Bool {
        while self.hasOwner {
            if self.frames.readableBytes > 0 || !self.departures.isEmpty {
                self.moveFrames(to: &output)
                continue
            }
            guard let stream = self.ready.first else { return false }
            guard output.readableBytes < limit else { return true }
            self.ready.removeFirst()
            if stream.isReady { self.sendBody(of: stream, to: &output) }
        }
        return false
    }

    private func moveFrames(to output: inout ByteBuffer) {
        if output.readableBytes == 0 {
            swap(&output, &self.frames)
        } else {
            output.writeImmutableBuffer(self.frames)
        }
        var empty = ByteBuffer()
        swap(&empty, &self.frames)
        self.loop.reclaim(empty)
        self.queuedAcknowledgements = 0
        guard !self.departures.isEmpty else { return }
        var departures: [Departure] = []
        swap(&departures, &self.departures)
        for departure in departures {
            guard let owner = self.owner else { return }
            switch departure {
            case .end(let id): self.stream(id).map(self.endLeft(of:))
            case .unopened(let stream):
                owner.streamClosed(stream, code: HTTP2ErrorCode.refusedStream)
            case .reset(let id, let code):
                owner.resetSent(id, code: code)
                if let stream = self.stream(id) { self.close(stream, id, code: code) }
            }
        }
        departures.removeAll(keepingCapacity: true)
        if self.departures.isEmpty { swap(&departures, &self.departures) }
    }

    /// Sends one DATA frame of a stream, and puts it behind the others if it has more.
    private func sendBody(of stream: HTTP2Stream, to output: inout ByteBuffer) {
        let waiting = stream.waitingBytes
        let count = min(waiting, Self.maximumData, max(0, min(stream.sendWindow, self.sendWindow)))
        if count == 0, waiting > 0, stream.sendWindow > 0, !stream.isResetting {
            // It stays as ready as it is, and waits with the others for the connection's window.
            return self.starved.append(stream)
        }
        stream.isReady = false
        let id = stream.id
        guard id > 0, !stream.isResetting, !stream.hasSentEnd, count > 0 || waiting == 0 else {
            return
        }
        let isLast = stream.isBodyEnded && count == waiting
        guard count > 0 || isLast else { return }
        let trailers = isLast ? stream.trailersToSend : nil
        if count > 0 || trailers == nil {
            output.write(atMost: 9) {
                $0.appendFrame(
                    .data, flags: isLast && trailers == nil ? 1 : 0, stream: id, length: count)
            }
            stream.takeData(count, to: &output)
            stream.sendWindow -= count
            self.sendWindow -= count
            self.hasSentMessage = true
        }
        if let trailers {
            // Blocks leave in the order they were written in: none waits before this one.
            self.writeHead(id, endsStream: true, blockBytes: HPACKEncoder.blockBytes(trailers)) {
                self.encoder.appendTrailers(trailers, to: &$0)
            }
        } else if isLast {
            self.endLeft(of: stream)
        } else {
            if stream.isBlocked, stream.mayContinue {
                stream.isBlocked = false
                self.unblocked.append(stream)
            }
            if stream.waitingBytes > 0 { self.resume(stream) }
        }
    }

    private func endLeft(of stream: HTTP2Stream) {
        let id = stream.id
        guard !stream.hasSentEnd else { return }
        stream.endSent()
        self.closeIfDone(stream, id)
    }

    /// Forgets a stream, and tells its owner.
    func close(_ stream: HTTP2Stream, _ id: Int32, code: UInt32) {
        self.streams.remove(id)
        if stream.isReady {
            // Out of the queues, which would keep it, and give its next stream two turns.
            stream.isReady = false
            self.ready.removeAll { $0 === stream }
            self.starved.removeAll { $0 === stream }
        }
        if let object = unsafe self.block?.stream?.toOpaque(),
            unsafe object == Unmanaged.passUnretained(stream).toOpaque()
        {
            unsafe self.block?.stream = nil
        }
        self.owner?.streamClosed(stream, code: code)
    }

    /// The connection's window opened: streams that waited for it go on.
    func serveStarved() {
        for stream in self.starved where stream.isReady { self.ready.append(stream) }
        self.starved = []
    }

    // MARK: - Frames

    /// Lets `body` write up to `room` bytes of frames.
    func write(atMost room: Int, _ body: (inout ByteWriter) -> Void) {
        guard !self.isTerminated else { return }
        if self.frames.capacity == 0 { self.frames = self.loop.borrowBuffer() }
        self.frames.write(atMost: room, body)
    }

    func writeWindowUpdate(_ streamID: Int32, _ increment: Int) {
        self.write(atMost: 13) { output in
            output.appendFrame(.windowUpdate, stream: streamID, length: 4)
            output.append(UInt32(increment).byteSwapped)
        }
    }

    func writeGoAway(last: Int32, code: UInt32) {
        self.write(atMost: 17) { output in
            output.appendFrame(.goAway, stream: 0, length: 8)
            output.append(UInt32(bitPattern: last).byteSwapped)
            output.append(code.byteSwapped)
        }
    }

    /// Writes HEADERS with the block that `body` writes, at most `blockBytes` of it.
    func writeHead(
        _ streamID: Int32, endsStream: Bool, blockBytes: Int,
        _ body: (inout ByteWriter) -> Void
    ) {
        guard !self.isTerminated else { return }
        let flags: UInt8 = endsStream ? 5 : 4
        let start = self.frames.readableBytes
        self.write(atMost: 9 + blockBytes) { output in
            output.appendFrame(.headers, flags: flags, stream: streamID, length: 0)
            body(&output)
        }
        let length = self.frames.readableBytes - start - 9
        if length <= Self.maximumFrame {
            let place = self.frames.readerIndex + start
            self.frames.setInteger(UInt8(length >> 16), at: place)
            self.frames.setInteger(UInt16(truncatingIfNeeded: length), at: place + 1)
        } else {
            self.splitHead(streamID, flags, at: start)
        }
        self.hasSentMessage = true
        if endsStream { self.departures.append(.end(streamID)) }
    }

    /// Makes HEADERS and CONTINUATION of a block that is too long for a frame (RFC 9113 6.10).
    private func splitHead(_ streamID: Int32, _ flags: UInt8, at start: Int) {
        let place = self.frames.readerIndex + start
        let length = self.frames.readableBytes - start - 9
        guard var block = self.frames.getSlice(at: place + 9, length: length) else { return }
        self.frames.moveWriterIndex(to: place)
        var type = HTTP2FrameType.headers
        // END_STREAM stands in the first frame, END_HEADERS in the last.
        var flags = flags & 1
        while let piece = block.readSlice(length: min(Self.maximumFrame, block.readableBytes)),
            piece.readableBytes > 0
        {
            if block.readableBytes == 0 { flags |= 4 }
            self.frames.write(atMost: 9) {
                $0.appendFrame(type, flags: flags, stream: streamID, length: piece.readableBytes)
            }
            self.frames.writeImmutableBuffer(piece)
            type = .continuation
            flags = 0
        }
    }

    /// 16 KiB: how long a payload may be, ours and the peer's; no SETTINGS of ours say otherwise, and
    /// no peer may want less (RFC 9113 4.2).
    static let maximumFrame = 16_384
    private static let maximumData = maximumFrame
}

extension ByteWriter {
    /// Appends the header of a frame (RFC 9113 4.1).
    @inline(__always)
    mutating func appendFrame(
        _ type: HTTP2FrameType, flags: UInt8 = 0, stream: Int32, length: Int
    ) {
        self.append((UInt32(length) &<< 8 | UInt32(type.rawValue)).byteSwapped)
        self.append(flags)
        self.append(UInt32(bitPattern: stream).byteSwapped)
    }
}
