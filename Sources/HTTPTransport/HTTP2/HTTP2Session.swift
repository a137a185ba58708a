internal import CNghttp2
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
    /// A frame of the peer was malformed for its stream, which will be reset.
    func frameRefused(_ streamID: Int32)
    /// A stream is over; the session knows it no more.
    func streamClosed(_ stream: HTTP2Stream, code: UInt32)
    /// What could be sent was given to the channel.
    func outputLeft()
}

/// Owns one `nghttp2_session *`: frames, HPACK, flow control and the state of streams.
///
/// Knows nothing of channels. Bytes go in with ``receive(_:)`` and come out with ``drain(into:limit:)``;
/// in between it calls its owner and its streams. Windows are given back by the streams, not by
/// nghttp2. Loop-bound.
@safe final class HTTP2Session {
    /// What ``receive(_:)`` came to.
    enum Received {
        case all
        /// The first bytes were not the client's preface.
        case notHTTP2
        /// The peer overdid something; the code is for GOAWAY.
        case failed(code: UInt32)
    }

    private let session: OpaquePointer
    /// What the session's objects lie in.
    private let memory: HTTP2Memory
    /// Cleared by ``abandon()``: nothing is called any more then.
    var owner: (any HTTP2SessionOwner)?
    /// Fields on their way to nghttp2.
    let fields: HTTP2Fields
    /// Names that HPACK's table has for the sake of messages to come.
    private var indexedNames: FieldNameSet = []
    /// Wraps around.
    private var headsSent: UInt16 = 0
    /// Bytes being read, of which body pieces are slices.
    var input = ByteBuffer()
    var inputStart: UnsafeRawPointer?
    /// Bytes being collected by ``drain(into:limit:)``.
    var output = ByteBuffer()
    private var outputLimit = 0
    /// Whether ``output`` has all it may have.
    var isOutputFull: Bool { self.output.readableBytes >= self.outputLimit }
    /// Whose fields are being read; kept by the owner, which says when it has closed.
    private var reading: Unmanaged<HTTP2Stream>?
    /// Streams that may be given more body since some of theirs left.
    var unblocked: [HTTP2Stream] = []
    /// Whether the session was ended because its peer did too much of something.
    private(set) var isOverdone = false
    /// Whether a callback asked to read no further.
    var isPaused = false
    /// Whether HEADERS or DATA have left since this was last cleared.
    var hasSentMessage = false

    /// A session at its very start; nil if memory is short.
    init?(isServer: Bool, loop: LoopContext) {
        self.fields = loop.http2Fields
        self.memory = loop.http2Memory
        var functions = unsafe self.memory.functions
        var session: OpaquePointer?
        let callbacks = HTTP2Callbacks.shared
        let result =
            isServer
            ? unsafe nghttp2_session_server_new3(
                &session, callbacks.callbacks, nil, callbacks.options, &functions)
            : unsafe nghttp2_session_client_new3(
                &session, callbacks.callbacks, nil, callbacks.options, &functions)
        guard result == 0, let session = unsafe session else { return nil }
        unsafe self.session = unsafe session
        unsafe nghttp2_session_set_user_data(
            session, Unmanaged.passUnretained(self).toOpaque())
    }

    deinit { unsafe nghttp2_session_del(self.session) }

    /// Whether callbacks still have somebody to tell.
    var hasOwner: Bool { self.owner != nil }

    /// Calls nobody any more, and lets go of the streams, which hold the session in turn.
    func abandon() {
        self.owner = nil
        unsafe self.reading = nil
        self.unblocked = []
    }

    /// Announces our settings and opens the connection's window.
    ///
    /// `headBytes` is how long a head may be as HPACK counts it, 32 bytes added to each field (RFC 9113
    /// 6.5.2).
    ///
    /// A server's limit of streams is announced by the owner, in the bytes (``patchStreamLimit(in:)``):
    /// nghttp2 ends the connection over a stream too many, we refuse the stream.
    func announce(isServer: Bool, headBytes: Int) {
        var entries = [
            nghttp2_settings_entry(
                settings_id: 1, value: UInt32(HTTP2Settings.headerTableBytes)),
            nghttp2_settings_entry(
                settings_id: 4, value: UInt32(HTTP2Settings.streamWindow)),
            nghttp2_settings_entry(
                settings_id: 6, value: UInt32(clamping: headBytes)),
        ]
        if isServer {
            entries.append(
                nghttp2_settings_entry(settings_id: 3, value: Self.streamLimitPlaceholder))
        } else {
            entries.append(nghttp2_settings_entry(settings_id: 2, value: 0))
        }
        unsafe nghttp2_submit_settings(self.session, 0, entries, entries.count)
        unsafe nghttp2_session_set_local_window_size(
            self.session, 0, 0, HTTP2Settings.connectionWindow)
    }

    /// Writes the limit of streams into the SETTINGS frame at the start of a server's first bytes.
    static func patchStreamLimit(in bytes: inout ByteBuffer) {
        let start = bytes.readerIndex
        guard let length = bytes.getInteger(at: start + 1, as: UInt16.self),
            bytes.getInteger(at: start + 3) == HTTP2FrameType.settings
        else { return }
        for entry in stride(from: start + 9, to: start + 9 + Int(length), by: 6)
        where bytes.getInteger(at: entry, as: UInt16.self) == 3 {
            bytes.setInteger(UInt32(HTTP2Settings.concurrentStreams), at: entry + 2)
        }
    }

    /// Reads bytes of the peer.
    func receive(_ bytes: ByteBuffer) -> Received {
        self.input = bytes
        self.isPaused = false
        let result = unsafe bytes.withUnsafeReadableBytes { bytes -> Int in
            unsafe self.inputStart = bytes.baseAddress
            let start = unsafe bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
            return unsafe nghttp2_session_mem_recv(self.session, start, bytes.count)
        }
        unsafe self.inputStart = nil
        self.input = ByteBuffer()
        if result >= 0 { return .all }
        return result == Self.badMagic
            ? .notHTTP2 : .failed(code: HTTP2ErrorCode.enhanceYourCalm)
    }

    /// Appends what is to be sent to `output`, frame by frame, until there is no more or there are
    /// about `limit` bytes.
    ///
    /// - Returns: Whether there may be more.
    func drain(into output: inout ByteBuffer, limit: Int) -> Bool {
        swap(&self.output, &output)
        defer { swap(&self.output, &output) }
        self.outputLimit = limit
        while !self.isOutputFull {
            var bytes: UnsafePointer<UInt8>?
            let count = unsafe nghttp2_session_mem_send(self.session, &bytes)
            // DATA has been written by its callback, which stops when the output is full.
            guard count > 0, let start = unsafe bytes else { return self.isOutputFull }
            unsafe self.output.writeBytes(UnsafeRawBufferPointer(start: start, count: count))
        }
        return true
    }

    /// Whether ``drain(into:limit:)`` has something to give.
    var wantsWrite: Bool { unsafe nghttp2_session_want_write(self.session) != 0 }
    /// Whether the session is over, but for bytes still to be sent.
    var wantsRead: Bool { unsafe nghttp2_session_want_read(self.session) != 0 }
    /// Whether the peer takes another stream of ours (no GOAWAY came, ids are left).
    var mayOpenStreams: Bool { unsafe nghttp2_session_check_request_allowed(self.session) != 0 }
    /// How many streams of ours the peer takes at once.
    var peerStreamLimit: Int {
        Int(
            unsafe nghttp2_session_get_remote_settings(
                self.session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS))
    }

    // MARK: - Messages

    /// Another head is put together.
    func beginHead() {
        self.headsSent &+= 1
        // Others have pushed the names out of the table by now, or may have.
        if self.headsSent & 1023 == 0 { self.indexedNames = [] }
    }

    /// Whether a field whose value does not come again gets a place in HPACK's table after all.
    ///
    /// The first one does, so that those after it refer to its name instead of spelling it.
    func indexesName(_ name: FieldName) -> Bool {
        guard !self.indexedNames.contains(name) else { return false }
        self.indexedNames.insert(name)
        return true
    }

    /// Opens a stream with the request in ``fields``.
    ///
    /// - Returns: The stream's number; negative if there are none left.
    func submitRequest(_ stream: HTTP2Stream, hasBody: Bool) -> Int32 {
        let object = unsafe Unmanaged.passUnretained(stream).toOpaque()
        guard hasBody else {
            return unsafe nghttp2_submit_request(
                self.session, nil, self.fields.pairs, self.fields.count, nil, object)
        }
        var provider = unsafe CNghttp2_data_provider(object, http2ReadBody)
        return unsafe nghttp2_submit_request(
            self.session, nil, self.fields.pairs, self.fields.count, &provider, object)
    }

    /// Answers a stream with the head in ``fields``.
    func submitResponse(_ stream: HTTP2Stream, hasBody: Bool) {
        guard hasBody else {
            unsafe nghttp2_submit_response(
                self.session, stream.id, self.fields.pairs, self.fields.count, nil)
            return
        }
        let object = unsafe Unmanaged.passUnretained(stream).toOpaque()
        var provider = unsafe CNghttp2_data_provider(object, http2ReadBody)
        unsafe nghttp2_submit_response(
            self.session, stream.id, self.fields.pairs, self.fields.count, &provider)
    }

    /// Sends the head in ``fields`` ahead of the final one.
    func submitInformational(_ stream: HTTP2Stream) {
        unsafe nghttp2_submit_headers(
            self.session, 0, stream.id, nil, self.fields.pairs, self.fields.count, nil)
    }

    /// Ends a stream's body with the trailers in ``fields``.
    func submitTrailers(_ stream: HTTP2Stream) {
        unsafe nghttp2_submit_trailer(
            self.session, stream.id, self.fields.pairs, self.fields.count)
    }

    /// Says that a stream has more body, or its end.
    func resume(_ stream: HTTP2Stream) {
        unsafe nghttp2_session_resume_data(self.session, stream.id)
    }

    /// Ends a stream with RST_STREAM.
    func reset(_ streamID: Int32, code: UInt32) {
        unsafe nghttp2_submit_rst_stream(self.session, 0, streamID, code)
    }

    /// Forgets the object of a stream: it is not called any more.
    func detach(_ streamID: Int32) {
        unsafe nghttp2_session_set_stream_user_data(self.session, streamID, nil)
    }

    /// Whether a stream has an object, that is, is open or about to close.
    func isOpen(_ streamID: Int32) -> Bool {
        unsafe nghttp2_session_get_stream_user_data(self.session, streamID) != nil
    }

    /// Gives back window for bytes a stream passed on.
    func consume(_ streamID: Int32, _ count: Int) {
        unsafe nghttp2_session_consume_stream(self.session, streamID, count)
    }

    /// Gives back window of the connection.
    func consumeConnection(_ count: Int) {
        unsafe nghttp2_session_consume_connection(self.session, count)
    }

    // MARK: - The connection

    func ping() { unsafe nghttp2_submit_ping(self.session, 0, nil) }

    /// First step of a graceful end: no new streams, please.
    func announceShutdown() { unsafe nghttp2_submit_shutdown_notice(self.session) }

    /// Second step: streams that were not seen until now will not be processed.
    func shutDown() {
        let last = unsafe nghttp2_session_get_last_proc_stream_id(self.session)
        unsafe nghttp2_submit_goaway(self.session, 0, last, HTTP2ErrorCode.none, nil, 0)
    }

    /// Ends the connection with GOAWAY; nothing is read any more.
    func terminate(code: UInt32) {
        if code == HTTP2ErrorCode.enhanceYourCalm { self.isOverdone = true }
        unsafe nghttp2_session_terminate_session(self.session, code)
    }

    /// The object of an open stream.
    func stream(_ id: Int32) -> HTTP2Stream? {
        guard let object = unsafe nghttp2_session_get_stream_user_data(self.session, id) else {
            return nil
        }
        return unsafe Unmanaged<HTTP2Stream>.fromOpaque(object).takeUnretainedValue()
    }

    /// Gives `body` the object of an open stream, which `body` may not close; nil if there is none.
    func withStream<Result>(_ id: Int32, _ body: (HTTP2Stream) -> Result) -> Result? {
        guard let object = unsafe nghttp2_session_get_stream_user_data(self.session, id) else {
            return nil
        }
        return unsafe Unmanaged<HTTP2Stream>.fromOpaque(object)._withUnsafeGuaranteedRef(body)
    }

    /// Makes `stream` the one whose fields are read.
    func beginFields(of stream: HTTP2Stream?) {
        unsafe self.reading = stream.map { unsafe Unmanaged.passUnretained($0) }
        stream?.beginFields()
    }

    /// Gives `body` the stream whose fields are read, which `body` may not close; nil if there is none.
    func withReadingStream<Result>(_ body: (HTTP2Stream) -> Result) -> Result? {
        unsafe self.reading?._withUnsafeGuaranteedRef(body)
    }

    /// No more fields; the stream whose they were.
    func endFields() -> HTTP2Stream? {
        defer { unsafe self.reading = nil }
        return unsafe self.reading?.takeUnretainedValue()
    }

    /// Lets go of a stream that has closed.
    func forget(_ stream: HTTP2Stream) {
        if unsafe self.reading?.toOpaque() == Unmanaged.passUnretained(stream).toOpaque() {
            unsafe self.reading = nil
        }
    }

    /// Makes `stream` the object of a stream the peer opened.
    func attach(_ stream: HTTP2Stream, to id: Int32) {
        unsafe nghttp2_session_set_stream_user_data(
            self.session, id, Unmanaged.passUnretained(stream).toOpaque())
    }

    /// NGHTTP2_ERR_BAD_CLIENT_MAGIC.
    private static let badMagic = -903
    /// As good as no limit.
    private static let streamLimitPlaceholder: UInt32 = 0x7fff_ffff
}
