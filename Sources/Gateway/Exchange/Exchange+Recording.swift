internal import Cryptography
internal import HTTPTransport
internal import NIOCore
internal import SealedLog

// What of an exchange goes into the sealed log.
extension Exchange {
    /// Refuses a request that must not be served because it cannot be logged.
    func admitLogging(_ endpoint: Endpoint) throws(GatewayError) {
        guard let log = endpoint.log else { return }
        switch log.service {
        case .logged:
            guard log.isRequired || log.durability == .strict,
                self.worker.recorder?.hasRoom == false
            else { return }
            throw GatewayError(kind: .logUnavailable, source: .internal, cause: "log queue full")
        case .unlogged: return
        case .refused:
            throw GatewayError(kind: .logUnavailable, source: .internal, cause: "log not writable")
        }
    }

    /// Begins to keep the request, where the deployment's collector wants it and it is sampled.
    func beginRecording(_ head: MessageHead, _ endpoint: Endpoint, _ deployment: Deployment) {
        guard let log = endpoint.log, let collector = deployment.configuration.collector,
            let recorder = self.worker.recorder,
            let recording = recorder.begin(log, collector, random: &self.worker.random)
        else { return }
        self.recording = recording
        recording.requestID = self.requestIdentifier(recorder)
        if collector.logsRequests {
            recorder.keepFields(of: head, forwarded: false, in: &recording.request)
        }
    }

    /// Keeps a piece of the request's body.
    func recordRequest(_ bytes: ByteBuffer) {
        guard let recording, recording.collector.logsRequests, self.upgrade != .done else { return }
        self.worker.recorder?.keep(
            bytes, in: &recording.request, limit: recording.collector.bodyBytes)
    }

    /// Keeps the answer's head as the client gets it.
    func recordResponse(_ head: MessageHead) {
        guard let recording, recording.collector.logsResponses else { return }
        self.worker.recorder?.keepFields(of: head, forwarded: true, in: &recording.response)
    }

    /// Keeps a piece of the answer's body.
    func recordResponse(_ bytes: ByteBuffer) {
        guard let recording, recording.collector.logsResponses, self.upgrade != .done else {
            return
        }
        self.worker.recorder?.keep(
            bytes, in: &recording.response, limit: recording.collector.bodyBytes)
    }

    /// Writes what is left to write of the exchange, which is over.
    func endRecording() {
        guard let recording, let recorder = self.worker.recorder else { return }
        self.recording = nil
        if let ticket = recording.requestTicket { recorder.forget(ticket) }
        if recording.collector.logsRequests, !recording.isRequestSealed {
            recorder.write(to: recording.log, recording.request.size) { batch, withBody in
                self.encodeRequest(recording, withBody, to: &batch)
            }
        }
        if recording.collector.logsResponses {
            recorder.write(to: recording.log, recording.response.size) { batch, withBody in
                self.encodeResponse(recording, withBody, to: &batch)
            }
        }
        recorder.end(recording)
    }

    private func requestIdentifier(_ recorder: Recorder) -> LogIdentifier {
        if case .field(let range) = self.ids.requestID, let head {
            let buffer = head.bytes
            return recorder.identifier(of: buffer.readableBytesUInt8Span.extracting(range))
        }
        return self.ids.made.identifier
    }

    private func appendNames(_ recording: Recording, to batch: inout EntryBatch) {
        let endpoint = recording.log.nameBytes
        batch.append(.endpoint, endpoint.rawSpan)
        guard let name = self.deployment?.nameBytes else { return }
        batch.append(.deployment, name.rawSpan)
    }

    private func encodeRequest(
        _ recording: Recording, _ withBody: Bool, to batch: inout EntryBatch
    ) {
        batch.begin(
            .request, nanoseconds: recording.nanoseconds, requestID: recording.requestID)
        self.appendNames(recording, to: &batch)
        if let head {
            batch.append(.method, head.method.name)
            let bytes = head.bytes
            batch.append(.path, bytes.readableBytesSpan.extracting(head.pathRange))
        }
        recording.request.encode(withBody: withBody, to: &batch)
        self.appendText(self.ids.requestID, .requestIDText, to: &batch)
        self.appendText(self.ids.clientRequestID, .clientRequestIDText, to: &batch)
        if let key = self.record.key {
            batch.append(.endpointKeyID, key.high, key.low, byteCount: EndpointKeyID.byteCount)
        }
        batch.end()
    }

    private func encodeResponse(
        _ recording: Recording, _ withBody: Bool, to batch: inout EntryBatch
    ) {
        let elapsed = (NIODeadline.now() - self.record.start).nanoseconds
        let time = recording.nanoseconds == 0 ? 0 : recording.nanoseconds + UInt64(max(0, elapsed))
        batch.begin(.response, nanoseconds: time, requestID: recording.requestID)
        self.appendNames(recording, to: &batch)
        batch.append(.status, UInt16(clamping: self.record.status))
        recording.response.encode(withBody: withBody, to: &batch)
        self.appendText(self.ids.requestID, .requestIDText, to: &batch)
        batch.append(.outcome, self.outcome.rawValue)
        if let address = recording.backend?.addressBytes {
            batch.append(.backend, address.rawSpan)
        }
        if !recording.log.isHBI { batch.append(.duration, UInt64(max(0, elapsed))) }
        batch.end()
    }

    private func appendText(
        _ id: RequestIDs.Source, _ tag: LogEntry.Tag, to batch: inout EntryBatch
    ) {
        switch id {
        case .absent: return
        case .made:
            guard let recorder = self.worker.recorder else { return }
            recorder.text.clear()
            recorder.text.write(atMost: UUIDText.byteCount) { self.ids.made.write(to: &$0) }
            let text = recorder.text
            batch.append(tag, text.readableBytesSpan)
        case .field(let range):
            guard let head else { return }
            let bytes = head.bytes
            batch.append(tag, bytes.readableBytesSpan.extracting(range))
        }
    }

    private var outcome: LogEntry.Outcome {
        switch self.record.failure?.kind {
        case nil: .complete
        case .clientGone: .clientCancelled
        case .timedOut: .timedOut
        case .badBackend, .notReady, .modelStatus: .backendFailed
        default: .cut
        }
    }
}

// `strict`: nobody sees the end of an answer that the log could still lose.
extension Exchange {
    /// Holds the answer back, where its log is strict; the answer that says that the log fails is not.
    ///
    /// - Returns: Whether it was taken.
    func holdAnswer(_ head: MessageHead, framing: BodyFraming) -> Bool {
        guard let recording, recording.log.durability == .strict, self.upgrade == .none,
            self.record.failure?.kind.isLogFailure != true, let recorder = self.worker.recorder
        else { return false }
        let held = HeldAnswer(
            head, framing: framing, isBodyless: self.head?.method == .head)
        self.held = held
        guard recording.collector.logsRequests else {
            held.requestIsDurable()
            self.passHeld()
            return true
        }
        self.sealRequest(recording, recorder)
        if recording.isRequestDurable {
            held.requestIsDurable()
            self.passHeld()
            return true
        }
        guard recording.requestTicket != nil else {
            self.fail(GatewayError(kind: .logUnavailable, source: .internal, cause: "log full"))
            return true
        }
        self.setUpstreamReading(false)
        return true
    }

    /// Has the entry of a request made durable that came to its end, while the model works on it.
    func sealWholeRequest() {
        guard let recording, recording.log.durability == .strict,
            recording.collector.logsRequests, self.upgrade == .none,
            let recorder = self.worker.recorder
        else { return }
        self.sealRequest(recording, recorder)
    }

    private func sealRequest(_ recording: Recording, _ recorder: Recorder) {
        guard !recording.isRequestSealed else { return }
        recording.isRequestSealed = true
        recording.requestTicket = recorder.writeDurably(
            to: recording.log, recording.request.size, .init(exchange: self, isResponse: false)
        ) { batch, withBody in
            self.encodeRequest(recording, withBody, to: &batch)
        }
    }

    /// An entry is durable, or lost.
    func sealed(_ ticket: UInt64, isDurable: Bool) {
        if let recording, recording.requestTicket == ticket {
            recording.requestTicket = nil
            recording.isRequestDurable = isDurable
            guard let held else { return }
            guard isDurable else { return self.logFailed() }
            held.requestIsDurable()
            self.passHeld()
            if !held.isEnded { self.setUpstreamReading(self.connection.isWritable) }
            self.connection.flush()
            return
        }
        guard let held, held.ticket == ticket else { return }
        held.ticket = nil
        guard isDurable else { return self.logFailed() }
        self.beginHeld(held)
        self.held = nil
        if held.body.readableBytes > 0 { self.connection.sendBody(held.body) }
        self.finish()
        self.connection.sendEnd(trailers: held.trailers)
        self.connection.flush()
    }

    private func logFailed() {
        self.fail(GatewayError(kind: .logUnavailable, source: .internal, cause: "log failed"))
    }

    /// Sends what may leave by now; once the answer is over, has its entry made durable.
    func passHeld() {
        guard let held, held.isRequestDurable else { return }
        if held.mayBegin {
            self.beginHeld(held)
            if let bytes = held.takeBody() { self.connection.sendBody(bytes) }
        }
        guard held.isEnded, held.ticket == nil, let recording,
            let recorder = self.worker.recorder
        else { return }
        guard recording.collector.logsResponses else {
            self.recording = nil
            recorder.end(recording)
            // Nothing is left to wait for.
            held.ticket = 0
            self.sealed(0, isDurable: true)
            return
        }
        held.ticket = recorder.writeDurably(
            to: recording.log, recording.response.size, .init(exchange: self, isResponse: true)
        ) { batch, withBody in
            self.encodeResponse(recording, withBody, to: &batch)
        }
        self.recording = nil
        recorder.end(recording)
        if held.ticket == nil {
            self.fail(GatewayError(kind: .logUnavailable, source: .internal, cause: "log full"))
        }
    }

    private func beginHeld(_ held: HeldAnswer) {
        guard !held.isBegun else { return }
        held.isBegun = true
        self.isAnswerBegun = true
        self.connection.sendHead(held.head, framing: held.framing)
    }

    /// Nothing is held any more: the exchange is over in another way.
    func dropHeld() {
        guard let held = self.held.take() else { return }
        if let ticket = held.ticket { self.worker.recorder?.forget(ticket) }
    }
}
