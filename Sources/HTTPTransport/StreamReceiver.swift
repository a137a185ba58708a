package import NIOCore

/// Why a message will not be completed.
package enum StreamError: Error {
    /// The peer closed or reset before the message's end.
    case closed
    /// The peer ended TCP without a TLS close_notify: the message may be cut (RFC 8446 6.1).
    case truncated
    /// The peer's bytes are not the protocol.
    case malformed(HTTPError)
    /// The peer was too slow: its head, its body or its reading.
    case tooSlow
    /// TLS failed; the text is for the operator.
    case tls(String)
    /// The peer reported a fatal alert after the handshake, as one that refuses a client's certificate in
    /// TLS 1.3 does (RFC 8446, 4.4.2.4); its number.
    case alert(UInt8)
    /// No connection could be made; the text is for the operator.
    case unreachable(String)
    /// Too many connections, or too many waiting for one.
    case exhausted
    /// The peer says that it has not begun to process the request (RFC 9113 8.7).
    case refused
}

/// Receives one request as it arrives, and what happens to the way back.
///
/// Called on the connection's loop, in this order: head, body…, end; a failure ends it early. The
/// receiver answers through the connection, from within these calls or later.
package protocol RequestReceiver: AnyObject {
    /// The head, valid until the exchange ends. The receiver may change its fields for forwarding.
    func receiveRequestHead(_ head: MessageHead)
    func receiveRequestBody(_ bytes: ByteBuffer)
    func receiveRequestEnd()
    /// No more has arrived for now: send on what was collected.
    func requestReadComplete()
    /// The bytes where a request should begin are not one. Answer, and the connection closes.
    ///
    /// - Parameters:
    ///   - error: What is wrong.
    ///   - head: As much of the head as could be read, over HTTP/2.
    func receiveBadRequest(_ error: HTTPError, head: MessageHead?)
    /// The request, or the client, ended early. After `.malformed` and `.tooSlow` an answer can
    /// still be sent if none was begun; after the others the connection is gone.
    func requestFailed(_ error: StreamError)
    /// Whether more of the answer should be sent now.
    func answerWritabilityChanged(isWritable: Bool)
    /// The connection is gone; the receiver will not be called again.
    func connectionClosed()
}

/// Receives one response as it arrives, and what happens to the way there.
package protocol ResponseReceiver: AnyObject {
    /// The stream asked of a pool is there, and the receiver its only user.
    func connectionReady(_ stream: any ClientStream)
    /// The pool has no connection to give.
    func connectionFailed(_ error: StreamError)
    /// The head of the final response, valid until the response ends.
    func receiveResponseHead(_ head: MessageHead)
    func receiveResponseBody(_ bytes: ByteBuffer)
    /// The response is complete.
    ///
    /// - Parameter trailers: Fields that came after the body, valid until this returns.
    func receiveResponseEnd(trailers: MessageHead?)
    /// No more has arrived for now: send on what was collected.
    func responseReadComplete()
    func responseFailed(_ error: StreamError)
    /// Whether more of the request should be sent now.
    func requestWritabilityChanged(isWritable: Bool)
}

extension ResponseReceiver {
    /// The response is complete and has no trailers.
    func receiveResponseEnd() { self.receiveResponseEnd(trailers: nil) }
}
