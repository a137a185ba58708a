internal import CNghttp2
internal import NIOCore

// What nghttp2 calls. Each finds its session and calls one method of it
// (https://nghttp2.org/documentation/nghttp2.h.html).

/// The callbacks and options of every session; nghttp2 copies them when it makes one.
@safe final class HTTP2Callbacks: Sendable {
    /// Never changed after it was made, so it may be read from every thread.
    nonisolated(unsafe) let callbacks: OpaquePointer?
    nonisolated(unsafe) let options: OpaquePointer?

    static let shared = HTTP2Callbacks()

    private init() {
        var callbacks: OpaquePointer?
        unsafe nghttp2_session_callbacks_new(&callbacks)
        unsafe nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, http2FrameBegan)
        unsafe nghttp2_session_callbacks_set_on_begin_headers_callback(
            callbacks, http2HeadersBegan)
        unsafe nghttp2_session_callbacks_set_on_header_callback(callbacks, http2FieldReceived)
        unsafe nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(
            callbacks, http2FrameRefused)
        unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
            callbacks, http2DataReceived)
        unsafe nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, http2FrameReceived)
        unsafe nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, http2FrameSent)
        unsafe nghttp2_session_callbacks_set_on_stream_close_callback(
            callbacks, http2StreamClosed)
        unsafe nghttp2_session_callbacks_set_send_data_callback(callbacks, http2SendData)
        unsafe nghttp2_session_callbacks_set_on_extension_chunk_recv_callback(
            callbacks, http2ExtensionReceived)
        unsafe nghttp2_session_callbacks_set_unpack_extension_callback(
            callbacks, http2ExtensionEnded)
        unsafe self.callbacks = unsafe callbacks
        var options: OpaquePointer?
        unsafe nghttp2_option_new(&options)
        unsafe nghttp2_option_set_no_auto_window_update(options, 1)
        // HTTP2HeadReader and the streams check what messages may be: they know most of it anyway.
        unsafe nghttp2_option_set_no_http_messaging(options, 1)
        // nghttp2 passes over frames it does not know without a word; we want to count them.
        for type in UInt8(10)...UInt8.max {
            unsafe nghttp2_option_set_user_recv_extension_type(options, type)
        }
        unsafe self.options = unsafe options
    }
}

/// Calls `body` with the session a callback is about; `otherwise` if nobody is to be called any more.
///
/// A head has a dozen fields and each is a call: the session, which is running, is not retained for
/// any of them, nor is a stream (``HTTP2Session/withStream(_:_:)``).
@unsafe @inline(__always)
private func withSession<Result>(
    _ user: UnsafeMutableRawPointer?, otherwise: Result, _ body: (HTTP2Session) -> Result
) -> Result {
    guard let user = unsafe user else { return otherwise }
    return unsafe Unmanaged<HTTP2Session>.fromOpaque(user)._withUnsafeGuaranteedRef { session in
        session.hasOwner ? body(session) : otherwise
    }
}

extension HTTP2FrameHeader {
    fileprivate init(_ header: nghttp2_frame_hd) {
        self.init(
            type: header.type, flags: header.flags, streamID: header.stream_id,
            length: header.length)
    }
}

private let http2FrameBegan: nghttp2_on_begin_frame_callback = { _, header, user in
    guard let header = unsafe header else { return 0 }
    return unsafe withSession(user, otherwise: 0) { session in
        session.owner?.frameBegan(unsafe HTTP2FrameHeader(header.pointee))
        return 0
    }
}

private let http2HeadersBegan: nghttp2_on_begin_headers_callback = { _, frame, user in
    guard let frame = unsafe frame else { return 0 }
    return unsafe withSession(user, otherwise: 0) { session in
        let header = unsafe HTTP2FrameHeader(frame.pointee.hd)
        let isRequest = unsafe frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST
        return session.beginHeaders(header, isRequest: isRequest)
            ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
    }
}

private let http2FieldReceived: nghttp2_on_header_callback = {
    _, _, name, nameLength, value, valueLength, _, user in
    unsafe withSession(user, otherwise: 0) { session in
        let name = unsafe UnsafeBufferPointer(start: name, count: nameLength)
        let value = unsafe UnsafeBufferPointer(start: value, count: valueLength)
        return session.receiveField(
            unsafe Span(_unsafeElements: name), unsafe Span(_unsafeElements: value))
    }
}

private let http2FrameRefused: nghttp2_on_invalid_frame_recv_callback = { _, frame, _, user in
    guard let frame = unsafe frame else { return 0 }
    return unsafe withSession(user, otherwise: 0) { session in
        session.owner?.frameRefused(unsafe frame.pointee.hd.stream_id)
        return 0
    }
}

private let http2DataReceived: nghttp2_on_data_chunk_recv_callback = {
    _, _, streamID, data, count, user in
    guard let data = unsafe data else { return 0 }
    return unsafe withSession(user, otherwise: 0) { session in
        unsafe session.receiveData(streamID, data, count)
        return 0
    }
}

private let http2FrameReceived: nghttp2_on_frame_recv_callback = { _, frame, user in
    guard let frame = unsafe frame else { return 0 }
    return unsafe withSession(user, otherwise: 0) { session in
        let header = unsafe HTTP2FrameHeader(frame.pointee.hd)
        let increment =
            header.type == HTTP2FrameType.windowUpdate
            ? unsafe frame.pointee.window_update.window_size_increment : 0
        session.frameReceived(header, windowIncrement: increment)
        return 0
    }
}

private let http2ExtensionReceived: nghttp2_on_extension_chunk_recv_callback = {
    _, _, _, _, _ in 0
}

private let http2ExtensionEnded: nghttp2_unpack_extension_callback = { _, _, _, user in
    unsafe withSession(user, otherwise: ()) { session in session.owner?.unknownFrameReceived() }
    return NGHTTP2_ERR_CANCEL.rawValue
}

private let http2FrameSent: nghttp2_on_frame_send_callback = { _, frame, user in
    guard let frame = unsafe frame else { return 0 }
    return unsafe withSession(user, otherwise: 0) { session in
        let header = unsafe HTTP2FrameHeader(frame.pointee.hd)
        switch header.type {
        case HTTP2FrameType.data, HTTP2FrameType.headers:
            session.hasSentMessage = true
            if header.endsStream { session.withStream(header.streamID) { $0.endSent() } }
        case HTTP2FrameType.reset:
            session.owner?.resetSent(
                header.streamID, code: unsafe frame.pointee.rst_stream.error_code)
        default: break
        }
        return 0
    }
}

private let http2StreamClosed: nghttp2_on_stream_close_callback = { _, streamID, code, user in
    unsafe withSession(user, otherwise: 0) { session in
        // Retained: its connection may let go of it.
        guard let stream = session.stream(streamID) else { return 0 }
        session.detach(streamID)
        session.forget(stream)
        session.owner?.streamClosed(stream, code: code)
        return 0
    }
}

/// Says how much body there is; the bytes themselves go in ``http2SendData``.
let http2ReadBody: nghttp2_data_source_read_callback = {
    _, _, _, limit, flags, source, user in
    guard let source = unsafe source, let flags = unsafe flags,
        let object = unsafe CNghttp2_source_pointer(source)
    else { return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue) }
    // The streams' objects are gone once their connection has ended, maybe within this very turn.
    return unsafe withSession(user, otherwise: Int(NGHTTP2_ERR_DEFERRED.rawValue)) { _ in
        let step = unsafe Unmanaged<HTTP2Stream>.fromOpaque(object)
            ._withUnsafeGuaranteedRef { $0.nextData(limit: limit) }
        guard let count = step.count else { return Int(NGHTTP2_ERR_DEFERRED.rawValue) }
        unsafe flags.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
        if step.isLast { unsafe flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue }
        if step.hasTrailers { unsafe flags.pointee |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue }
        return count
    }
}

private let http2SendData: nghttp2_send_data_callback = {
    _, _, frameHeader, count, source, user in
    guard let source = unsafe source, let frameHeader = unsafe frameHeader,
        let object = unsafe CNghttp2_source_pointer(source)
    else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
    let failure = NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
    return unsafe withSession(user, otherwise: failure) { session in
        guard !session.isOutputFull else { return NGHTTP2_ERR_WOULDBLOCK.rawValue }
        unsafe session.output.writeBytes(UnsafeRawBufferPointer(start: frameHeader, count: 9))
        unsafe Unmanaged<HTTP2Stream>.fromOpaque(object)
            ._withUnsafeGuaranteedRef { session.writeData(of: $0, count) }
        return 0
    }
}

// What the callbacks do that is the same on both sides.
extension HTTP2Session {
    fileprivate func beginHeaders(_ header: HTTP2FrameHeader, isRequest: Bool) -> Bool {
        if isRequest {
            guard let stream = self.owner?.openStream(header.streamID) else {
                self.reset(header.streamID, code: HTTP2ErrorCode.refusedStream)
                return false
            }
            self.attach(stream, to: header.streamID)
            self.beginFields(of: stream)
        } else {
            self.beginFields(of: self.stream(header.streamID))
        }
        return true
    }

    fileprivate func receiveField(_ name: Span<UInt8>, _ value: Span<UInt8>) -> CInt {
        switch self.withReadingStream({ $0.receiveField(name, value) }) {
        case .taken, nil: return 0
        case .malformed: return self.refuseField()
        case .flood:
            self.isPaused = true
            self.terminate(code: HTTP2ErrorCode.enhanceYourCalm)
            return NGHTTP2_ERR_PAUSE.rawValue
        }
    }

    private func refuseField() -> CInt {
        self.owner?.fieldRefused()
        // By default the code would be INTERNAL_ERROR.
        self.withReadingStream { self.reset($0.id, code: HTTP2ErrorCode.protocolError) }
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
    }

    @unsafe fileprivate func receiveData(
        _ streamID: Int32, _ data: UnsafePointer<UInt8>, _ count: Int
    ) {
        // At once, also for a stream that reads no more: each is bounded by its own window, and
        // one that stands still must not hold up the others.
        self.consumeConnection(count)
        guard let stream = self.stream(streamID), let start = unsafe self.inputStart else { return }
        let offset = unsafe UnsafeRawPointer(data) - start
        guard let bytes = self.input.getSlice(at: self.input.readerIndex + offset, length: count)
        else { return }
        stream.receiveData(bytes)
    }

    fileprivate func frameReceived(_ header: HTTP2FrameHeader, windowIncrement: Int32) {
        switch header.type {
        case HTTP2FrameType.headers:
            let stream = self.endFields()
            self.owner?.frameReceived(header, windowIncrement: 0)
            stream?.fieldsEnded(endsStream: header.endsStream)
        case HTTP2FrameType.data:
            if header.endsStream { self.stream(header.streamID)?.dataEnded() }
        default:
            self.owner?.frameReceived(header, windowIncrement: windowIncrement)
        }
    }

    fileprivate func writeData(of stream: HTTP2Stream, _ count: Int) {
        stream.takeData(count, to: &self.output)
        if stream.isBlocked, stream.mayContinue {
            stream.isBlocked = false
            self.unblocked.append(stream)
        }
    }
}
