internal import HTTPTransport
internal import NIOCore

// What is decided on a request's head, before a backend hears of it.
extension Exchange {
    /// What there is of WebSocket (RFC 6455).
    enum Upgrade {
        case none
        case asked
        case done
    }

    /// The endpoint that Host and path name.
    func route(_ head: MessageHead) throws(GatewayError) -> Endpoint {
        let match = self.worker.snapshot.router.route(head, serverName: self.client.serverName) {
            head.version == .http2 && self.client.mayCarry($0)
        }
        switch match {
        case .endpoint(let endpoint, let strippedPrefixBytes):
            self.endpoint = endpoint
            self.strippedPrefixBytes = strippedPrefixBytes
            return endpoint
        case .misdirected:
            throw GatewayError(kind: .misdirected, source: .downstream, cause: "host")
        case .unknownPath(let candidates):
            throw self.refusal(of: head, byAllOf: candidates)
        }
    }

    /// What a request for a path that is not there gets.
    ///
    /// Only a caller with a key of this host may learn that the path does not exist; anyone else gets
    /// what a path that exists would have given.
    private func refusal(of head: MessageHead, byAllOf candidates: [Endpoint]) -> GatewayError {
        var refusal: GatewayError?
        for endpoint in candidates {
            do throws(GatewayError) {
                try self.authenticate(head, endpoint)
                return GatewayError(kind: .unknownPath, source: .downstream)
            } catch {
                refusal = refusal ?? error
            }
        }
        return refusal
            ?? GatewayError(kind: .accessDenied(nil), source: .downstream, cause: "unknown path")
    }

    /// Lets in who may call the endpoint.
    func authenticate(_ head: MessageHead, _ endpoint: Endpoint) throws(GatewayError) {
        switch endpoint.configuration.authentication {
        case .key:
            self.record.key = try self.worker.authenticate(
                head, endpoint, proven: self.client.provenToken)
        case .mutualTLS:
            guard let identity = self.client.peerIdentity else {
                throw GatewayError(
                    kind: .accessDenied(nil), source: .downstream, cause: "no client certificate")
            }
            let allowed = endpoint.configuration.allowedIdentities
            guard allowed.isEmpty || allowed.contains(identity) else {
                throw GatewayError(kind: .forbidden, source: .downstream, cause: identity)
            }
            self.record.identity = identity
        }
    }

    /// Refuses a body that says it is too long.
    func admitBody(_ head: MessageHead, _ endpoint: Endpoint) throws(GatewayError) {
        self.framing = head.framing
        if case .length(let count) = head.framing, count > endpoint.configuration.bodyBytes {
            throw GatewayError(kind: .bodyTooLarge, source: .downstream)
        }
    }

    /// Where WebSocket is allowed, what asks for it must ask rightly; elsewhere it is a request as
    /// any other.
    func admitUpgrade(_ head: MessageHead, _ endpoint: Endpoint) throws(GatewayError) {
        guard endpoint.configuration.allowsWebSocket else { return }
        do throws(HTTPError) {
            if try head.asksForWebSocket() { self.upgrade = .asked }
        } catch {
            throw GatewayError(kind: .badRequest(error), source: .downstream, cause: "WebSocket")
        }
    }

    /// Makes the client's head the one that goes to the backend.
    func prepare(_ head: MessageHead, _ deployment: Deployment) {
        if self.worker.snapshot.isAgent { return self.prepareUnchanged(head, deployment) }
        let forwarded = self.client.forwardedFields(self.origin)
        head.remove(Self.removedFromRequests)
        head.append(forwarded)
        // HTTP/1.0 may leave it out, those we forward it as may not (RFC 9112, 3.2).
        if head.index(of: .host) == nil { head.append(self.client.ownHost) }
        // gRPC servers ask for it, to know of proxies that drop trailers.
        if self.grpc != nil, deployment.configuration.version == .http2 {
            head.append("te", "trailers")
        }
        head.isUpgrade = self.upgrade == .asked
        if case .made = self.ids.requestID {
            self.ids.append(.xRequestID, .made, of: nil, to: head)
        }
        if deployment.configuration.leadsToAgent {
            let left = self.millisecondsLeft
            head.append(AgentHop.timeoutField, atMost: 20) { $0.append(decimal: left) }
        }
        for credential in deployment.credentials { credential.add(to: head) }
    }

    /// The gateway before has made the head what the model is to have.
    private func prepareUnchanged(_ head: MessageHead, _ deployment: Deployment) {
        let takesTrailers = head.index(of: .te) != nil
        head.remove(AgentHop.removedFields)
        if takesTrailers, deployment.configuration.version == .http2 {
            head.append("te", "trailers")
        }
        head.isUpgrade = self.upgrade == .asked
        for credential in deployment.credentials { credential.add(to: head) }
    }

    /// How long an answer may take from now on.
    var millisecondsLeft: Int {
        let timeout = self.requestTimeout
        let left = self.grpc.map { max(.zero, min(timeout, $0.deadline - .now())) } ?? timeout
        return Int(left.nanoseconds / 1_000_000)
    }
}
