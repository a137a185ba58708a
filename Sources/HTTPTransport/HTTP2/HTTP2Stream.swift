internal import NIOCore

/// One stream of either side: what of its body waits to leave, and what of the peer's has not been
/// given back to its window.
///
/// Loop-bound; used again for another stream after it has closed.
package class HTTP2Stream {
    /// Its number; zero while there is no stream.
    var id: Int32 = 0
    let session: HTTP2Session
    let head = MessageHead()
    var reader: HTTP2HeadReader
    /// What the peer still takes of our body, and may still send of its own; these and the next four
    /// are the session's.
    var sendWindow = 0
    var receiveWindow = 0
    /// Received bytes that have been passed on and not yet given back to the peer.
    var consumedBytes = 0
    /// Whether the session has it among those with something to send.
    var isReady = false
    /// Whether RST_STREAM is on its way: whatever else comes is dropped.
    var isResetting = false
    /// Whether the peer's END_STREAM came.
    var isPeerDone = false
    private var body = StreamBody()
    /// Whether no more body is to come.
    private(set) var isBodyEnded = false
    private var trailers: MessageHead?
    private var hasTrailers = false
    /// Whether somebody was told to send no more for now.
    var isBlocked = false
    /// Whether our END_STREAM has left.
    var hasSentEnd = false
    /// Bytes of body that have left.
    private(set) var sentBytes = 0
    private(set) var isReadingPaused = false
    private var unconsumedBytes = 0
    /// Whether the peer has paid for the reset of this stream.
    var isGlitchCharged = false

    init(session: HTTP2Session, limits: HTTPLimits, isEncrypted: Bool) {
        self.session = session
        self.reader = HTTP2HeadReader(limits: limits, isEncrypted: isEncrypted)
    }

    /// Makes the object ready for another stream.
    func recycle() {
        self.id = 0
        self.head.reset()
        self.sendWindow = 0
        self.receiveWindow = 0
        self.consumedBytes = 0
        self.isReady = false
        self.isResetting = false
        self.isPeerDone = false
        self.body.reset()
        self.isBodyEnded = false
        self.hasTrailers = false
        self.isBlocked = false
        self.hasSentEnd = false
        self.sentBytes = 0
        self.isReadingPaused = false
        self.unconsumedBytes = 0
        self.isGlitchCharged = false
    }

    // MARK: - What the session tells

    /// Fields begin to arrive.
    func beginFields() { self.reader.reset() }
    /// One field.
    func receiveField(
        _ name: Span<UInt8>, _ value: Span<UInt8>, _ facts: HTTP2FieldFacts
    ) -> HTTP2HeadReader.Verdict {
        .malformed
    }
    /// The fields are complete.
    func fieldsEnded(endsStream: Bool) {}
    /// A piece of the peer's body.
    func receiveData(_ bytes: ByteBuffer) {}
    /// The peer's body is complete.
    func dataEnded() {}
    /// Our END_STREAM has left.
    func endSent() { self.hasSentEnd = true }
    /// There is room again after ``isBlocked``.
    func mayContinueSending() {}

    // MARK: - Sending

    /// Bytes of body that wait to leave.
    var waitingBytes: Int { self.body.count }
    /// Whether so much has left that there may be more.
    var mayContinue: Bool { self.body.count <= Self.lowWaterBytes }

    /// Whether more body can be taken; asks to be told when it can.
    var hasRoom: Bool {
        if self.body.count < Self.highWaterBytes { return true }
        self.isBlocked = true
        return false
    }

    func queue(_ bytes: ByteBuffer) {
        self.body.append(bytes)
        self.session.resume(self)
    }

    func queueEnd(trailers: MessageHead?) {
        self.isBodyEnded = true
        if let trailers, !trailers.fields.isEmpty {
            // They leave after the last of the body.
            let copy = self.trailers ?? MessageHead()
            copy.bytes.clear()
            copy.bytes.writeImmutableBuffer(trailers.bytes)
            copy.fields = trailers.fields
            self.trailers = copy
            self.hasTrailers = true
        }
        self.session.resume(self)
    }

    /// What ends the stream after its body, if there is something.
    var trailersToSend: MessageHead? { self.hasTrailers ? self.trailers : nil }

    func takeData(_ count: Int, to output: inout ByteBuffer) {
        self.body.move(count, to: &output)
        self.sentBytes += count
    }

    // MARK: - Receiving

    /// Gives `count` received bytes back to the stream's window, or keeps them until reading goes on.
    func passedOn(_ count: Int) {
        guard self.id != 0 else { return }
        if self.isReadingPaused {
            self.unconsumedBytes += count
        } else {
            self.session.consume(self, count)
        }
    }

    /// Stops or goes on giving back window; true if there is an update to be sent.
    func pauseReading(_ isPaused: Bool) -> Bool {
        guard self.isReadingPaused != isPaused else { return false }
        self.isReadingPaused = isPaused
        guard !isPaused, self.unconsumedBytes > 0, self.id != 0 else { return false }
        self.session.consume(self, self.unconsumedBytes)
        self.unconsumedBytes = 0
        return true
    }

    /// 64 KiB waiting: no more is asked for.
    private static let highWaterBytes = 65_536
    /// 32 KiB waiting: more is asked for again.
    private static let lowWaterBytes = 32_768
}
