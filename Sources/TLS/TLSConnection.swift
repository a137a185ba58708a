internal import COpenSSL
internal import Cryptography
internal import NIOCore

/// Owns one `SSL *` and moves bytes through it; knows nothing of channels.
///
/// Ciphertext goes in as a ByteBuffer and comes out in one; what OpenSSL writes on its own account
/// (handshake, alerts, key updates) is collected with ``takeControlBytes(into:)`` after each call.
/// Used on the loop of its worker.
@safe final class TLSConnection {
    /// Which side we are.
    enum Role {
        case server(TLSServerContext)
        case client(TLSClientContext)
    }

    /// What ``handshake(_:)`` came to.
    enum HandshakeStep {
        case needsInput
        case complete
        case failed(TLSError)
    }

    /// What ``read(_:into:)`` came to.
    enum ReadStep {
        /// All that can be opened is opened.
        case drained
        /// The plaintext buffer is full and there is more.
        case full
        /// The peer sent close_notify.
        case closed
        case failed(TLSError)
    }

    let role: Role
    let ssl: OpaquePointer
    let resources: TLSWorkerResources
    /// What the client presented as SNI, in lower case.
    var serverName: String?
    /// Whether the ClientHello was complete (server only).
    var hasClientHello = false
    var peerIdentity: String?
    /// Why a callback made the handshake fail; more exact than what OpenSSL reports.
    var refusal: TLSError?
    private var records: RecordSize
    private var keyChanges = KeyChangeLimit()

    /// A connection at its very start; nil if memory is short.
    init?(_ role: Role) {
        let ssl: OpaquePointer?
        switch role {
        case .server(let context):
            self.resources = context.resources
            unsafe ssl = unsafe context.makeSSL()
            self.records = RecordSize(isDynamic: context.configuration.purpose == .edge)
        case .client(let context):
            self.resources = context.resources
            self.serverName = context.sentServerName
            unsafe ssl = unsafe context.makeSSL()
            self.records = RecordSize(isDynamic: false)
        }
        guard let ssl = unsafe ssl else { return nil }
        self.role = role
        unsafe self.ssl = ssl
        unsafe self.resources.attach(ssl)
        unsafe COpenSSL_SSL_set_app_data(ssl, Unmanaged.passUnretained(self).toOpaque())
        switch role {
        case .server: unsafe SSL_set_accept_state(ssl)
        case .client: unsafe SSL_set_connect_state(ssl)
        }
    }

    deinit {
        unsafe COpenSSL_SSL_set_app_data(self.ssl, nil)
        unsafe SSL_free(self.ssl)
    }

    /// Takes the handshake as far as `input` allows.
    func handshake(_ input: inout ByteBuffer) -> HandshakeStep {
        let answer = self.withInput(&input) { unsafe SSL_do_handshake(self.ssl) }
        if answer == 1 { return .complete }
        switch unsafe SSL_get_error(self.ssl, answer) {
        case SSL_ERROR_WANT_READ: return .needsInput
        default: return .failed(self.handshakeError())
        }
    }

    /// Opens records into `plaintext` until `input` is used up or `plaintext` is full.
    func read(_ input: inout ByteBuffer, into plaintext: inout ByteBuffer) -> ReadStep {
        var step = ReadStep.drained
        unsafe plaintext.writeWithUnsafeMutableBytes(minimumWritableBytes: 1) { window in
            self.withInput(&input) { unsafe self.fill(window, &step) }
        }
        if let error = self.limitKeyChanges() { return .failed(error) }
        return step
    }

    @unsafe private func fill(_ window: UnsafeMutableRawBufferPointer, _ step: inout ReadStep)
        -> Int
    {
        let transport = unsafe self.resources.transport
        var filled = 0
        while true {
            guard filled < window.count else {
                step = .full
                return filled
            }
            var count = 0
            let answer = unsafe SSL_read_ex(
                self.ssl, window.baseAddress.map { unsafe $0 + filled }, window.count - filled,
                &count)
            guard answer == 1 else {
                step = self.readStep(after: answer)
                return filled
            }
            filled += count
            // Asking once more only to hear "no more" would cost a buffer and a trip each time.
            if unsafe transport.pointee.input_bytes == 0, unsafe SSL_has_pending(self.ssl) == 0 {
                step = .drained
                return filled
            }
        }
    }

    private func readStep(after answer: CInt) -> ReadStep {
        switch unsafe SSL_get_error(self.ssl, answer) {
        case SSL_ERROR_WANT_READ: return .drained
        case SSL_ERROR_ZERO_RETURN: return .closed
        default: return .failed(self.recordError())
        }
    }

    /// Whether OpenSSL holds ciphertext that it took and did not open yet.
    var hasUnopenedInput: Bool { unsafe SSL_has_pending(self.ssl) == 1 }

    /// Seals `plaintext` at the end of `ciphertext`, which grows as needed.
    func write(_ plaintext: ByteBuffer, to ciphertext: inout ByteBuffer) -> TLSError? {
        guard plaintext.readableBytes > 0 else { return nil }
        self.records.beginWrite(bytes: plaintext.readableBytes)
        let transport = unsafe self.resources.transport
        var error: TLSError?
        unsafe plaintext.withUnsafeReadableBytes { source in
            _ = unsafe ciphertext.writeWithUnsafeMutableBytes(
                minimumWritableBytes: Self.sealedBytes(source.count)
            ) { window in
                unsafe transport.pointee.output = window.baseAddress?.assumingMemoryBound(
                    to: UInt8.self)
                unsafe transport.pointee.output_room = window.count
                unsafe transport.pointee.output_bytes = 0
                error = unsafe self.seal(source)
                let produced = unsafe transport.pointee.output_bytes
                unsafe transport.pointee.output = nil
                unsafe transport.pointee.output_room = 0
                unsafe transport.pointee.output_bytes = 0
                return produced
            }
        }
        self.takeControlBytes(into: &ciphertext)
        return error
    }

    @unsafe private func seal(_ source: UnsafeRawBufferPointer) -> TLSError? {
        var sealed = 0
        OpenSSLErrorQueue.clear()
        while sealed < source.count {
            var count = 0
            let piece = min(source.count - sealed, self.records.limit)
            let answer = unsafe SSL_write_ex(
                self.ssl, source.baseAddress.map { unsafe $0 + sealed }, piece,
                &count)
            guard answer == 1 else { return self.recordError() }
            sealed += count
            self.records.wrote(bytes: count)
        }
        return nil
    }

    /// Makes close_notify; writing is over after it, reading is not.
    func shutDownWriting() {
        OpenSSLErrorQueue.clear()
        // 0 says "sent, none received yet", which is all we want (SSL_shutdown(3)).
        if unsafe SSL_shutdown(self.ssl) < 0 { OpenSSLErrorQueue.clear() }
    }

    /// Whether OpenSSL has written something on its own account since the last collection.
    var hasControlBytes: Bool { unsafe self.resources.transport.pointee.spill_bytes > 0 }

    /// Moves what OpenSSL wrote on its own account to the end of `ciphertext`.
    func takeControlBytes(into ciphertext: inout ByteBuffer) {
        let transport = unsafe self.resources.transport
        guard unsafe transport.pointee.spill_bytes > 0 else { return }
        let bytes = unsafe UnsafeRawBufferPointer(
            start: transport.pointee.spill, count: transport.pointee.spill_bytes)
        unsafe ciphertext.writeBytes(bytes)
        unsafe transport.pointee.spill_bytes = 0
    }

    /// Room that `count` bytes need once sealed.
    static func sealedBytes(_ count: Int) -> Int {
        let records =
            min(count, RecordSize.smallBytes) / RecordSize.small + count / RecordSize.large
        return count + (records + 2) * self.maximumRecordOverhead
    }

    /// Lets OpenSSL read from `input` for the length of `body`.
    private func withInput<Answer>(_ input: inout ByteBuffer, _ body: () -> Answer) -> Answer {
        let transport = unsafe self.resources.transport
        let (answer, consumed) = unsafe input.withUnsafeReadableBytes { bytes in
            unsafe transport.pointee.input = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
            unsafe transport.pointee.input_bytes = bytes.count
            unsafe transport.pointee.alert_sent = -1
            unsafe transport.pointee.alert_received = -1
            OpenSSLErrorQueue.clear()
            let answer = body()
            let consumed = unsafe bytes.count - transport.pointee.input_bytes
            unsafe transport.pointee.input = nil
            unsafe transport.pointee.input_bytes = 0
            return (answer, consumed)
        }
        input.moveReaderIndex(forwardBy: consumed)
        return answer
    }

    private func limitKeyChanges() -> TLSError? {
        let transport = unsafe self.resources.transport
        let count = unsafe transport.pointee.key_updates + transport.pointee.refused_renegotiations
        guard count > 0 else { return nil }
        unsafe transport.pointee.key_updates = 0
        unsafe transport.pointee.refused_renegotiations = 0
        return self.keyChanges.admit(Int(count), now: .now()) ? nil : .tooManyKeyChanges
    }

    /// 64 bytes: header 5, explicit nonce 8, type 1, tag 16, and as much again for safety.
    private static let maximumRecordOverhead = 64
}

/// How many key updates or refused renegotiations a peer has left.
private struct KeyChangeLimit {
    private var count = 0
    private var since = NIODeadline.uptimeNanoseconds(0)

    mutating func admit(_ number: Int, now: NIODeadline) -> Bool {
        if now - self.since > .minutes(1) {
            self.since = now
            self.count = 0
        }
        self.count += number
        return self.count <= Self.maximum
    }

    /// 16 a minute: a peer that must change keys every few GiB stays far below.
    private static let maximum = 16
}
