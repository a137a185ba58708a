internal import NIOCore

/// One stream of either side: what of its body waits to leave, and what of the peer's has not been
/// given back to its window.
///
/// Loop-bound; used again for another stream after it has closed.
package class HTTP2Stream {
    /// What there is for the next DATA frame.
    struct NextData {
        /// nil: nothing yet.
        var count: Int?
        var isLast = false
        /// Whether the end of the stream comes with trailers, after the data.
        var hasTrailers = false
    }

    /// Its number; zero while there is no stream.
    var id: Int32 = 0
    let session: HTTP2Session
    let head = MessageHead()
    var reader: HTTP2HeadReader
    /// Whether nghttp2 waits to be told of more body.
    private(set) var isDeferred = false
    private var body = StreamBody()
    private var isBodyEnded = false
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
        self.isDeferred = false
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
    func receiveField(_ name: Span<UInt8>, _ value: Span<UInt8>) -> HTTP2HeadReader.Verdict {
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
        self.resume()
    }

    func queueEnd(trailers: MessageHead?) {
        self.isBodyEnded = true
        if let trailers, !trailers.fields.isEmpty {
            // nghttp2 may take them only after the last of the body.
            let copy = self.trailers ?? MessageHead()
            copy.bytes.clear()
            copy.bytes.writeImmutableBuffer(trailers.bytes)
            copy.fields = trailers.fields
            self.trailers = copy
            self.hasTrailers = true
        }
        self.resume()
    }

    private func resume() {
        guard self.isDeferred else { return }
        self.isDeferred = false
        self.session.resume(self)
    }

    func nextData(limit: Int) -> NextData {
        guard self.body.count > 0 || self.isBodyEnded else {
            self.isDeferred = true
            return NextData()
        }
        let count = min(limit, self.body.count)
        guard self.isBodyEnded, count == self.body.count else { return NextData(count: count) }
        guard self.hasTrailers, let trailers else { return NextData(count: count, isLast: true) }
        self.session.fields.withTrailers(trailers, for: self.session) {
            self.session.submitTrailers(self)
        }
        return NextData(count: count, isLast: true, hasTrailers: true)
    }

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
            self.session.consume(self.id, count)
        }
    }

    /// Stops or goes on giving back window; true if there is an update to be sent.
    func pauseReading(_ isPaused: Bool) -> Bool {
        guard self.isReadingPaused != isPaused else { return false }
        self.isReadingPaused = isPaused
        guard !isPaused, self.unconsumedBytes > 0, self.id != 0 else { return false }
        self.session.consume(self.id, self.unconsumedBytes)
        self.unconsumedBytes = 0
        return true
    }

    /// 64 KiB waiting: no more is asked for.
    private static let highWaterBytes = 65_536
    /// 32 KiB waiting: more is asked for again.
    private static let lowWaterBytes = 32_768
}
