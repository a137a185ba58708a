internal import NIOCore

/// What a session tells the connection it belongs to.
///
/// Called from within ``HTTP2Session/receive(_:)`` and ``HTTP2Session/drain(into:limit:)``, which
/// may not be called from there.
protocol HTTP2SessionOwner: AnyObject {
    /// The header of a frame was read; its payload may be malformed or ignored.
    func frameBegan(_ frame: HTTP2FrameHeader)
    /// A frame of no known type was read, and dropped (RFC 9113 5.5).
    func unknownFrameReceived()
    /// The peer opens a stream; nil if it may not.
    func openStream(_ id: Int32) -> HTTP2Stream?
    /// The peer sent a field that is none.
    func fieldRefused()
    /// A whole frame that is not about a stream's message was read.
    func frameReceived(_ frame: HTTP2FrameHeader, windowIncrement: Int32)
    /// A RST_STREAM left.
    func resetSent(_ streamID: Int32, code: UInt32)
    /// A frame of the peer was malformed: its stream will be reset, or the connection ended.
    func frameRefused(_ streamID: Int32)
    /// A stream is over; the session knows it no more.
    func streamClosed(_ stream: HTTP2Stream, code: UInt32)
    /// What could be sent was given to the channel.
    func outputLeft()
}

/// One HTTP/2 connection without its channel (RFC 9113): frames, flow control, the state of streams.
///
/// Bytes go in with ``receive(_:)`` and come out with ``drain(into:limit:)``; in between it calls its
/// owner and its streams. What is to be sent is written as frames at once, but for DATA, which is
/// taken from the streams in turn as the windows allow; that a frame has left, and what follows from
/// it, is told by ``drain(into:limit:)`` only. Loop-bound.
@safe final class HTTP2Session {
    /// What ``receive(_:)`` came to.
    enum Received {
        case all
        /// The first bytes were not the client's preface.
        case notHTTP2
    }

    /// What is done once a frame has left.
    enum Departure {
        /// Our END_STREAM of this stream.
        case end(Int32)
        /// RST_STREAM.
        case reset(Int32, code: UInt32)
        /// Nothing left: the peer takes no stream more, this one is refused.
        case unopened(HTTP2Stream)
    }

    /// Which bytes come next.
    enum Reading {
        /// The client's preface, of which so many bytes came.
        case preface(Int)
        case header
        case payload(HTTP2FrameHeader)
        /// So many bytes of DATA.
        case data(HTTP2FrameHeader, remaining: Int)
        /// A payload that nobody wants.
        case skipping(Int)
    }

    /// Whose header block is being read.
    @safe struct Block {
        let frame: HTTP2FrameHeader
        /// Kept by the owner, which says when it has closed; nil where the fields are dropped.
        var stream: Unmanaged<HTTP2Stream>?
        /// CONTINUATION frames so far.
        var continuations = 0
    }

    let isServer: Bool
    let loop: LoopContext
    let encoder: HPACKEncoder
    let decoder: HPACKDecoder
    /// Cleared by ``abandon()``: nothing is called any more then.
    var owner: (any HTTP2SessionOwner)? {
        didSet { self.hasOwner = self.owner != nil }
    }
    /// Asked all the time, which the reference itself would be counted for.
    private(set) var hasOwner = false
    var streams = HTTP2StreamTable()
    /// The last stream the peer opened, and the last one of those that was not too late.
    var lastPeerStream: Int32 = 0
    var lastProcessedStream: Int32 = 0
    /// The last stream we opened.
    var lastOwnStream: Int32 = 0

    // Reading.
    var reading: Reading
    /// The beginning of a frame's header or payload whose rest is still to come.
    var partial = ByteBuffer()
    /// Set between HEADERS and the end of its block.
    var block: Block?
    /// How many frames may follow HEADERS: as many as the longest head takes, and some.
    private(set) var maximumContinuations = 0
    /// The beginning of a field whose rest is in the next CONTINUATION.
    var partialField = ByteBuffer()
    var hasPeerSettings = false
    /// Whether the peer has yet to acknowledge our SETTINGS.
    var awaitsAcknowledgement = false
    /// What the peer may still send on all streams together.
    var receiveWindow = 65_535
    private var consumedBytes = 0

    // Sending.
    /// Frames that are ready to leave; memory of the loop's while there are any.
    var frames = ByteBuffer()
    /// What those frames mean once they have left.
    var departures: [Departure] = []
    /// Streams with DATA or an end to send, as far as windows are known to allow.
    var ready = CircularBuffer<HTTP2Stream>()
    /// Streams that wait for the connection's window.
    var starved: [HTTP2Stream] = []
    var sendWindow = 65_535
    /// The window a stream begins with, as the peer set it.
    var initialSendWindow = 65_535
    /// How many streams of ours the peer takes at once.
    var peerStreamLimit = Int.max
    /// Acknowledgements in ``frames``: a peer that reads none may not ask for any number of them.
    var queuedAcknowledgements = 0
    /// Streams that may be given more body since some of theirs left.
    var unblocked: [HTTP2Stream] = []

    // The end.
    /// Whether we said that streams not seen yet will not be processed.
    private(set) var hasSentGoAway = false
    /// Whether the peer opens no streams and takes none of ours any more.
    var hasReceivedGoAway = false
    /// The last stream of ours that the peer says it will process.
    var peersLastStream = Int32.max
    /// Whether GOAWAY is the last that we send, and nothing is read any more.
    private(set) var isTerminated = false
    /// Whether the session was ended because its peer did too much of something.
    private(set) var isOverdone = false
    /// Whether HEADERS or DATA have left since this was last cleared.
    var hasSentMessage = false

    /// A session at its very start.
    init(isServer: Bool, loop: LoopContext) {
        self.isServer = isServer
        self.loop = loop
        self.encoder = HPACKEncoder(shared: loop.hpack)
        self.decoder = HPACKDecoder(shared: loop.hpack)
        self.reading = isServer ? .preface(0) : .header
    }

    /// 4 frames more than a head takes whose frames are full.
    private static let spareContinuations = 4

    /// Calls nobody any more, and lets go of the streams, which hold the session in turn.
    func abandon() {
        self.owner = nil
        self.block = nil
        self.streams = HTTP2StreamTable()
        self.unblocked = []
        self.ready = CircularBuffer()
        self.starved = []
        self.departures = []
        self.frames = ByteBuffer()
        self.partial = ByteBuffer()
    }

    /// Announces our settings and opens the connection's window.
    ///
    /// `headBytes` is how long a head may be as HPACK counts it, 32 bytes added to each field (RFC 9113
    /// 6.5.2).
    func announce(headBytes: Int) {
        self.maximumContinuations = Self.spareContinuations + headBytes / Self.maximumFrame
        var settings: [(id: UInt16, value: Int)] = [
            (1, HPACK.tableBytes), (4, HTTP2Settings.streamWindow), (6, headBytes),
        ]
        // MAX_CONCURRENT_STREAMS of a server; a client takes no pushes.
        settings.append(self.isServer ? (3, HTTP2Settings.concurrentStreams) : (2, 0))
        self.write(atMost: 24 + 9 + 6 * settings.count + 13) { output in
            if !self.isServer { output.append("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") }
            output.appendFrame(.settings, stream: 0, length: 6 * settings.count)
            for setting in settings {
                output.append(setting.id.byteSwapped)
                output.append(UInt32(clamping: setting.value).byteSwapped)
            }
        }
        self.awaitsAcknowledgement = true
        let increment = HTTP2Settings.connectionWindow - self.receiveWindow
        self.receiveWindow += increment
        self.writeWindowUpdate(0, increment)
    }

    /// Whether ``drain(into:limit:)`` has something to give.
    var wantsWrite: Bool {
        self.frames.readableBytes > 0 || !self.departures.isEmpty || !self.ready.isEmpty
    }

    /// Whether the session is not over, but for bytes still to be sent.
    var wantsRead: Bool {
        guard !self.isTerminated else { return false }
        return self.streams.count > 0 || !(self.hasSentGoAway || self.hasReceivedGoAway)
    }

    /// Whether the peer takes another stream of ours (no GOAWAY came, ids are left).
    var mayOpenStreams: Bool {
        !self.hasReceivedGoAway && !self.isTerminated && self.lastOwnStream < Int32.max - 2
    }

    // MARK: - Messages

    /// Opens a stream with the request in `head`.
    ///
    /// - Returns: The stream's number. If there are none left, a negative one, and the stream will be
    ///   closed as refused.
    func submitRequest(
        _ stream: HTTP2Stream, _ head: MessageHead, isEncrypted: Bool, contentLength: Int?,
        strippedPrefixBytes: Int, hasBody: Bool
    ) -> Int32 {
        guard self.mayOpenStreams else {
            self.departures.append(.unopened(stream))
            return -1
        }
        let id = self.lastOwnStream == 0 ? 1 : self.lastOwnStream + 2
        self.lastOwnStream = id
        self.attach(stream, to: id)
        self.writeHead(id, endsStream: !hasBody, blockBytes: HPACKEncoder.blockBytes(head)) {
            self.encoder.appendRequest(
                head, isEncrypted: isEncrypted, contentLength: contentLength,
                strippedPrefixBytes: strippedPrefixBytes, to: &$0)
        }
        return id
    }

    /// Answers a stream with `head`.
    func submitResponse(
        _ stream: HTTP2Stream, _ head: MessageHead, contentLength: Int?, hasBody: Bool
    ) {
        guard !stream.isResetting else { return }
        self.writeHead(
            stream.id, endsStream: !hasBody, blockBytes: HPACKEncoder.blockBytes(head)
        ) {
            self.encoder.appendResponse(head, contentLength: contentLength, to: &$0)
        }
    }

    /// Sends a head that is only a status ahead of the final one.
    func submitInformational(_ stream: HTTP2Stream, status: Int) {
        guard !stream.isResetting else { return }
        self.writeHead(stream.id, endsStream: false, blockBytes: 64) {
            self.encoder.appendInformational(status, to: &$0)
        }
    }

    /// Says that a stream has more body, or its end.
    func resume(_ stream: HTTP2Stream) {
        guard !stream.isReady, !stream.isResetting, !self.isTerminated, self.hasOwner else {
            return
        }
        stream.isReady = true
        self.ready.append(stream)
    }

    /// Ends a stream with RST_STREAM; one that could not be opened is over anyway.
    func reset(_ streamID: Int32, code: UInt32) {
        guard streamID > 0, self.hasOwner, !self.isTerminated else { return }
        if let stream = self.stream(streamID) {
            guard !stream.isResetting else { return }
            stream.isResetting = true
        }
        self.write(atMost: 13) { output in
            output.appendFrame(.reset, stream: streamID, length: 4)
            output.append(code.byteSwapped)
        }
        self.departures.append(.reset(streamID, code: code))
    }

    /// Whether a stream is open, or about to close.
    func isOpen(_ streamID: Int32) -> Bool { unsafe self.streams[streamID] != nil }

    /// The object of an open stream.
    func stream(_ id: Int32) -> HTTP2Stream? { unsafe self.streams[id]?.takeUnretainedValue() }

    /// Makes `stream` the object of a new stream.
    func attach(_ stream: HTTP2Stream, to id: Int32) {
        stream.sendWindow = self.initialSendWindow
        stream.receiveWindow = HTTP2Settings.streamWindow
        self.streams.insert(stream, id)
    }

    /// Gives back window for bytes a stream passed on.
    func consume(_ stream: HTTP2Stream, _ count: Int) {
        guard !stream.isPeerDone, !stream.isResetting, stream.id != 0 else { return }
        stream.consumedBytes += count
        // Half a window at a time, so that not each frame is answered with another.
        guard 2 * stream.consumedBytes >= HTTP2Settings.streamWindow else { return }
        stream.receiveWindow += stream.consumedBytes
        self.writeWindowUpdate(stream.id, stream.consumedBytes)
        stream.consumedBytes = 0
    }

    /// Gives back window of the connection.
    func consumeConnection(_ count: Int) {
        self.consumedBytes += count
        guard 2 * self.consumedBytes >= HTTP2Settings.connectionWindow else { return }
        self.receiveWindow += self.consumedBytes
        self.writeWindowUpdate(0, self.consumedBytes)
        self.consumedBytes = 0
    }

    // MARK: - The connection

    /// Asks the peer whether it is still there.
    func ping() {
        self.write(atMost: 17) { output in
            output.appendFrame(.ping, stream: 0, length: 8)
            output.append(UInt64(0))
        }
    }

    /// First step of a graceful end: no new streams, please.
    func announceShutdown() { self.writeGoAway(last: .max, code: HTTP2ErrorCode.none) }

    /// Second step: streams that were not seen until now will not be processed.
    func shutDown() {
        guard !self.isTerminated else { return }
        self.hasSentGoAway = true
        self.writeGoAway(last: self.lastProcessedStream, code: HTTP2ErrorCode.none)
    }

    /// Ends the connection with GOAWAY; nothing is read any more.
    func terminate(code: UInt32) {
        guard !self.isTerminated, self.hasOwner else { return }
        if code == HTTP2ErrorCode.enhanceYourCalm { self.isOverdone = true }
        self.writeGoAway(last: self.lastProcessedStream, code: code)
        self.isTerminated = true
        self.ready.removeAll()
        self.starved = []
    }
}
