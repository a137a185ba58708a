package import NIOCore

/// One HTTP/1.1 connection of a client: reads requests one after the other, writes their answers.
///
/// Loop-bound; the last handler of its channel, after TLS. It parses, frames and keeps time; what a
/// request means is its receiver's. Pipelined requests wait in the input until the answer before
/// theirs is complete. An answer that ends before its request closes the connection so that the
/// client sees the answer and not a reset: close_notify, no more writing, then what still arrives
/// is thrown away up to a bound (RFC 9112 9.6).
package final class HTTP1ServerConnection: ChannelInboundHandler {
    /// What TLS decrypted.
    package typealias InboundIn = ByteBuffer
    /// What TLS is to encrypt.
    package typealias OutboundOut = ByteBuffer

    private let loop: LoopContext
    private let limits: HTTPLimits
    let timeouts: ServerTimeouts
    let timer: DeadlineTimer
    private let makeReceiver: (HTTP1ServerConnection) -> any RequestReceiver

    var channelContext: ChannelHandlerContext?
    var receiver: (any RequestReceiver)?
    var input = ConnectionInput()
    let output: ConnectionOutput
    private var parser: HTTP1RequestParser
    private var decoder: HTTP1BodyDecoder
    /// Borrowed from the loop while there is a request; ``LoopContext/noHead`` otherwise.
    private var head: MessageHead
    var reading = Reading.head
    var writing = Writing.complete
    /// Whether another request may follow the answer being written.
    private var persists = true
    private var isDraining = false
    private var isProcessing = false
    var isReadingPaused = false
    var pace = Pace()
    var answerPace = Pace()
    /// Whether the client waits for our word before it sends its body.
    var continuePending = false
    var isHeadBegun = false
    /// Whether the current request's whole body was read together with its head: an early answer
    /// need not close the connection then.
    private var bodyIsHere = false

    /// Bytes of the current request's body that arrived, without chunk framing.
    package private(set) var requestBodyBytes = 0
    /// When the first byte of the current request was read.
    package private(set) var requestStart = NIODeadline.now()

    /// A connection that waits for its first request.
    ///
    /// - Parameters:
    ///   - loop: The loop it belongs to.
    ///   - limits: What a request may bring.
    ///   - timeouts: How long it waits for the client.
    ///   - makeReceiver: Called at the first request; the receiver it makes gets all of them.
    package init(
        loop: LoopContext, limits: HTTPLimits, timeouts: ServerTimeouts,
        makeReceiver: @escaping (HTTP1ServerConnection) -> any RequestReceiver
    ) {
        self.loop = loop
        self.limits = limits
        self.output = ConnectionOutput(loop: loop)
        self.head = loop.noHead
        self.timeouts = timeouts
        self.timer = DeadlineTimer(wheel: loop.deadlines)
        self.makeReceiver = makeReceiver
        self.parser = HTTP1RequestParser(limits: limits)
        self.decoder = HTTP1BodyDecoder(framing: .none, limits: limits)
    }

    // MARK: - What the receiver calls

    /// Sends the answer's head; `framing` says how its body will come.
    ///
    /// The framing and connection fields are this connection's to write; the head's own must be
    /// removed before. Not sent before ``flush()``.
    package func sendHead(_ head: MessageHead, framing: BodyFraming) {
        guard case .head = self.writing else { return }
        if head.isUpgrade { return self.switchProtocols(head) }
        var isComplete = self.bodyIsHere
        if case .complete = self.reading { isComplete = true }
        let isHTTP10 = self.head.version == .http10
        var writing: Writing
        var framing = framing
        if self.head.method == .head || head.status == 204 || head.status == 304 {
            writing = .bodiless
        } else {
            switch framing {
            case .none: (framing, writing) = (.length(0), .body(remaining: 0))
            case .length(let count): writing = .body(remaining: count)
            case .chunked where isHTTP10, .untilClose where isHTTP10: writing = .untilClose
            case .chunked, .untilClose: (framing, writing) = (.chunked, .chunks)
            }
        }
        if case .untilClose = writing { framing = .untilClose }
        if head.status == 204 || head.status == 304 { framing = .none }
        if self.isDraining || !isComplete || !self.head.keepAlive { self.persists = false }
        if case .untilClose = writing { self.persists = false }
        self.writing = writing
        self.output.append(atMost: HTTP1Writer.maximumBytes(of: head)) { output in
            HTTP1Writer.appendStatusLine(head.status, to: &output)
            HTTP1Writer.appendFields(of: head, except: .hopByHop, to: &output)
            HTTP1Writer.appendFraming(framing, to: &output)
            if !self.persists {
                output.append("connection: close\r\n")
            } else if isHTTP10 {
                output.append("connection: keep-alive\r\n")
            }
            HTTP1Writer.appendHeadEnd(to: &output)
        }
    }

    /// Sends a head of status 101; from there on the connection carries bytes, and ends with them.
    private func switchProtocols(_ head: MessageHead) {
        self.persists = false
        self.writing = .tunnel
        self.reading = .tunnel
        self.output.append(atMost: HTTP1Writer.maximumBytes(of: head)) { output in
            HTTP1Writer.appendStatusLine(head.status, to: &output)
            HTTP1Writer.appendFields(of: head, except: .hopByHop, to: &output)
            HTTP1Writer.appendUpgrade(to: &output)
            HTTP1Writer.appendHeadEnd(to: &output)
        }
        if self.isReadingPaused { self.setReading(true) }
        // What the client has sent already is the tunnel's.
        self.process()
    }

    /// Sends a piece of the answer's body.
    package func sendBody(_ bytes: ByteBuffer) {
        let count = bytes.readableBytes
        guard count > 0 else { return }
        switch self.writing {
        case .body(let remaining):
            precondition(count <= remaining, "an answer longer than its content-length")
            self.writing = .body(remaining: remaining - count)
            self.output.append(piece: bytes)
        case .untilClose, .tunnel:
            self.output.append(piece: bytes)
        case .chunks:
            self.output.append(atMost: HTTP1Writer.chunkBytes) {
                HTTP1Writer.appendChunkStart(count, to: &$0)
            }
            self.output.append(piece: bytes)
            self.output.append(atMost: HTTP1Writer.chunkBytes) {
                HTTP1Writer.appendChunkEnd(to: &$0)
            }
        case .bodiless, .head, .complete:
            break
        }
    }

    /// Ends the answer, and with it the exchange.
    package func sendEnd() {
        switch self.writing {
        case .head, .complete: return
        case .chunks:
            self.output.append(atMost: HTTP1Writer.chunkBytes) {
                HTTP1Writer.appendLastChunk(to: &$0)
            }
        case .body(let remaining):
            precondition(remaining == 0, "an answer shorter than its content-length")
        case .untilClose, .bodiless, .tunnel: break
        }
        self.writing = .complete
        if !self.isProcessing { self.finishAnswer() }
    }

    /// Gives everything sent so far to the channel, in one write.
    package func flush() {
        self.output.flush()
    }

    /// Ends the connection where it stands: an answer begun stays without its end, so that the
    /// client can tell.
    package func abort() { self.output.abort() }

    /// Tells the client that its body is wanted (RFC 9110 10.1.1), if it waits to be told.
    package func sendContinue() {
        guard self.continuePending, case .head = self.writing else { return }
        self.continuePending = false
        self.output.append(atMost: 32) { $0.append("HTTP/1.1 100 Continue\r\n\r\n") }
        self.flush()
    }

    /// Stops or goes on reading from the client; for backpressure.
    package func setReading(_ isWanted: Bool) {
        guard self.isReadingPaused == isWanted else { return }
        self.isReadingPaused = !isWanted
        self.pace.restart(at: .now(), bytes: self.requestBodyBytes)
        self.setAutoRead(isWanted)
    }

    /// Whether the channel takes more of the answer without growing its queue.
    package private(set) var isWritable = true

    /// Lets the exchange in progress end, then closes; closes at once if there is none.
    package func drain() {
        self.isDraining = true
        guard case .head = self.reading, self.input.bytes.readableBytes == 0 else { return }
        self.channelContext?.close(promise: nil)
    }

    /// The channel, while it is open.
    package var channel: (any Channel)? { self.channelContext?.channel }
}

// MARK: - Channel events

extension HTTP1ServerConnection {
    /// Takes its place in the channel.
    package func handlerAdded(context: ChannelHandlerContext) {
        self.channelContext = context
        self.output.context = context
        self.timer.bind(to: self)
        if context.channel.isActive { self.timer.set(.now() + self.timeouts.head) }
    }

    /// Leaves the channel, which is over.
    package func handlerRemoved(context: ChannelHandlerContext) {
        self.channelContext = nil
        self.output.context = nil
        self.timer.invalidate()
    }

    /// TCP is connected.
    package func channelActive(context: ChannelHandlerContext) {
        self.timer.set(.now() + self.timeouts.head)
    }

    /// Bytes of the peer.
    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.input.receive(Self.unwrapInboundIn(data))
        self.process()
    }

    /// No more has arrived for now.
    package func channelReadComplete(context: ChannelHandlerContext) {
        self.receiver?.requestReadComplete()
        self.flush()
    }

    /// The channel's queue is full, or has room again.
    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        let isWritable = context.channel.isWritable
        self.isWritable = isWritable
        if isWritable {
            self.resumeRequests()
        } else {
            self.answerPace.restart(at: .now(), bytes: self.drainedBytes)
            switch self.reading {
            case .head, .complete, .tunnel: self.timer.set(.now() + self.timeouts.stall)
            default: break
            }
        }
        self.receiver?.answerWritabilityChanged(isWritable: isWritable)
        self.flush()
    }

    /// The peer's end of sending, among what others tell.
    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .inputClosed? = event as? ChannelEvent {
            self.inputEnded(.closed)
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    /// TCP or TLS broke.
    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.inputEnded(.truncated)
        context.close(promise: nil)
    }

    /// The connection is over.
    package func channelInactive(context: ChannelHandlerContext) {
        self.inputEnded(.closed)
        self.timer.invalidate()
        let receiver = self.receiver.take()
        receiver?.connectionClosed()
        self.output.discard()
        self.input = ConnectionInput()
        self.releaseHead()
    }

    private func inputEnded(_ error: StreamError) {
        let hadExchange = self.hasExchange
        self.reading = .discarding(.none)
        if hadExchange {
            self.writing = .complete
            self.persists = false
            self.receiver?.requestFailed(error)
        }
        self.channelContext?.close(promise: nil)
    }
}

// MARK: - Reading

extension HTTP1ServerConnection {
    /// Whether a request was read whose answer is not complete.
    private var hasExchange: Bool {
        switch self.reading {
        case .head, .discarding: false
        case .body, .complete, .tunnel: true
        case .refused: if case .complete = self.writing { false } else { true }
        }
    }

    func process() {
        guard !self.isProcessing else { return }
        self.isProcessing = true
        do throws(HTTPError) {
            while try self.step() {}
        } catch {
            self.refuse(error)
        }
        self.isProcessing = false
        self.input.release()
    }

    /// Takes one step; false when more bytes, or the answer's end, are needed first.
    private func step() throws(HTTPError) -> Bool {
        switch self.reading {
        case .head:
            guard self.input.bytes.readableBytes > 0, self.mayAnswer() else { return false }
            return try self.readHead()
        case .body:
            if case .complete = self.writing, !self.bodyIsHere {
                self.finishAnswer()
                return true
            }
            switch try self.decoder.next(&self.input.bytes) {
            case .needMore:
                return false
            case .bytes(let bytes):
                self.requestBodyBytes += bytes.readableBytes
                self.continuePending = false
                self.receiver?.receiveRequestBody(bytes)
            case .end:
                self.reading = .complete
                self.continuePending = false
                self.timer.set(.now() + self.timeouts.idle)
                self.receiver?.receiveRequestEnd()
            }
            return true
        case .complete:
            guard case .complete = self.writing else {
                self.holdPipelined()
                return false
            }
            self.finishAnswer()
            return true
        case .tunnel:
            guard self.input.bytes.readableBytes > 0 else { return false }
            let bytes = self.input.bytes
            self.input = ConnectionInput()
            self.receiver?.receiveRequestBody(bytes)
            return false
        case .refused:
            guard case .complete = self.writing else { return false }
            self.finishAnswer()
            return true
        case .discarding(var budget):
            let mayContinue = budget.drop(self.input.bytes.readableBytes)
            self.input = ConnectionInput()
            self.reading = .discarding(budget)
            if !mayContinue { self.channelContext?.close(promise: nil) }
            return false
        }
    }

    private func readHead() throws(HTTPError) -> Bool {
        if !self.isHeadBegun {
            self.isHeadBegun = true
            self.head = self.loop.borrowHead()
            self.requestStart = .now()
            self.timer.set(self.requestStart + self.timeouts.head)
        }
        self.persists = true
        self.writing = .head
        self.requestBodyBytes = 0
        guard try self.parser.parse(&self.input.bytes, into: self.head) else {
            self.writing = .complete
            return false
        }
        self.isHeadBegun = false
        self.decoder = HTTP1BodyDecoder(framing: self.head.framing, limits: self.limits)
        switch self.head.framing {
        case .none: self.bodyIsHere = true
        case .length(let count): self.bodyIsHere = count <= self.input.bytes.readableBytes
        case .chunked, .untilClose: self.bodyIsHere = false
        }
        self.reading = .body
        self.continuePending =
            self.head.expectsContinue && self.head.version == .http11 && !self.bodyIsHere
        self.pace.restart(at: self.requestStart, bytes: 0)
        self.timer.set(self.requestStart + self.timeouts.paceInterval)
        if self.receiver == nil { self.receiver = self.makeReceiver(self) }
        self.receiver?.receiveRequestHead(self.head)
        return true
    }

    /// Answers bytes that are not a request, or not the rest of one, and closes.
    func refuse(_ error: HTTPError) {
        let hadExchange = self.hasExchange
        // Another protocol than TLS agreed on gets no answer.
        guard hadExchange || !self.input.startsHTTP2 else { return self.abort() }
        self.bodyIsHere = false
        self.reading = .refused
        self.persists = false
        if hadExchange {
            self.receiver?.requestFailed(.malformed(error))
        } else {
            self.writing = .head
            if self.receiver == nil { self.receiver = self.makeReceiver(self) }
            self.receiver?.receiveBadRequest(error, head: nil)
        }
        if case .complete = self.writing { self.finishAnswer() }
    }

    /// After the answer's end: the next request, or the connection's end.
    private func finishAnswer() {
        switch self.reading {
        case .complete where self.persists:
            self.reading = .head
            self.releaseHead()
            self.timer.set(.now() + self.timeouts.idle)
            if self.isReadingPaused { self.setReading(true) }
            if self.isDraining && self.input.bytes.readableBytes == 0 {
                self.flush()
                self.channelContext?.close(promise: nil)
            } else if self.input.bytes.readableBytes > 0 && !self.isProcessing {
                self.process()
                // Read long ago: no read of the channel will tell the receiver to send on.
                self.receiver?.requestReadComplete()
            }
        case .complete:
            self.reading = .discarding(.none)
            // How long the client may take to read the rest is TLSHandler's.
            self.timer.cancel()
            self.flush()
            self.channelContext?.close(promise: nil)
        case .body, .refused, .tunnel:
            self.linger()
        case .head, .discarding:
            break
        }
    }

    private func releaseHead() {
        self.loop.reclaim(self.head)
        self.head = self.loop.noHead
    }

    private func linger() {
        self.flush()
        guard let channelContext else { return }
        if self.continuePending && self.input.bytes.readableBytes == 0 {
            // The client waits for our word before it sends its body: nothing is on the way.
            self.reading = .discarding(.none)
            channelContext.close(promise: nil)
            return
        }
        let budget = DiscardBudget(at: .now())
        self.reading = .discarding(budget)
        self.timer.set(budget.due)
        if self.isReadingPaused { self.setReading(true) }
        channelContext.close(mode: .output, promise: nil)
    }

    /// Bounds what a client may pipeline while its answer is on the way.
    private func holdPipelined() {
        if self.input.bytes.readableBytes >= Self.maximumPipelinedBytes { self.setReading(false) }
    }

    /// Whether one more request may be taken: not while the answers before it wait to be read.
    ///
    /// Those that are made at once would have no other bound.
    private func mayAnswer() -> Bool {
        if self.output.collectedBytes >= Self.maximumPipelinedBytes { self.flush() }
        if !self.isWritable { self.setReading(false) }
        return self.isWritable
    }

    private func setAutoRead(_ isWanted: Bool) {
        // Cannot fail on an open channel; a closed one reads no more anyway.
        try? self.channelContext?.channel.syncOptions?.setOption(.autoRead, value: isWanted)
    }

    private static let maximumPipelinedBytes = 65_536  // one read's worth
}
