internal import COpenSSL
internal import Cryptography
internal import NIOCore

/// One TLS connection, which knows nothing of channels.
///
/// OpenSSL does the handshake, and all of TLS 1.2; ``RecordProtection`` the records of TLS 1.3.
/// Ciphertext goes in as a ByteBuffer and comes out in one; what goes out on TLS's own account
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
    /// OpenSSL's object; nil once the records are ours.
    private var handle: OpaquePointer?
    /// What the records are protected with after a handshake of TLS 1.3.
    private var protection: RecordProtection?
    /// Nil once the handshake is over.
    private var secrets: TrafficSecrets? = TrafficSecrets()
    /// Records of the handshake's last flight that its traffic key has protected: a server's tickets.
    private var ticketRecords: UInt64 = 0
    let resources: TLSWorkerResources
    /// What the client presented as SNI, in lower case.
    var serverName: String?
    /// Whether the ClientHello was complete (server only).
    var hasClientHello = false
    var peerIdentity: String?
    /// Why a callback made the handshake fail; more exact than what OpenSSL reports.
    var refusal: TLSError?
    /// The stack of the root the server sent, while that is all that is trusted.
    var sentRoot: OpaquePointer?
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
        unsafe self.handle = ssl
        unsafe self.resources.attach(ssl)
        unsafe COpenSSL_SSL_set_app_data(ssl, Unmanaged.passUnretained(self).toOpaque())
        switch role {
        case .server: unsafe SSL_set_accept_state(ssl)
        case .client: unsafe SSL_set_connect_state(ssl)
        }
    }

    deinit {
        self.releaseOpenSSL()
    }

    private func releaseOpenSSL() {
        guard let ssl = unsafe self.handle.take() else { return }
        unsafe COpenSSL_SSL_set_app_data(ssl, nil)
        unsafe SSL_free(ssl)
        if let root = unsafe self.sentRoot.take() {
            unsafe COpenSSL_sk_X509_pop_free(root)
        }
    }

    /// OpenSSL's object, as long as it has the connection.
    var ssl: OpaquePointer {
        guard let handle = unsafe self.handle else {
            preconditionFailure("OpenSSL is asked of a connection it has no longer")
        }
        return unsafe handle
    }

    /// Takes the handshake as far as `input` allows.
    func handshake(_ input: inout ByteBuffer) -> HandshakeStep {
        let schedule = self.resources.keySchedule
        schedule?.secrets = self.secrets
        let answer = self.withInput(&input) { unsafe SSL_do_handshake(self.ssl) }
        schedule?.secrets = nil
        if answer == 1 {
            self.ticketRecords = self.sentRecords
            return .complete
        }
        switch unsafe SSL_get_error(self.ssl, answer) {
        case SSL_ERROR_WANT_READ: return .needsInput
        default: return .failed(self.handshakeError())
        }
    }

    /// Ends OpenSSL's part, if it can be ended here: must be called once the handshake is complete,
    /// what it wrote is collected, and nothing is to be asked of it any more.
    func takeOverRecords(_ session: TLSSessionInfo) {
        defer { self.secrets = nil }
        guard session.version == .tls13, !self.wantsTickets,
            let suite = self.resources.recordCiphers.suite(session.cipher),
            let client = unsafe self.secrets?.client(suite.secretBytes),
            let server = unsafe self.secrets?.server(suite.secretBytes),
            unsafe SSL_has_pending(self.ssl) == 0
        else {
            // One BIO_read takes all of a record, and of the next, instead of a header and a body. Not
            // before: what came behind the handshake must not end in OpenSSL's buffer.
            unsafe SSL_set_read_ahead(self.ssl, 1)
            return
        }
        let isClient = if case .client = self.role { true } else { false }
        guard
            let reading = unsafe TrafficKey.make(
                suite, secret: isClient ? server : client, .opening),
            let writing = unsafe TrafficKey.make(
                suite, secret: isClient ? client : server, .sealing, number: self.ticketRecords)
        else {
            OpenSSLErrorQueue.clear()
            return
        }
        self.protection = RecordProtection(
            reading: reading, writing: writing, isClient: isClient)
        self.releaseOpenSSL()
    }

    /// How many records OpenSSL has written since they were last collected, as far as they are sealed
    /// under the traffic key: all that a server says in answer to the client's Finished.
    private var sentRecords: UInt64 {
        guard case .server = self.role else { return 0 }
        let transport = unsafe self.resources.transport
        var position = 0
        var records: UInt64 = 0
        while unsafe position + 5 <= transport.pointee.spill_bytes {
            let header = unsafe transport.pointee.spill + position
            unsafe position += 5 + Int(header[3]) << 8 + Int(header[4])
            records += 1
        }
        return records
    }

    private var wantsTickets: Bool {
        guard case .client(let context) = self.role else { return false }
        return context.configuration.wantsTickets
    }

    /// Opens records into `plaintext` until `input` is used up or `plaintext` is full.
    func read(_ input: inout ByteBuffer, into plaintext: inout ByteBuffer) -> ReadStep {
        if let protection { return protection.read(&input, into: &plaintext) }
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

    /// Whether OpenSSL's part is over, and the records are ours.
    var hasOwnRecords: Bool { self.protection != nil }

    /// Whether reading may go on without more input: OpenSSL holds ciphertext it took and did not open.
    var hasUnopenedInput: Bool {
        if self.hasOwnRecords { return false }
        return unsafe SSL_has_pending(self.ssl) == 1
    }

    /// How much plaintext may come of what is held already.
    var heldBytes: Int {
        self.protection?.heldBytes ?? (self.hasUnopenedInput ? RecordSize.large : 0)
    }

    /// Seals `plaintext` at the end of `ciphertext`, which grows as needed.
    func write(_ plaintext: ByteBuffer, to ciphertext: inout ByteBuffer) -> TLSError? {
        guard plaintext.readableBytes > 0 else { return nil }
        self.records.beginWrite(bytes: plaintext.readableBytes)
        if let protection { return self.seal(plaintext, to: &ciphertext, protection) }
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

    private func seal(
        _ plaintext: ByteBuffer, to ciphertext: inout ByteBuffer, _ protection: RecordProtection
    ) -> TLSError? {
        var isSealed = true
        unsafe plaintext.withUnsafeReadableBytes { source in
            _ = unsafe ciphertext.writeWithUnsafeMutableBytes(
                minimumWritableBytes: Self.sealedBytes(source.count)
            ) { window in
                let count = unsafe protection.seal(source, into: window, &self.records)
                isSealed = count != nil
                return count ?? 0
            }
        }
        return isSealed ? nil : .ofOpenSSL("sealing a record")
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
        if let protection { return protection.shutDownWriting() }
        OpenSSLErrorQueue.clear()
        // 0 says "sent, none received yet", which is all we want (SSL_shutdown(3)).
        if unsafe SSL_shutdown(self.ssl) < 0 { OpenSSLErrorQueue.clear() }
    }

    /// Whether there is something to send since the last collection that nobody wrote.
    var hasControlBytes: Bool {
        if let protection { return protection.hasControlBytes }
        return unsafe self.resources.transport.pointee.spill_bytes > 0
    }

    /// Moves that to the end of `ciphertext`.
    func takeControlBytes(into ciphertext: inout ByteBuffer) {
        if let protection { return protection.takeControlBytes(into: &ciphertext) }
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
