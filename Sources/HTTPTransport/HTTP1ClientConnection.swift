package import NIOCore
internal import NIOTLS
package import TLS

/// One HTTP/1.1 connection to a backend: sends one request at a time and reads its response.
///
/// Loop-bound; the last handler of its channel, after TLS. Its ``ConnectionPool`` owns it. Whatever
/// is not plainly the protocol ends the connection: a connection that once surprised us is not used
/// for anybody else's request.
package final class HTTP1ClientConnection: ChannelInboundHandler {
    /// What TLS decrypted.
    package typealias InboundIn = ByteBuffer
    /// What TLS is to encrypt.
    package typealias OutboundOut = ByteBuffer

    private enum Reading {
        /// TCP or TLS is not ready yet; the pool waits to hear.
        case opening
        case idle
        case head
        case body
        /// After 101: bytes, to the connection's end.
        case tunnel
        case complete
        case closed
    }

    private enum Writing {
        case idle
        case head
        case body(remaining: Int)
        case chunks
        case tunnel
        case complete
    }

    private let loop: LoopContext
    private let limits: HTTPLimits
    private let pool: ConnectionPool
    private let awaitsHandshake: Bool
    private var channelContext: ChannelHandlerContext?
    private var receiver: (any ResponseReceiver)?
    private var input = ConnectionInput()
    private let output: ConnectionOutput
    private var parser: HTTP1ResponseParser
    private var decoder: HTTP1BodyDecoder
    private let head = MessageHead()
    /// Made with the first chunked response.
    private var trailerHead: MessageHead?
    private var reading = Reading.opening
    private var writing = Writing.idle
    private var requestMethod = HTTPMethod.get
    private var asksForUpgrade = false
    private var isProcessing = false
    private var isReadingPaused = false
    private var isHeadBegun = false
    private var wasOpened = false
    /// When the backend's certificate runs out.
    private var end = NIODeadline.distantFuture
    private var descriptor: CInt?
    /// Bytes the channel had been given when the current request began.
    private var writtenBefore = 0
    /// Requests this connection has carried, the current one included.
    package private(set) var requests = 0
    /// Whether a byte of the current response was read.
    package private(set) var hasResponseBytes = false
    /// When it was last given back to the pool.
    package private(set) var idleSince = NIODeadline.now()

    /// A connection that is still to be opened.
    ///
    /// - Parameters:
    ///   - loop: The loop it belongs to.
    ///   - limits: What a response may bring.
    ///   - pool: Told when the connection is open, free or closed; held while this is in a channel.
    ///   - awaitsHandshake: Whether it is open only once TLS is.
    package init(loop: LoopContext, limits: HTTPLimits, pool: ConnectionPool, awaitsHandshake: Bool)
    {
        self.awaitsHandshake = awaitsHandshake
        self.loop = loop
        self.limits = limits
        self.output = ConnectionOutput(loop: loop)
        self.pool = pool
        self.parser = HTTP1ResponseParser(limits: limits)
        self.decoder = HTTP1BodyDecoder(framing: .none, limits: limits)
    }

    /// Gives the connection to one exchange until its response and request have ended.
    func lease(to receiver: any ResponseReceiver) {
        self.receiver = receiver
        self.reading = .head
        self.writing = .head
        self.writtenBefore = self.output.writtenBytes
        self.hasResponseBytes = false
        self.isHeadBegun = false
        self.requests += 1
    }

    /// Whether a connection that has lain idle can still carry a request, as far as can be known.
    ///
    /// Asks the socket: bytes or an end that the loop has not yet read make it stale.
    func isFresh(at now: NIODeadline) -> Bool {
        guard case .idle = self.reading, let channelContext, channelContext.channel.isActive else {
            return false
        }
        guard now - self.idleSince > Self.trustedIdleTime else { return true }
        guard let descriptor else { return false }
        if SocketPeek.isQuiet(descriptor) { return true }
        // Where the loop is busy, a new connection's tickets are not read yet. To call it stale would
        // mean another handshake, which keeps the loop busy, and another connection of that kind.
        return self.requests == 0 && self.awaitsHandshake && SocketPeek.holdsTickets(descriptor)
    }

    // MARK: - What the receiver calls

    /// Sends the request's head; `framing` says how its body will come.
    ///
    /// - Parameters:
    ///   - head: A request's head; what ends at this hop is left out.
    ///   - framing: `.untilClose` is no framing of a request, and taken as none.
    ///   - strippedPrefixBytes: How much of the path's start to leave out.
    package func sendHead(_ head: MessageHead, framing: BodyFraming, strippedPrefixBytes: Int) {
        guard case .head = self.writing else { return }
        self.requestMethod = head.method
        self.asksForUpgrade = head.isUpgrade
        // Absent it would say nothing where a body is usual (RFC 9110 8.6).
        let framing = framing == .none && head.contentLength == 0 ? .length(0) : framing
        self.output.append(atMost: HTTP1Writer.maximumBytes(of: head)) { output in
            HTTP1Writer.appendRequestLine(
                head, strippedPrefixBytes: strippedPrefixBytes, to: &output)
            HTTP1Writer.appendFields(of: head, except: .hopByHop, to: &output)
            HTTP1Writer.appendFraming(framing, to: &output)
            if head.isUpgrade { HTTP1Writer.appendUpgrade(to: &output) }
            HTTP1Writer.appendHeadEnd(to: &output)
        }
        switch framing {
        case .none, .untilClose: self.writing = .body(remaining: 0)
        case .length(let count): self.writing = .body(remaining: count)
        case .chunked: self.writing = .chunks
        }
    }

    /// Sends a piece of the request's body.
    package func sendBody(_ bytes: ByteBuffer) {
        let count = bytes.readableBytes
        guard count > 0 else { return }
        switch self.writing {
        case .body(let remaining):
            precondition(count <= remaining, "a request longer than its content-length")
            self.writing = .body(remaining: remaining - count)
            self.output.append(piece: bytes)
        case .chunks:
            self.output.append(atMost: HTTP1Writer.chunkBytes) {
                HTTP1Writer.appendChunkStart(count, to: &$0)
            }
            self.output.append(piece: bytes)
            self.output.append(atMost: HTTP1Writer.chunkBytes) {
                HTTP1Writer.appendChunkEnd(to: &$0)
            }
        case .tunnel:
            self.output.append(piece: bytes)
        case .idle, .head, .complete:
            break
        }
    }

    /// Ends the request.
    package func sendEnd() {
        switch self.writing {
        case .chunks:
            self.output.append(atMost: HTTP1Writer.chunkBytes) {
                HTTP1Writer.appendLastChunk(to: &$0)
            }
        case .body(let remaining):
            precondition(remaining == 0, "a request shorter than its content-length")
        case .idle, .head, .tunnel, .complete: return
        }
        self.writing = .complete
        if !self.isProcessing { self.finishIfComplete() }
    }

    /// Gives everything sent so far to the channel, in one write.
    package func flush() {
        self.output.flush()
    }

    /// Gives up the exchange; its receiver is not called again.
    ///
    /// If nothing of the request has left yet, the backend never hears of it and the connection
    /// is used again. Otherwise it closes: that is how HTTP/1.1 tells a backend to stop.
    package func cancel() {
        self.receiver = nil
        self.output.discard()
        if case .closed = self.reading { return }
        if self.output.writtenBytes > self.writtenBefore {
            self.reading = .closed
            self.channelContext?.close(promise: nil)
        } else {
            self.becomeIdle()
        }
    }

    /// Stops or goes on reading the response; for backpressure.
    package func setReading(_ isWanted: Bool) {
        guard self.isReadingPaused == isWanted else { return }
        self.isReadingPaused = !isWanted
        // Cannot fail on an open channel; a closed one reads no more anyway.
        try? self.channelContext?.channel.syncOptions?.setOption(.autoRead, value: isWanted)
    }

    /// What TLS agreed on; nil without TLS.
    package var tlsSession: TLSSessionInfo? {
        let pipeline = self.channelContext?.pipeline.syncOperations
        return (try? pipeline?.handler(type: TLSHandler.self))?.session
    }

    /// Whether the channel takes more of the request without growing its queue.
    package private(set) var isWritable = true

    /// Closes an idle connection.
    func close() {
        self.channelContext?.close(promise: nil)
    }

    /// 1 ms: in less, the loop itself would have read what arrived on an idle connection.
    private static let trustedIdleTime = TimeAmount.milliseconds(1)
}

// MARK: - Channel events

extension HTTP1ClientConnection {
    /// Takes its place in the channel.
    package func handlerAdded(context: ChannelHandlerContext) {
        self.channelContext = context
        self.output.context = context
    }

    /// Leaves the channel, which is over.
    package func handlerRemoved(context: ChannelHandlerContext) {
        self.channelContext = nil
        self.output.context = nil
    }

    /// TCP is connected.
    package func channelActive(context: ChannelHandlerContext) {
        if !self.awaitsHandshake { self.opened() }
    }

    private func opened() {
        guard case .opening = self.reading else { return }
        self.reading = .idle
        self.descriptor = self.channelContext.flatMap { SocketPeek.descriptor(of: $0.channel) }
        self.wasOpened = true
        self.end = .ofCertificate(self.tlsSession)
        self.pool.openingEnded(.success(self))
    }

    /// Called by the pool when TCP fails, and here when TLS does.
    func openingFailed(_ error: StreamError) {
        guard case .opening = self.reading else { return }
        self.reading = .closed
        self.pool.openingEnded(.failure(error))
        self.channelContext?.close(promise: nil)
    }

    /// Bytes of the peer.
    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.input.receive(Self.unwrapInboundIn(data))
        self.hasResponseBytes = true
        self.process()
    }

    /// No more has arrived for now.
    package func channelReadComplete(context: ChannelHandlerContext) {
        self.receiver?.responseReadComplete()
        self.flush()
    }

    /// The channel's queue is full, or has room again.
    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        self.isWritable = context.channel.isWritable
        self.receiver?.requestWritabilityChanged(isWritable: self.isWritable)
        self.flush()
    }

    /// The peer's end of sending, among what others tell.
    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case TLSUserEvent.handshakeCompleted: self.opened()
        case ChannelEvent.inputClosed: self.inputEnded(.closed)
        default: context.fireUserInboundEventTriggered(event)
        }
    }

    /// TCP or TLS broke.
    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if case .opening = self.reading {
            self.openingFailed(.tls("\(error)"))
        } else {
            self.inputEnded(.ofTLS(error))
        }
        context.close(promise: nil)
    }

    /// The connection is over.
    package func channelInactive(context: ChannelHandlerContext) {
        self.inputEnded(.closed)
        self.output.discard()
        self.input = ConnectionInput()
        if self.wasOpened { self.pool.connectionClosed(self) }
    }

    private func inputEnded(_ error: StreamError) {
        let before = self.reading
        switch before {
        case .closed: return
        case .opening: self.openingFailed(error)
        case .idle, .complete: self.fail(nil)
        case .head: self.fail(error)
        case .body, .tunnel:
            if case .closed = error, self.head.framing == .untilClose {
                self.reading = .complete
                self.receiver?.receiveResponseEnd()
                self.receiver?.responseReadComplete()
                self.fail(nil)
            } else {
                self.fail(error)
            }
        }
    }

    /// Ends the connection, telling the receiver why if its response is not complete.
    private func fail(_ error: StreamError?) {
        self.reading = .closed
        let receiver = self.receiver.take()
        if let error {
            receiver?.responseFailed(error)
        } else {
            // What came of the response, be it all, is to leave though more came that is none.
            receiver?.responseReadComplete()
        }
        self.output.discard()
        self.channelContext?.close(promise: nil)
    }
}

// MARK: - Reading

extension HTTP1ClientConnection {
    private func process() {
        guard !self.isProcessing else { return }
        self.isProcessing = true
        do throws(HTTPError) {
            while try self.step() {}
        } catch {
            self.fail(.malformed(error))
        }
        self.isProcessing = false
        self.input.release()
        self.finishIfComplete()
    }

    private func step() throws(HTTPError) -> Bool {
        switch self.reading {
        case .head:
            guard self.input.bytes.readableBytes > 0 else { return false }
            if !self.isHeadBegun {
                self.isHeadBegun = true
                self.head.reset()
            }
            guard
                try self.parser.parse(
                    &self.input.bytes, into: self.head, requestMethod: self.requestMethod)
            else { return false }
            self.isHeadBegun = false
            if self.head.status == 101 {
                try self.switchProtocols()
                return true
            }
            // Other 1xx answers are between us and the backend (RFC 9110 15.2).
            if self.head.status < 200 { return true }
            self.decoder = HTTP1BodyDecoder(framing: self.head.framing, limits: self.limits)
            if self.head.framing == .chunked { self.decoder.trailers = self.emptyTrailers() }
            self.reading = .body
            self.receiver?.receiveResponseHead(self.head)
            return true
        case .body:
            switch try self.decoder.next(&self.input.bytes) {
            case .needMore:
                return false
            case .bytes(let bytes):
                self.receiver?.receiveResponseBody(bytes)
            case .end:
                self.reading = .complete
                let trailers = self.decoder.trailers
                self.receiver?.receiveResponseEnd(
                    trailers: trailers?.fields.isEmpty == false ? trailers : nil)
            }
            return true
        case .tunnel:
            guard self.input.bytes.readableBytes > 0 else { return false }
            let bytes = self.input.bytes
            self.input = ConnectionInput()
            self.receiver?.receiveResponseBody(bytes)
            return false
        case .idle, .complete:
            // Bytes nobody asked for: a response to no request.
            if self.input.bytes.readableBytes > 0 { self.fail(nil) }
            return false
        case .opening, .closed:
            self.input = ConnectionInput()
            return false
        }
    }

    /// Where the trailers of a chunked response go.
    private func emptyTrailers() -> MessageHead {
        let trailers = self.trailerHead ?? MessageHead()
        trailers.reset()
        self.trailerHead = trailers
        return trailers
    }

    /// From here on the connection carries bytes, and ends with them.
    private func switchProtocols() throws(HTTPError) {
        guard self.asksForUpgrade, case .complete = self.writing, self.head.agreesToWebSocket else {
            throw .unsupportedVersion
        }
        self.head.isUpgrade = true
        self.head.framing = .untilClose
        self.reading = .tunnel
        self.writing = .tunnel
        self.receiver?.receiveResponseHead(self.head)
    }

    /// Gives the connection back once both halves have ended; closes it if it cannot be used again.
    private func finishIfComplete() {
        guard case .complete = self.reading, let receiver = self.receiver else { return }
        receiver.responseReadComplete()
        self.receiver = nil
        if case .complete = self.writing, self.head.keepAlive,
            self.input.bytes.readableBytes == 0,
            self.requests < self.pool.limits.requestsPerConnection,
            self.loop.deadlines.coarseNow <= self.end
        {
            self.becomeIdle()
        } else {
            self.fail(nil)
        }
    }

    private func becomeIdle() {
        self.reading = .idle
        self.writing = .idle
        self.idleSince = .now()
        if self.isReadingPaused { self.setReading(true) }
        self.pool.release(self)
    }
}
