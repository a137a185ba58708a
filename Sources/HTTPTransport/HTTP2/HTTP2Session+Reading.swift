internal import NIOCore

// What the peer sends.
extension HTTP2Session {
    /// Reads bytes of the peer.
    func receive(_ bytes: ByteBuffer) -> Received {
        var input = bytes
        while self.hasOwner, !self.isTerminated {
            switch self.reading {
            case .preface(let count):
                guard self.readPreface(&input, after: count) else { return .notHTTP2 }
                if case .preface = self.reading { return .all }
            case .header:
                guard let frame = self.readHeader(&input) else { return .all }
                self.begin(frame)
            case .payload(let frame):
                guard let payload = self.readPayload(frame.length, from: &input) else {
                    return .all
                }
                self.reading = .header
                self.receive(frame, payload)
            case .data(let frame, let remaining):
                guard self.readData(&input, of: frame, remaining) else { return .all }
            case .skipping(let remaining):
                let count = min(remaining, input.readableBytes)
                input.moveReaderIndex(forwardBy: count)
                self.reading = count == remaining ? .header : .skipping(remaining - count)
                if count < remaining { return .all }
            }
        }
        return .all
    }

    /// Whether the bytes go on as a client's connection begins (RFC 9113 3.4).
    private func readPreface(_ input: inout ByteBuffer, after count: Int) -> Bool {
        let preface: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        let length = min(preface.utf8CodeUnitCount - count, input.readableBytes)
        for index in 0..<length
        where input.getInteger(at: input.readerIndex + index)
            != UInt8(truncatingIfNeeded: preface.word(at: count + index))
        {
            return false
        }
        input.moveReaderIndex(forwardBy: length)
        let isWhole = count + length == preface.utf8CodeUnitCount
        self.reading = isWhole ? .header : .preface(count + length)
        return true
    }

    @inline(__always)
    private func readHeader(_ input: inout ByteBuffer) -> HTTP2FrameHeader? {
        if self.partial.readableBytes == 0, let frame = HTTP2FrameHeader(reading: &input) {
            return frame
        }
        guard self.fillPartial(upTo: HTTP2FrameHeader.bytes, from: &input) else { return nil }
        let frame = HTTP2FrameHeader(reading: &self.partial)
        self.partial.clear()
        return frame
    }

    @inline(__always)
    private func readPayload(_ length: Int, from input: inout ByteBuffer) -> ByteBuffer? {
        if self.partial.readableBytes == 0, let payload = input.readSlice(length: length) {
            return payload
        }
        guard self.fillPartial(upTo: length, from: &input) else { return nil }
        var payload = ByteBuffer()
        swap(&payload, &self.partial)
        return payload
    }

    /// Moves bytes to ``partial`` until it has `length`; whether it has.
    ///
    /// Copied, so that the buffer they were read into, which all connections share, is not held.
    private func fillPartial(upTo length: Int, from input: inout ByteBuffer) -> Bool {
        let missing = min(length - self.partial.readableBytes, input.readableBytes)
        if missing > 0, let piece = input.readSlice(length: missing) {
            self.partial.writeImmutableBuffer(piece)
        }
        return self.partial.readableBytes == length
    }

    // MARK: - Frames

    /// Looks at a frame's header, and says how its payload is read.
    private func begin(_ frame: HTTP2FrameHeader) {
        guard frame.length <= Self.maximumFrame else {
            return self.fail(HTTP2ErrorCode.frameSizeError, frame)
        }
        self.owner?.frameBegan(frame)
        guard self.hasOwner, !self.isTerminated else { return }
        // SETTINGS come first; nothing comes between the frames of a header block.
        let isExpected =
            self.hasPeerSettings || frame.type == .settings && !frame.isAcknowledgement
        let belongs =
            self.block.map {
                frame.type == .continuation && frame.streamID == $0.frame.streamID
            } ?? (frame.type != .continuation)
        guard isExpected, belongs else { return self.fail(HTTP2ErrorCode.protocolError, frame) }
        if let code = self.refusal(of: frame) { return self.fail(code, frame) }
        switch frame.type {
        case .data where !frame.isPadded:
            self.beginData(frame)
        case nil:
            self.owner?.unknownFrameReceived()
            self.reading = .skipping(frame.length)
        default:
            self.reading = .payload(frame)
        }
    }

    /// Why a frame with this header is an error of the connection, whatever its payload.
    private func refusal(of frame: HTTP2FrameHeader) -> UInt32? {
        let isOnStream = frame.streamID != 0
        let (isPlaced, isSized) =
            switch frame.type {
            case .data: (isOnStream && !self.isIdle(frame.streamID), true)
            case .headers:
                (isOnStream && (self.isServer || !self.isIdle(frame.streamID)), true)
            case .priority: (isOnStream, frame.length == 5)
            case .reset: (isOnStream && !self.isIdle(frame.streamID), frame.length == 4)
            case .settings:
                (
                    !isOnStream,
                    frame.isAcknowledgement ? frame.length == 0 : frame.length % 6 == 0
                )
            case .pushPromise: (false, true)
            case .ping: (!isOnStream, frame.length == 8)
            case .goAway: (!isOnStream, frame.length >= 8)
            case .windowUpdate: (!isOnStream || !self.isIdle(frame.streamID), frame.length == 4)
            case .continuation, nil: (true, true)
            }
        if !isPlaced { return HTTP2ErrorCode.protocolError }
        return isSized ? nil : HTTP2ErrorCode.frameSizeError
    }

    /// Whether a stream has not been opened by whoever may open it (RFC 9113 5.1.1).
    private func isIdle(_ streamID: Int32) -> Bool {
        streamID & 1 == 0
            || streamID > (self.isServer ? self.lastPeerStream : self.lastOwnStream)
    }

    private func receive(_ frame: HTTP2FrameHeader, _ payload: ByteBuffer) {
        switch frame.type {
        case .data: self.receivePaddedData(frame, payload)
        case .headers: self.receiveHeaders(frame, payload)
        case .continuation: self.receiveContinuation(frame, payload)
        case .reset: self.receiveReset(frame, payload)
        case .settings: self.receiveSettings(frame, payload)
        case .ping: self.receivePing(frame, payload)
        case .goAway: self.receiveGoAway(frame, payload)
        case .windowUpdate: self.receiveWindowUpdate(frame, payload)
        // What a client would like first is no matter here.
        case .priority, .pushPromise, nil: break
        }
    }

    /// Ends the connection over a frame.
    func fail(_ code: UInt32, _ frame: HTTP2FrameHeader) {
        self.terminate(code: code)
        self.owner?.frameRefused(frame.streamID)
    }

    /// Ends a stream over a frame.
    func failStream(_ code: UInt32, _ frame: HTTP2FrameHeader) {
        self.owner?.frameRefused(frame.streamID)
        self.reset(frame.streamID, code: code)
    }

    // MARK: - DATA

    private func beginData(_ frame: HTTP2FrameHeader) {
        guard self.takeWindow(frame) else { return }
        self.reading = .data(frame, remaining: frame.length)
    }

    /// Takes a DATA frame out of the windows; whether it may be delivered.
    ///
    /// Bytes nobody will see are dropped, and given back to the connection's window.
    private func takeWindow(_ frame: HTTP2FrameHeader) -> Bool {
        self.receiveWindow -= frame.length
        guard self.receiveWindow >= 0 else {
            self.fail(HTTP2ErrorCode.flowControlError, frame)
            return false
        }
        guard let stream = unsafe self.streams[frame.streamID] else {
            self.drop(frame)
            return false
        }
        let (isPeerDone, window) = unsafe stream._withUnsafeGuaranteedRef { stream in
            stream.receiveWindow -= frame.length
            return (stream.isPeerDone, stream.receiveWindow)
        }
        if isPeerDone {
            self.fail(HTTP2ErrorCode.streamClosed, frame)
            return false
        }
        guard window >= 0 else {
            self.drop(frame)
            self.failStream(HTTP2ErrorCode.flowControlError, frame)
            return false
        }
        return true
    }

    private func drop(_ frame: HTTP2FrameHeader) {
        self.consumeConnection(frame.length)
        self.reading = .skipping(frame.length)
    }

    /// Delivers what there is of a DATA frame; whether all of it was there.
    @inline(__always)
    private func readData(
        _ input: inout ByteBuffer, of frame: HTTP2FrameHeader, _ remaining: Int
    ) -> Bool {
        let count = min(remaining, input.readableBytes)
        if count < remaining {
            self.reading = .data(frame, remaining: remaining - count)
        } else {
            self.reading = .header
        }
        if count > 0, let piece = input.readSlice(length: count) {
            self.deliver(piece, frame.streamID)
        }
        guard count == remaining else { return false }
        if frame.endsStream { self.endPeer(frame.streamID) }
        return true
    }

    private func receivePaddedData(_ frame: HTTP2FrameHeader, _ payload: ByteBuffer) {
        var payload = payload
        if let code = Self.removePadding(of: frame, from: &payload) {
            return self.fail(code, frame)
        }
        guard self.takeWindow(frame) else {
            // It has been read already.
            self.reading = .header
            return
        }
        let padding = frame.length - payload.readableBytes
        self.consumeConnection(padding)
        if let stream = self.stream(frame.streamID) { self.consume(stream, padding) }
        if payload.readableBytes > 0 { self.deliver(payload, frame.streamID) }
        if frame.endsStream { self.endPeer(frame.streamID) }
    }

    private func deliver(_ bytes: ByteBuffer, _ streamID: Int32) {
        // At once, also for a stream that reads no more: each is bounded by its own window, and
        // one that stands still must not hold up the others.
        self.consumeConnection(bytes.readableBytes)
        guard let stream = self.stream(streamID), !stream.isResetting else { return }
        stream.receiveData(bytes)
    }

    private func endPeer(_ streamID: Int32) {
        guard let stream = self.stream(streamID) else { return }
        stream.isPeerDone = true
        if !stream.isResetting { stream.dataEnded() }
        self.closeIfDone(stream, streamID)
    }

    /// Closes a stream whose both ends have come; one that is reset ends when that has left.
    func closeIfDone(_ stream: HTTP2Stream, _ id: Int32) {
        guard stream.id == id, stream.isPeerDone, stream.hasSentEnd, !stream.isResetting,
            self.isOpen(id)
        else { return }
        self.close(stream, id, code: HTTP2ErrorCode.none)
    }

    /// Takes the padding off a payload (RFC 9113 6.1); the error of one that has less than it says.
    private static func removePadding(
        of frame: HTTP2FrameHeader, from payload: inout ByteBuffer
    ) -> UInt32? {
        guard frame.isPadded else { return nil }
        guard let padding = payload.readInteger(as: UInt8.self) else {
            return HTTP2ErrorCode.frameSizeError
        }
        guard let rest = payload.readSlice(length: payload.readableBytes - Int(padding)) else {
            return HTTP2ErrorCode.protocolError
        }
        payload = rest
        return nil
    }

    // MARK: - HEADERS

    private func receiveHeaders(_ frame: HTTP2FrameHeader, _ payload: ByteBuffer) {
        var payload = payload
        if let code = Self.removePadding(of: frame, from: &payload) {
            return self.fail(code, frame)
        }
        if frame.hasPriority, payload.readSlice(length: Self.priorityBytes) == nil {
            return self.fail(HTTP2ErrorCode.frameSizeError, frame)
        }
        if let code = self.beginHead(frame) { return self.fail(code, frame) }
        guard self.hasOwner, !self.isTerminated else { return }
        self.decoder.beginBlock()
        self.receiveBlock(payload, isLast: frame.endsHeaders)
    }

    /// Finds out whose fields these are, and opens the stream they are to open.
    ///
    /// - Returns: Why they are an error of the connection.
    private func beginHead(_ frame: HTTP2FrameHeader) -> UInt32? {
        let id = frame.streamID
        self.block = unsafe Block(frame: frame, stream: nil)
        let stream: HTTP2Stream
        if self.isServer, self.isIdle(id) {
            guard id & 1 == 1 else { return HTTP2ErrorCode.protocolError }
            self.lastPeerStream = id
            // Who opens a stream after our GOAWAY knows that it is not looked at (RFC 9113 6.8).
            guard !self.hasSentGoAway else { return nil }
            self.lastProcessedStream = id
            guard let opened = self.owner?.openStream(id) else {
                self.reset(id, code: HTTP2ErrorCode.refusedStream)
                return nil
            }
            self.attach(opened, to: id)
            stream = opened
        } else {
            guard let open = self.stream(id) else { return nil }
            if open.isPeerDone { return HTTP2ErrorCode.streamClosed }
            if open.isResetting { return nil }
            stream = open
        }
        stream.beginFields()
        unsafe self.block?.stream = .passUnretained(stream)
        return nil
    }

    private func receiveContinuation(_ frame: HTTP2FrameHeader, _ payload: ByteBuffer) {
        self.block?.continuations += 1
        guard self.block?.continuations ?? 0 <= self.maximumContinuations else {
            return self.fail(HTTP2ErrorCode.enhanceYourCalm, frame)
        }
        self.receiveBlock(payload, isLast: frame.endsHeaders)
    }

    /// Reads a piece of a header block, which may end within a field unless it is the last.
    private func receiveBlock(_ payload: ByteBuffer, isLast: Bool) {
        guard let frame = self.block?.frame else { return }
        var bytes = payload
        if self.partialField.readableBytes > 0 {
            bytes = self.partialField
            bytes.writeImmutableBuffer(payload)
            self.partialField = ByteBuffer()
        }
        do throws(HPACKDecoder.Failure) {
            let count = try self.decoder.decode(bytes.readableBytesUInt8Span) {
                self.receiveField($0, $1, $2)
            }
            bytes.moveReaderIndex(forwardBy: count)
        } catch {
            let code =
                switch error {
                case .malformed: HTTP2ErrorCode.compressionError
                case .tooLong: HTTP2ErrorCode.enhanceYourCalm
                }
            return self.fail(code, frame)
        }
        guard self.hasOwner, !self.isTerminated else { return }
        if isLast {
            guard bytes.readableBytes == 0 else {
                return self.fail(HTTP2ErrorCode.compressionError, frame)
            }
            self.endHead(frame)
        } else if bytes.readableBytes > 0 {
            // Copied: a slice would hold all that was read with it.
            self.partialField.writeImmutableBuffer(bytes)
        }
    }

    @inline(__always)
    private func receiveField(
        _ name: Span<UInt8>, _ value: Span<UInt8>, _ facts: HTTP2FieldFacts
    ) {
        guard let stream = unsafe self.block?.stream else { return }
        let (verdict, id) = unsafe stream._withUnsafeGuaranteedRef {
            ($0.receiveField(name, value, facts), $0.id)
        }
        if case .taken = verdict { return }
        // The rest is read for the table's sake only.
        unsafe self.block?.stream = nil
        if case .flood = verdict {
            self.terminate(code: HTTP2ErrorCode.enhanceYourCalm)
        } else {
            self.owner?.fieldRefused()
            self.reset(id, code: HTTP2ErrorCode.protocolError)
        }
    }

    private func endHead(_ frame: HTTP2FrameHeader) {
        let stream = unsafe self.block?.stream?.takeUnretainedValue()
        self.block = nil
        if let open = self.stream(frame.streamID), frame.endsStream { open.isPeerDone = true }
        self.owner?.frameReceived(frame, windowIncrement: 0)
        guard let stream, self.hasOwner, !stream.isResetting else { return }
        stream.fieldsEnded(endsStream: frame.endsStream)
        self.closeIfDone(stream, frame.streamID)
    }

    /// Of the five bytes of a stream's priority in HEADERS.
    private static let priorityBytes = 5
}
