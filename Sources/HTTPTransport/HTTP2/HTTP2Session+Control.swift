internal import NIOCore

// What the peer says of a connection and its windows.
extension HTTP2Session {
    func receiveReset(_ frame: HTTP2FrameHeader, _ payload: ByteBuffer) {
        self.owner?.frameReceived(frame, windowIncrement: 0)
        guard self.hasOwner, let stream = self.stream(frame.streamID) else { return }
        self.close(stream, frame.streamID, code: Self.word(payload, at: 0))
    }

    func receiveSettings(_ frame: HTTP2FrameHeader, _ payload: ByteBuffer) {
        if frame.isAcknowledgement {
            guard self.awaitsAcknowledgement else {
                return self.fail(HTTP2ErrorCode.protocolError, frame)
            }
            self.awaitsAcknowledgement = false
        } else {
            guard payload.readableBytes <= 6 * Self.maximumSettings else {
                return self.fail(HTTP2ErrorCode.enhanceYourCalm, frame)
            }
            var settings = payload
            while let (id, value) = settings.readMultipleIntegers(as: (UInt16, UInt32).self) {
                if let code = self.apply(id, value) { return self.fail(code, frame) }
            }
            self.hasPeerSettings = true
            self.acknowledge(9) { $0.appendFrame(.settings, flags: 1, stream: 0, length: 0) }
        }
        self.owner?.frameReceived(frame, windowIncrement: 0)
    }

    /// Lets one setting of the peer take effect (RFC 9113 6.5.2).
    ///
    /// - Returns: Why it is an error of the connection.
    private func apply(_ id: UInt16, _ value: UInt32) -> UInt32? {
        switch id {
        case 1: self.encoder.setTableBytes(Int(value))
        // A server has no say in pushes.
        case 2 where value > (self.isServer ? 1 : 0): return HTTP2ErrorCode.protocolError
        case 3: self.peerStreamLimit = Int(value)
        case 4:
            guard value <= Self.maximumWindow else { return HTTP2ErrorCode.flowControlError }
            let change = Int(value) - self.initialSendWindow
            self.initialSendWindow = Int(value)
            for stream in self.streams.all {
                stream.sendWindow += change
                guard stream.sendWindow <= Self.maximumWindow else {
                    return HTTP2ErrorCode.flowControlError
                }
                self.resumeIfWaiting(stream)
            }
        case 5 where value < Self.maximumFrame || value > 0xff_ffff:
            return HTTP2ErrorCode.protocolError
        default: break
        }
        return nil
    }

    func receivePing(_ frame: HTTP2FrameHeader, _ payload: ByteBuffer) {
        if !frame.isAcknowledgement {
            self.acknowledge(17) {
                $0.appendFrame(.ping, flags: 1, stream: 0, length: 8)
                $0.append(payload)
            }
        }
        self.owner?.frameReceived(frame, windowIncrement: 0)
    }

    private func acknowledge(_ room: Int, _ body: (inout ByteWriter) -> Void) {
        self.queuedAcknowledgements += 1
        guard self.queuedAcknowledgements <= Self.maximumAcknowledgements else {
            return self.terminate(code: HTTP2ErrorCode.enhanceYourCalm)
        }
        self.write(atMost: room, body)
    }

    func receiveGoAway(_ frame: HTTP2FrameHeader, _ payload: ByteBuffer) {
        let last = Int32(truncatingIfNeeded: Self.word(payload, at: 0) & 0x7fff_ffff)
        guard last <= self.peersLastStream else {
            return self.fail(HTTP2ErrorCode.protocolError, frame)
        }
        self.peersLastStream = last
        self.hasReceivedGoAway = true
        self.owner?.frameReceived(frame, windowIncrement: 0)
        guard !self.isServer else { return }
        // Those were not processed, and may be tried again.
        for stream in self.streams.all where stream.id > last && self.hasOwner {
            self.close(stream, stream.id, code: HTTP2ErrorCode.refusedStream)
        }
    }

    func receiveWindowUpdate(_ frame: HTTP2FrameHeader, _ payload: ByteBuffer) {
        let increment = Int(Self.word(payload, at: 0) & 0x7fff_ffff)
        guard increment > 0 else { return self.fail(HTTP2ErrorCode.protocolError, frame) }
        if frame.streamID == 0 {
            let wasClosed = self.sendWindow <= 0
            self.sendWindow += increment
            guard self.sendWindow <= Self.maximumWindow else {
                return self.fail(HTTP2ErrorCode.flowControlError, frame)
            }
            if wasClosed { self.serveStarved() }
        } else if let stream = self.stream(frame.streamID), !stream.isResetting {
            stream.sendWindow += increment
            guard stream.sendWindow <= Self.maximumWindow else {
                return self.failStream(HTTP2ErrorCode.flowControlError, frame)
            }
            self.resumeIfWaiting(stream)
        }
        self.owner?.frameReceived(frame, windowIncrement: Int32(increment))
    }

    private func resumeIfWaiting(_ stream: HTTP2Stream) {
        if stream.sendWindow > 0, stream.waitingBytes > 0 { self.resume(stream) }
    }

    private static func word(_ payload: ByteBuffer, at offset: Int) -> UInt32 {
        payload.getInteger(at: payload.readerIndex + offset) ?? 0
    }

    /// 32 settings in one frame: there are not half as many.
    private static let maximumSettings = 32
    /// 1,000 acknowledgements that the peer has not read.
    private static let maximumAcknowledgements = 1000
    /// 2^31-1 (RFC 9113 6.9.1).
    private static let maximumWindow = 0x7fff_ffff
}
