internal import HTTPTransport
internal import NIOCore

// How the gateway's own answers are written, and what every answer gets.
extension Exchange {
    /// Answers over HTTP.
    func send(_ answer: Answer, of kind: GatewayError.Kind) {
        // A connection that was to become plain bytes stays HTTP's.
        self.upgrade = .none
        self.record.status = answer.status
        let head = self.worker.answerHead
        head.reset()
        head.status = answer.status
        head.append("cache-control", "no-store")
        if let reason = answer.reason { head.append("ms-azureml-model-error-reason", reason) }
        if let seconds = answer.retryAfter { head.append("retry-after", seconds) }
        if answer.status == 405 {
            head.append("allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH")
        }
        if answer.status == 401 { head.append("www-authenticate", "Bearer") }
        var body = self.worker.loop.borrowBuffer()
        switch answer.body {
        case .empty:
            break
        case .text(let text):
            head.append("content-type", "text/plain; charset=utf-8")
            body.writeStaticString(text)
        case .json(let text):
            head.append("content-type", "application/json")
            body.writeStaticString(text)
        case .code(let code):
            head.append("content-type", "application/json")
            body.writeStaticString(#"{"error":{"code":""#)
            body.writeStaticString(code)
            if self.ids.isQuotable(of: self.head) {
                body.writeStaticString(#"","request_id":""#)
                body.write(atMost: RequestIDs.maximumCharacters) {
                    self.ids.write(self.ids.requestID, of: self.head, to: &$0)
                }
            }
            body.writeStaticString(#""}}"#)
        }
        if self.worker.snapshot.isAgent { AgentHop.mark(head, kind) }
        self.appendCommonFields(to: head)
        self.recordResponse(head)
        self.record.responseBytes = body.readableBytes
        self.send(head, framing: .length(body.readableBytes), body)
        self.worker.loop.reclaim(body)
    }

    /// Sends all of an answer of ours; where its log is strict, its end once that is durable.
    private func send(_ head: MessageHead, framing: BodyFraming, _ body: ByteBuffer) {
        self.record.responseStart = .now()
        if self.holdAnswer(head, framing: framing) {
            // Where the log cannot take it, that was answered in its place.
            guard let held else { return }
            held.append(body)
        } else {
            self.isAnswerBegun = true
            self.connection.sendHead(head, framing: framing)
            self.connection.sendBody(body)
        }
        self.end(trailers: nil)
    }

    /// Adds what every answer gets.
    func appendCommonFields(to head: MessageHead) {
        self.ids.appendAnswered(of: self.head, to: head)
        head.append(self.deployment?.answerFields ?? Self.answerFields)
        if head.index(of: .date) == nil {
            let second = self.worker.unixSecond
            head.append("date", atMost: HTTPDate.byteCount) {
                self.worker.loop.date.append(second: second, to: &$0)
            }
        }
    }

    /// Whether an answer already begun can still say how it ended.
    var endsWithStatus: Bool {
        guard let grpc else { return false }
        return !grpc.isWeb && self.connection.version == .http2
    }

    /// Ends a call of gRPC: with a head that is all there is ("Trailers-Only"), or with trailers where
    /// the answer has begun.
    func end(_ call: GRPCCall, _ kind: GatewayError.Kind, _ answer: Answer) {
        let status = GRPCStatus(kind)
        let head = self.worker.answerHead
        head.reset()
        self.record.grpcStatus = status.rawValue
        if !self.isAnswerBegun, let request = self.head {
            head.append("content-type", call.contentType, of: request)
        } else if !self.isAnswerBegun {
            // Of a bad request nothing is kept.
            head.append("content-type", call.isWeb ? "application/grpc-web" : "application/grpc")
        }
        head.append("grpc-status", atMost: 2) { $0.append(decimal: status.rawValue) }
        head.append("grpc-message", answer.message)
        if self.isAnswerBegun { return self.end(trailers: head) }
        head.status = 200
        self.record.status = 200
        if let reason = answer.reason { head.append("ms-azureml-model-error-reason", reason) }
        if case .modelStatus(let status) = kind {
            head.append("ms-azureml-model-error-statuscode", atMost: 3) {
                $0.append(decimal: status)
            }
        }
        self.appendCommonFields(to: head)
        self.send(head, framing: .none, ByteBuffer())
    }
}

// What ends an exchange from outside.
extension Exchange {
    /// What the exchange fails with when its time is over: of whoever was waited for.
    ///
    /// A backend that we do not read from, since the log or the client is behind, is not late.
    var timeout: GatewayError {
        if let held, !held.isRequestDurable {
            return GatewayError(kind: .logUnavailable, source: .internal, cause: "timeout")
        }
        return GatewayError(
            kind: .timedOut, source: self.connection.isWritable ? .upstream : .downstream,
            cause: "timeout")
    }

    /// Ends the exchange because its key was revoked.
    func revoke() {
        self.fail(GatewayError(kind: .revoked, source: .internal, cause: "key revoked"))
    }

    /// Ends the exchange because the gateway ends and does not wait any longer.
    func shutDown() {
        self.fail(GatewayError(kind: .shuttingDown, source: .internal, cause: "drain timed out"))
    }
}
