package import NIOCore

/// One HTTP/2 connection of a client: its streams, each with a receiver of its own.
///
/// Loop-bound; the last handler of its channel, after TLS that agreed on `h2`. Frames are
/// ``HTTP2Session``'s; limits, time and what a client may ask of us are kept here. What all streams
/// send within one turn of the loop leaves in one write.
package final class HTTP2ServerConnection: ChannelInboundHandler, ServerConnection {
    /// What TLS decrypted.
    package typealias InboundIn = ByteBuffer
    /// What TLS is to encrypt.
    package typealias OutboundOut = ByteBuffer

    private enum Phase {
        case open
        /// GOAWAY was announced; the real one follows when the timer says so.
        case closing(since: NIODeadline, isAnnounced: Bool)
        /// The last bytes are out; what arrives is dropped, so that the client comes to read them.
        case discarding(remaining: Int)
        case closed
    }

    private let loop: LoopContext
    private let limits: HTTPLimits
    private let timeouts: ServerTimeouts
    private let isEncrypted: Bool
    private let timer: DeadlineTimer
    private let receiverMaker: (HTTP2ServerStream) -> any RequestReceiver
    private let flooded: () -> Void
    let session: HTTP2Session
    let output: HTTP2Output
    private var channelContext: ChannelHandlerContext?
    private var phase = Phase.open
    /// Streams the session knows.
    private var streams: [HTTP2ServerStream] = []
    /// Objects that wait for another stream, with their receivers.
    private var spare: [HTTP2ServerStream] = []
    /// Streams to which something came in the present read.
    var touched: [HTTP2ServerStream] = []
    private var highestStreamID: Int32 = 0
    /// Whether the client has left numbers of streams out.
    private var hasSkippedStreams = false
    private var resets = RecentResets()
    private var glitches: GlitchBucket
    private var settingsFrames = 0
    /// When the present read began.
    private var readTime: NIODeadline
    /// Since when a head is not complete; also before the first.
    private var headBegan: NIODeadline?
    private var idleSince: NIODeadline
    private var answerPace = Pace()

    /// A connection whose preface is still to come.
    ///
    /// - Parameters:
    ///   - loop: The loop it belongs to.
    ///   - limits: What a request may bring.
    ///   - timeouts: How long it waits for the client.
    ///   - isEncrypted: Whether TLS comes first, so that the scheme is `https`.
    ///   - flooded: Called if the client is sent away for what it overdid, once.
    ///   - makeReceiver: Called for each stream object; the receiver gets the requests of all streams
    ///     the object serves, one after the other.
    package init(
        loop: LoopContext, limits: HTTPLimits, timeouts: ServerTimeouts, isEncrypted: Bool = true,
        flooded: @escaping () -> Void = {},
        makeReceiver: @escaping (any ServerStream) -> any RequestReceiver
    ) {
        let session = HTTP2Session(isServer: true, loop: loop)
        self.loop = loop
        self.limits = limits
        self.timeouts = timeouts
        self.isEncrypted = isEncrypted
        self.timer = DeadlineTimer(wheel: loop.deadlines)
        self.receiverMaker = { makeReceiver($0) }
        self.flooded = flooded
        self.session = session
        self.output = HTTP2Output(loop: loop, session: session)
        let now = NIODeadline.now()
        self.readTime = now
        self.headBegan = now
        self.idleSince = now
        self.glitches = GlitchBucket(now: now)
    }

    func makeReceiver(_ stream: HTTP2ServerStream) -> any RequestReceiver {
        self.receiverMaker(stream)
    }

    /// Looks at all streams again at `time` or before.
    func check(by time: NIODeadline) { self.timer.set(min(self.timer.due, time)) }

    /// Asks the client for no more streams, lets those there are end, and closes.
    ///
    /// In two steps, a second apart, so that no stream is lost that is on its way (RFC 9113 6.8).
    package func drain() {
        guard case .open = self.phase else { return }
        self.phase = .closing(since: .now(), isAnnounced: true)
        self.session.announceShutdown()
        self.output.schedule()
        self.timer.set(.now() + Self.shutdownDelay)
    }

    /// Ends the connection where it stands.
    package func abort() {
        self.channelContext?.close(promise: nil)
    }

    /// 1 s between the steps of GOAWAY: a round trip and more.
    private static let shutdownDelay = TimeAmount.seconds(1)
    /// 256 KiB or 2 s: what is read and dropped after GOAWAY, so that the client comes to read it.
    private static let maximumDiscardedBytes = 262_144
    private static let discardTime = TimeAmount.seconds(2)
    /// 32 stream objects: as many as most clients ever use at once.
    private static let maximumSpare = 32
    /// 16 KiB: an object whose head was larger is not kept.
    private static let maximumKeptHeadBytes = 16_384
    /// 1 KiB a stall interval, of all streams together.
    private static let minimumProgressBytes = 1024
}

// MARK: - Channel events

extension HTTP2ServerConnection {
    /// Takes its place in the channel and sends its settings.
    package func handlerAdded(context: ChannelHandlerContext) {
        self.channelContext = context
        self.output.context = context
        self.session.owner = self
        self.timer.bind(to: self)
        self.session.announce(headBytes: self.limits.headBytes)
        self.output.schedule()
        self.timer.set(.now() + self.nextCheck)
    }

    /// Leaves the channel, which is over.
    package func handlerRemoved(context: ChannelHandlerContext) {
        self.ended()
        self.channelContext = nil
        self.output.context = nil
    }

    /// Bytes of the peer.
    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = Self.unwrapInboundIn(data)
        switch self.phase {
        case .closed: return
        case .discarding(let remaining):
            let left = remaining - bytes.readableBytes
            self.phase = .discarding(remaining: left)
            if left <= 0 { context.close(promise: nil) }
            return
        case .open, .closing: break
        }
        self.readTime = .now()
        switch self.session.receive(bytes) {
        case .all: break
        case .notHTTP2:
            self.phase = .closed
            context.close(promise: nil)
            return
        }
        // Never later than before: a head that trickles in has no more time than another.
        if let headBegan { self.check(by: headBegan + self.timeouts.head) }
        if self.session.wantsWrite || !self.session.wantsRead { self.output.schedule() }
    }

    /// No more has arrived for now.
    package func channelReadComplete(context: ChannelHandlerContext) {
        guard !self.touched.isEmpty else { return }
        var touched: [HTTP2ServerStream] = []
        swap(&touched, &self.touched)
        for stream in touched { stream.readComplete() }
        touched.removeAll(keepingCapacity: true)
        if self.touched.isEmpty { swap(&touched, &self.touched) }
        if self.session.wantsWrite { self.output.schedule() }
    }

    /// The channel's queue is full, or has room again.
    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            self.output.schedule()
        } else {
            self.answerPace.restart(at: .now(), bytes: self.output.drainedBytes)
        }
    }

    /// The peer's end of sending, among what others tell.
    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .inputClosed? = event as? ChannelEvent {
            self.ended()
            context.close(promise: nil)
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    /// TCP or TLS broke.
    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.ended()
        context.close(promise: nil)
    }

    /// The connection is over.
    package func channelInactive(context: ChannelHandlerContext) {
        self.ended()
    }

    private func ended() {
        self.phase = .closed
        self.session.abandon()
        self.timer.invalidate()
        let streams = self.streams + self.spare
        self.streams = []
        self.spare = []
        self.touched = []
        for stream in streams {
            stream.closed(.closed)
            stream.retire()
        }
    }
}

// MARK: - What the session tells

extension HTTP2ServerConnection: HTTP2SessionOwner {
    func frameBegan(_ frame: HTTP2FrameHeader) {
        switch frame.type {
        case .headers:
            if frame.streamID > self.highestStreamID || self.session.isOpen(frame.streamID) {
                self.headBegan = self.readTime
            }
            if frame.length == 0 { self.charge(.emptyFrame) }
            self.checkOpen(frame.streamID)
            return
        case .data:
            if frame.length == 0, !frame.endsStream { self.charge(.emptyFrame) }
            self.checkOpen(frame.streamID)
        case .continuation:
            self.charge(frame.length == 0 ? .emptyFrame : .continuation)
            return
        case .reset, .goAway, .windowUpdate: break
        case .priority: self.charge(.priority)
        case .settings:
            // Two are due: the client's own, and its acknowledgement of ours.
            self.settingsFrames += 1
            if self.settingsFrames > 2 { self.charge(.settings) }
        case .ping:
            // One for each burst that was sent to it: that is how gRPC measures the bandwidth.
            if !self.session.hasSentMessage { self.charge(.ping) }
            self.session.hasSentMessage = false
        default: break
        }
        if self.highestStreamID > 0 { self.headBegan = nil }
    }

    /// A frame of a message on a stream that is over is an error of the connection, unless it was us
    /// who cut the stream short (RFC 9113 5.1).
    private func checkOpen(_ streamID: Int32) {
        guard streamID <= self.highestStreamID, streamID & 1 == 1,
            !self.session.isOpen(streamID), !self.resets.contains(streamID)
        else { return }
        // Of numbers that were left out nobody remembers which; no client of good will leaves any.
        self.session.terminate(
            code: self.hasSkippedStreams
                ? HTTP2ErrorCode.protocolError : HTTP2ErrorCode.streamClosed)
    }

    func openStream(_ id: Int32) -> HTTP2Stream? {
        if id > 1, id - self.highestStreamID > 2 { self.hasSkippedStreams = true }
        self.highestStreamID = id
        guard self.streams.count < HTTP2Settings.concurrentStreams else {
            self.headBegan = nil
            self.resets.insert(id)
            self.charge(.refusedStream)
            return nil
        }
        let stream =
            self.spare.popLast()
            ?? HTTP2ServerStream(
                connection: self, session: self.session, limits: self.limits,
                isEncrypted: self.isEncrypted)
        stream.open(id, at: self.readTime)
        stream.place = self.streams.count
        self.streams.append(stream)
        return stream
    }

    func unknownFrameReceived() { self.charge(.unknownFrame) }

    func fieldRefused() {
        self.headBegan = nil
        self.charge(.brokenStream)
    }

    func frameRefused(_ streamID: Int32) {
        self.headBegan = nil
        guard streamID != 0, let stream = self.session.stream(streamID) else { return }
        self.charge(.brokenStream, for: stream)
    }

    func frameReceived(_ frame: HTTP2FrameHeader, windowIncrement: Int32) {
        switch frame.type {
        case .headers:
            self.headBegan = nil
        case .windowUpdate:
            if windowIncrement == 1 { self.charge(.tinyWindowUpdate) }
        case .reset:
            if let stream = self.session.stream(frame.streamID), !stream.hasSentEnd {
                self.charge(.reset)
            }
        default: break
        }
    }

    func resetSent(_ streamID: Int32, code: UInt32) {
        self.resets.insert(streamID)
        switch code {
        case HTTP2ErrorCode.none, HTTP2ErrorCode.cancel, HTTP2ErrorCode.refusedStream,
            HTTP2ErrorCode.internalError:
            break
        default:
            if let stream = self.session.stream(streamID) {
                self.charge(.brokenStream, for: stream)
            }
        }
    }

    func streamClosed(_ stream: HTTP2Stream, code: UInt32) {
        guard let stream = stream as? HTTP2ServerStream else { return }
        let last = self.streams.removeLast()
        if last !== stream {
            self.streams[stream.place] = last
            last.place = stream.place
        }
        stream.closed(.closed)
        if self.spare.count < Self.maximumSpare,
            stream.head.bytes.capacity <= Self.maximumKeptHeadBytes
        {
            stream.recycle()
            self.spare.append(stream)
        } else {
            stream.retire()
        }
        if self.streams.isEmpty { self.idleSince = self.readTime }
    }

    func outputLeft() {
        guard !self.session.wantsRead, !self.session.wantsWrite, let channelContext else { return }
        switch self.phase {
        case .open, .closing:
            self.phase = .discarding(remaining: Self.maximumDiscardedBytes)
            self.timer.set(.now() + Self.discardTime)
            if self.session.isOverdone {
                // Who floods is read no further: what is on the way would have to be decrypted.
                try? channelContext.channel.syncOptions?.setOption(.autoRead, value: false)
                self.flooded()
            }
            channelContext.close(mode: .output, promise: nil)
        case .discarding, .closed: break
        }
    }

    /// Lets a client pay for what makes us work; once, for all that is wrong with one stream.
    func charge(_ glitch: Glitch, for stream: HTTP2Stream) {
        guard !stream.isGlitchCharged else { return }
        stream.isGlitchCharged = true
        self.charge(glitch)
    }

    private func charge(_ glitch: Glitch) {
        switch self.glitches.charge(glitch, now: self.readTime) {
        case .enough: break
        case .low: self.drain()
        case .empty: self.session.terminate(code: HTTP2ErrorCode.enhanceYourCalm)
        }
    }
}

// MARK: - Time

extension HTTP2ServerConnection: DeadlineOwner {
    /// Looks at everything that may take too long.
    package func deadlinePassed(_ timer: DeadlineTimer, now: NIODeadline) {
        switch self.phase {
        case .closed: return
        case .discarding:
            self.channelContext?.close(promise: nil)
            return
        case .closing(let since, isAnnounced: true) where now - since >= Self.shutdownDelay:
            self.phase = .closing(since: since, isAnnounced: false)
            self.session.shutDown()
            self.output.schedule()
        case .open, .closing: break
        }
        self.readTime = now
        if let headBegan, now - headBegan >= self.timeouts.head {
            self.channelContext?.close(promise: nil)
            return
        }
        if self.streams.isEmpty {
            for stream in self.spare { stream.retire() }
            self.spare = []
            if now - self.idleSince >= self.timeouts.idle, case .open = self.phase {
                self.session.terminate(code: HTTP2ErrorCode.none)
                self.output.schedule()
            }
        }
        self.timer.set(now + self.nextCheck)
        // From the end: a stream that closes is replaced by the last one.
        for index in self.streams.indices.reversed() where index < self.streams.count {
            self.streams[index].checkPace(at: now, self.timeouts)
        }
        self.checkReader(now: now)
    }

    /// How soon something may be due.
    private var nextCheck: TimeAmount {
        var next = min(self.timeouts.paceInterval, self.timeouts.stall)
        if self.headBegan != nil { next = min(next, self.timeouts.head) }
        if self.streams.isEmpty { next = min(next, self.timeouts.idle) }
        if case .closing(_, isAnnounced: true) = self.phase { next = min(next, Self.shutdownDelay) }
        return next
    }

    /// Ends a connection whose client takes nothing.
    private func checkReader(now: NIODeadline) {
        guard let channelContext, !channelContext.channel.isWritable,
            now - self.answerPace.start >= self.timeouts.stall
        else { return }
        let drained = self.output.drainedBytes
        if drained - self.answerPace.bytes < Self.minimumProgressBytes {
            for stream in self.streams { stream.closed(.tooSlow) }
            channelContext.close(promise: nil)
        } else {
            self.answerPace.restart(at: now, bytes: drained)
        }
    }
}

/// The streams last reset by us, on which frames may still be on the way.
struct RecentResets {
    private var ids: [Int32] = []
    private var next = 0

    mutating func insert(_ id: Int32) {
        // One that is refused comes twice: as it is opened, and when RST_STREAM has left.
        if self.contains(id) { return }
        if self.ids.count < Self.capacity {
            self.ids.append(id)
        } else {
            self.ids[self.next] = id
            self.next = (self.next + 1) % Self.capacity
        }
    }

    func contains(_ id: Int32) -> Bool { self.ids.contains(id) }

    /// 128: more than are open at once.
    private static let capacity = 128
}
