package import NIOCore
package import TLS

/// One request of a client and the way its answer goes back, whatever the version of HTTP.
///
/// Loop-bound. One object serves request after request: over HTTP/1.1 it is the connection, over
/// HTTP/2 a stream that is used again once it has closed.
package protocol ServerStream: AnyObject {
    /// The version of HTTP, where a request does not say it itself.
    var version: HTTPVersion { get }
    /// When the first byte of the current request was read.
    var requestStart: NIODeadline { get }
    /// Bytes of the current request's body that arrived, without framing.
    var requestBodyBytes: Int { get }
    /// Whether more of the answer can be sent without growing a queue.
    var isWritable: Bool { get }

    /// Sends the answer's head; `framing` says how its body will come.
    ///
    /// The framing and connection fields are the stream's to write; the head's own must be removed
    /// before. Not sent before ``flush()``. The head is not needed after the call.
    func sendHead(_ head: MessageHead, framing: BodyFraming)
    /// Sends a piece of the answer's body.
    func sendBody(_ bytes: ByteBuffer)
    /// Ends the answer, and with it the exchange.
    ///
    /// - Parameter trailers: Sent where the version has a place for them, without the fields that
    ///   end at this hop; not needed after the call.
    func sendEnd(trailers: MessageHead?)
    /// Lets everything sent so far leave, in one write with what else leaves then.
    func flush()
    /// Ends the exchange where it stands: an answer begun stays without its end, so that the client
    /// can tell.
    func abort()
    /// Tells the client that its body is wanted (RFC 9110 10.1.1), if it waits to be told.
    func sendContinue()
    /// Stops or goes on reading the request's body; for backpressure.
    func setReading(_ isWanted: Bool)
}

extension ServerStream {
    /// Ends the answer without trailers.
    package func sendEnd() { self.sendEnd(trailers: nil) }
}

/// One request to a backend and its response, whatever the version of HTTP.
///
/// Loop-bound; given by a ``StreamPool`` to one receiver until the response and the request have
/// ended, and to others after that.
package protocol ClientStream: AnyObject {
    /// Whether more of the request can be sent without growing a queue.
    var isWritable: Bool { get }
    /// Whether a failure may be that of a connection grown stale: it carried requests before this
    /// one, and no byte of this one's response came.
    var mayBeStale: Bool { get }
    /// What TLS agreed on; nil without TLS.
    var tlsSession: TLSSessionInfo? { get }

    /// Sends the request's head; `framing` says how its body will come.
    ///
    /// - Parameters:
    ///   - head: A request's head; what ends at this hop is left out. Not needed after the call.
    ///   - framing: `.untilClose` is no framing of a request, and taken as none.
    ///   - strippedPrefixBytes: How much of the path's start to leave out.
    func sendHead(_ head: MessageHead, framing: BodyFraming, strippedPrefixBytes: Int)
    /// Sends a piece of the request's body.
    func sendBody(_ bytes: ByteBuffer)
    /// Ends the request.
    func sendEnd()
    /// Lets everything sent so far leave, in one write with what else leaves then.
    func flush()
    /// Gives up the exchange, and tells the backend so; the receiver is not called again.
    func cancel()
    /// Stops or goes on reading the response; for backpressure.
    func setReading(_ isWanted: Bool)
}

/// The connections of one loop to one backend.
package protocol StreamPool: AnyObject {
    /// Connections open, in use or idle.
    var open: Int { get }
    /// Connections being opened.
    var connecting: Int { get }
    /// Connections opened so far.
    var opened: Int { get }
    /// Connections that could not be opened so far.
    var failures: Int { get }
    /// Connections open and not in use.
    var idleConnections: Int { get }

    /// Gives `receiver` a stream: at once if there is one, otherwise when there is.
    ///
    /// - Parameters:
    ///   - receiver: Told of the stream, or that there is none, perhaps within this call.
    ///   - isFreshWanted: Not on a connection that has lain idle and may have gone stale unnoticed.
    func acquire(for receiver: any ResponseReceiver, isFreshWanted: Bool)
    /// Takes back the place of a receiver that waits no longer.
    func forget(_ receiver: any ResponseReceiver)
    /// Closes what is idle, and from now on each connection that nobody uses or waits for.
    func close()
}

/// A client's connection, as those see it who end connections.
package protocol ServerConnection: AnyObject {
    /// Lets the exchanges in progress end, then closes; closes at once if there are none.
    func drain()
    /// Ends the connection where it stands.
    func abort()
}

extension HTTP1ServerConnection: ServerStream, ServerConnection {
    /// HTTP/1.1; a request may say HTTP/1.0.
    package var version: HTTPVersion { .http11 }

    /// Ends the answer; trailers are not sent over HTTP/1.1.
    package func sendEnd(trailers: MessageHead?) { self.sendEnd() }
}

extension HTTP1ClientConnection: ClientStream {
    /// Whether it was used before and nothing of the current response came.
    package var mayBeStale: Bool { self.requests > 1 && !self.hasResponseBytes }
}

extension ConnectionPool: StreamPool {}
