package import NIOCore
internal import NIOTLS

/// TLS at the head of a pipeline: ciphertext on the channel's side, plaintext on the other.
///
/// 1. Handshakes as soon as the channel is active, within the configured time. Writes that come
///    earlier wait and go out when it is done. Then ``session`` is set and
///    `TLSUserEvent.handshakeCompleted` goes down the pipeline.
/// 2. `write` seals at once; `flush` gives the channel all that was sealed since the last one, in one
///    write. Nothing is held back afterwards: whoever writes looks at the channel's writability.
/// 3. Each read from the channel becomes one read of plaintext, of at most 64 KiB.
/// 4. When the peer sends close_notify, `ChannelEvent.inputClosed` goes down the pipeline, once; writing
///    is still possible (RFC 8446, 6.1). An end without close_notify is `TLSError.truncated`.
/// 5. `close(mode: .output)` sends close_notify and shuts down writing, reading goes on;
///    `close(mode: .all)` sends close_notify, lets the peer take what is still queued, unless it
///    takes less than 1 KiB in 30 s, and closes; a second one closes at once.
/// 6. Any failure goes down the pipeline as a ``TLSError``, once, and closes the channel.
///
/// Bound to the event loop of the ``TLSWorkerResources`` its context was made with.
package final class TLSHandler: ChannelDuplexHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = ByteBuffer
    package typealias OutboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    enum State {
        case idle
        case handshaking
        case open
        /// close_notify is on its way, the channel closes when it is written.
        case closing
        case closed
    }

    /// What the handshake agreed on; nil until it is complete.
    package private(set) var session: TLSSessionInfo?

    private let role: TLSConnection.Role
    private let resources: TLSWorkerResources
    private let counters: TLSCounters
    var connection: TLSConnection?
    private var context: ChannelHandlerContext?
    var state = State.idle
    private var hasReceivedCloseNotify = false
    var hasSentCloseNotify = false
    /// Whether a channelRead is on the stack; and what came in meanwhile.
    private var isReceiving = false
    private var unread: ByteBuffer?
    /// Sealed and not yet flushed.
    var ciphertext: ByteBuffer?
    var writePromise: EventLoopPromise<Void>?
    /// Of the close that waits for close_notify to be written.
    var closePromise: EventLoopPromise<Void>?
    /// Where ciphertext goes while the channel's own queue is empty.
    private var socket: DirectSocket?
    /// Not before there is something to say: many connections end with their handshake.
    private var isSocketSought = false
    /// Writes in that queue.
    private var queuedWrites = 0
    /// Whether ``ciphertext`` has bytes nobody will flush but us.
    private var owesFlush = false
    private var handshake: HandshakeProgress?

    /// What is needed until the handshake is done, and then given back.
    private struct HandshakeProgress {
        var began = NIODeadline.now()
        var receivedBytes = 0
        /// Among those of the worker's listeners; nil for a client's.
        var place: Int?
        var timeout: Scheduled<Void>?
        var writes: [(data: ByteBuffer, promise: EventLoopPromise<Void>?)] = []
        var isFlushed = false
    }

    /// A server's side of one connection.
    package convenience init(server: TLSServerContext, counters: TLSCounters) {
        self.init(.server(server), resources: server.resources, counters: counters)
    }

    /// A client's side of one connection.
    package convenience init(client: TLSClientContext, counters: TLSCounters) {
        self.init(.client(client), resources: client.resources, counters: counters)
    }

    private init(_ role: TLSConnection.Role, resources: TLSWorkerResources, counters: TLSCounters) {
        self.role = role
        self.resources = resources
        self.counters = counters
    }

    /// The name the client asked for, also where the handshake failed; for logs.
    package var presentedServerName: String? {
        self.session?.serverName ?? self.connection?.serverName
    }

    /// When the handshake began; nil if none is under way.
    package var handshakeBegan: NIODeadline? { self.handshake?.began }

    /// Where the peer is; nil for a Unix socket.
    package var peerAddress: SocketAddress? { self.context?.remoteAddress }

    /// Ends a handshake that stands still, as its timeout would.
    package func cutHandshake() { self.timeOut() }

    /// Closes the connection where it stands.
    func cutConnection() { self.context?.close(promise: nil) }

    func handshakeMoved(to place: Int) { self.handshake?.place = place }

    package func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { self.begin(context) }
    }

    package func handlerRemoved(context: ChannelHandlerContext) {
        self.release(ChannelError.eof)
        self.context = nil
    }

    package func channelActive(context: ChannelHandlerContext) {
        self.begin(context)
        context.fireChannelActive()
    }

    package func channelInactive(context: ChannelHandlerContext) {
        switch self.state {
        case .handshaking:
            self.report(.closedDuringHandshake, context)
        case .open where !self.hasReceivedCloseNotify && !self.hasSentCloseNotify:
            self.report(.truncated, context)
        case .idle, .open, .closing, .closed:
            break
        }
        self.release(ChannelError.ioOnClosedChannel)
        context.fireChannelInactive()
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var input = self.unwrapInboundIn(data)
        self.counters.countReceived(input.readableBytes)
        guard !self.isReceiving else {
            self.unread.setOrWriteBuffer(&input)
            return
        }
        self.isReceiving = true
        self.receive(&input, context)
        while var more = self.unread.take() { self.receive(&more, context) }
        self.isReceiving = false
        self.resources.receiveBuffer.give(back: input)
    }

    package func channelReadComplete(context: ChannelHandlerContext) {
        if self.owesFlush { self.send(context) }
        context.fireChannelReadComplete()
    }

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .inputClosed = event as? ChannelEvent else {
            context.fireUserInboundEventTriggered(event)
            return
        }
        switch self.state {
        case .handshaking:
            self.fail(.closedDuringHandshake, context)
        case .open where self.hasReceivedCloseNotify:
            break
        case .open where !self.hasSentCloseNotify:
            self.fail(.truncated, context)
        case .idle, .open, .closing, .closed:
            context.fireUserInboundEventTriggered(event)
        }
    }

    package func write(
        context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?
    ) {
        let plaintext = self.unwrapOutboundIn(data)
        switch self.state {
        case .open where !self.hasSentCloseNotify:
            self.seal(plaintext, promise, context)
        case .idle, .handshaking:
            if self.handshake == nil { self.handshake = HandshakeProgress() }
            self.handshake?.writes.append((plaintext, promise))
        case .open, .closing, .closed:
            promise?.fail(TLSError.writeAfterClose)
        }
    }

    package func flush(context: ChannelHandlerContext) {
        switch self.state {
        case .idle, .handshaking: self.handshake?.isFlushed = true
        case .open, .closing, .closed: self.send(context)
        }
    }

    package func triggerUserOutboundEvent(
        context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?
    ) {
        guard case .abort? = event as? TLSOutboundEvent else {
            context.triggerUserOutboundEvent(event, promise: promise)
            return
        }
        if case .open = self.state { self.release(ChannelError.ioOnClosedChannel) }
        promise?.succeed()
    }

    package func close(
        context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?
    ) {
        switch (self.state, mode) {
        case (.open, .output):
            self.sendCloseNotify(context, promise: nil)
            context.close(mode: .output, promise: promise)
        case (.open, .all):
            self.state = .closing
            self.closePromise = promise
            self.closeWhenWritten(context)
        case (_, .all):
            if let promise { self.closePromise.setOrCascade(to: promise) }
            self.finishClosing(context)
        case (_, _):
            context.close(mode: mode, promise: promise)
        }
    }
}

extension TLSHandler {
    private func begin(_ context: ChannelHandlerContext) {
        guard case .idle = self.state else { return }
        guard let connection = TLSConnection(self.role) else {
            self.fail(.ofOpenSSL("new connection"), context)
            return
        }
        self.connection = connection
        self.state = .handshaking
        if self.handshake == nil { self.handshake = HandshakeProgress() }
        self.handshake?.began = context.eventLoop.now
        guard case .client(let client) = self.role else {
            self.handshake?.place = self.resources.handshakeBegan(self, on: context.eventLoop)
            return
        }
        let timeout = TimeAmount.milliseconds(
            Int64(client.configuration.handshakeTimeoutMilliseconds))
        self.handshake?.timeout = context.eventLoop.assumeIsolated().scheduleTask(in: timeout) {
            self.timeOut()
        }
        var nothing = ByteBuffer()
        self.continueHandshake(&nothing, connection, context)
        self.send(context)
    }

    private func receive(_ input: inout ByteBuffer, _ context: ChannelHandlerContext) {
        guard let connection = self.connection else { return }
        if case .handshaking = self.state {
            self.handshake?.receivedBytes += input.readableBytes
            self.continueHandshake(&input, connection, context)
        }
        // Without input there may still be records that came with the last of the handshake.
        while true {
            switch self.state {
            case .open: break
            case .idle, .handshaking, .closing, .closed: return
            }
            guard input.readableBytes > 0 || connection.hasUnopenedInput,
                !self.hasReceivedCloseNotify
            else { return }
            guard self.deliver(&input, connection, context) else { return }
        }
    }

    /// Opens what it can and hands it on; false when there is no more.
    private func deliver(
        _ input: inout ByteBuffer, _ connection: TLSConnection, _ context: ChannelHandlerContext
    ) -> Bool {
        // The buffer is taken out of its owner before it is filled: with a second reference to it
        // each write would copy it.
        let capacity = min(
            input.readableBytes + connection.heldBytes, Self.maximumDeliveryBytes)
        var plaintext = self.resources.takePlaintextBuffer(capacity: capacity)
        let step = connection.read(&input, into: &plaintext)
        self.collectControlBytes(connection)
        if plaintext.readableBytes > 0 {
            context.fireChannelRead(self.wrapInboundOut(plaintext))
        }
        self.resources.returnPlaintextBuffer(plaintext)
        switch step {
        case .drained:
            return false
        case .full:
            return true
        case .closed:
            self.hasReceivedCloseNotify = true
            context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
            return false
        case .failed(let error):
            self.fail(error, context)
            return false
        }
    }

    private func continueHandshake(
        _ input: inout ByteBuffer, _ connection: TLSConnection, _ context: ChannelHandlerContext
    ) {
        let step = connection.handshake(&input)
        self.collectControlBytes(connection)
        switch step {
        case .needsInput:
            guard case .server = self.role, !connection.hasClientHello,
                let received = self.handshake?.receivedBytes,
                received > Self.maximumClientHelloBytes
            else { return }
            self.fail(.clientHelloTooLarge, context)
        case .complete:
            self.completeHandshake(connection, context)
        case .failed(let error):
            self.fail(error, context)
        }
    }

    private func completeHandshake(_ connection: TLSConnection, _ context: ChannelHandlerContext) {
        guard let progress = self.handshake.take() else { return }
        progress.timeout?.cancel()
        if let place = progress.place { self.resources.handshakeEnded(at: place) }
        let duration = (context.eventLoop.now - progress.began).nanoseconds
        guard let session = connection.session(handshakeNanoseconds: duration) else {
            self.fail(.handshakeFailed(reason: "unknown cipher suite", alert: nil), context)
            return
        }
        connection.takeOverRecords(session)
        self.session = session
        if session.peer != nil { self.resources.peerConnected(self) }
        self.state = .open
        self.counters.countHandshake(session)
        for (data, promise) in progress.writes {
            guard case .open = self.state else {
                promise?.fail(TLSError.writeAfterClose)
                continue
            }
            self.seal(data, promise, context)
        }
        context.fireUserInboundEventTriggered(
            TLSUserEvent.handshakeCompleted(negotiatedProtocol: session.alpn))
        if progress.isFlushed { self.send(context) }
    }

    private func seal(
        _ plaintext: ByteBuffer, _ promise: EventLoopPromise<Void>?,
        _ context: ChannelHandlerContext
    ) {
        guard let connection = self.connection else {
            promise?.fail(TLSError.writeAfterClose)
            return
        }
        if !self.isSocketSought {
            self.isSocketSought = true
            self.socket = DirectSocket(context.channel)
        }
        var ciphertext =
            self.ciphertext.take()
            ?? self.resources.takeCiphertextBuffer(
                capacity: TLSConnection.sealedBytes(plaintext.readableBytes))
        let error = connection.write(plaintext, to: &ciphertext)
        self.ciphertext = ciphertext
        if let error {
            promise?.fail(error)
            self.fail(error, context)
        } else if let promise {
            self.writePromise.setOrCascade(to: promise)
        }
    }

    /// Gives the channel everything sealed so far, in one write.
    func send(_ context: ChannelHandlerContext) {
        self.owesFlush = false
        guard var ciphertext = self.ciphertext.take() else { return }
        self.counters.countSent(ciphertext.readableBytes)
        if let socket, self.queuedWrites == 0 {
            socket.send(&ciphertext, of: context.channel)
        }
        if ciphertext.readableBytes > 0 {
            self.queue(ciphertext, context)
        } else {
            self.writePromise.take()?.succeed()
        }
        self.resources.returnCiphertextBuffer(ciphertext)
    }

    /// Lets the channel send `ciphertext` when the socket takes it; what follows waits behind it.
    private func queue(_ ciphertext: ByteBuffer, _ context: ChannelHandlerContext) {
        var promise = self.writePromise.take()
        if self.socket != nil {
            let written = promise ?? context.eventLoop.makePromise(of: Void.self)
            promise = written
            self.queuedWrites += 1
            written.futureResult.assumeIsolated().whenComplete { _ in
                self.queuedWrites -= 1
            }
        }
        context.writeAndFlush(self.wrapOutboundOut(ciphertext), promise: promise)
    }

    func collectControlBytes(_ connection: TLSConnection) {
        guard connection.hasControlBytes else { return }
        var ciphertext =
            self.ciphertext.take() ?? self.resources.takeCiphertextBuffer(capacity: 0)
        connection.takeControlBytes(into: &ciphertext)
        self.ciphertext = ciphertext
        self.owesFlush = true
    }

    /// Ends the handshake of a server if it has taken too long; asked now and again.
    func checkHandshake(now: NIODeadline) {
        guard case .server(let server) = self.role, let began = self.handshake?.began else {
            return
        }
        let total = TimeAmount.milliseconds(
            Int64(server.configuration.handshakeTimeoutMilliseconds))
        let hasClientHello = self.connection?.hasClientHello == true
        let limit = hasClientHello ? total : min(total, Self.clientHelloTimeout)
        if now - began >= limit { self.timeOut() }
    }

    private func timeOut() {
        guard case .handshaking = self.state, let context = self.context else { return }
        let phase: TLSError.HandshakePhase =
            if self.handshake?.receivedBytes == 0 {
                .firstByte
            } else if case .server = self.role, self.connection?.hasClientHello == false {
                .clientHello
            } else {
                .handshake
            }
        self.fail(.handshakeTimeout(phase: phase), context)
    }

    /// Sends the alert OpenSSL made, if it made one, reports the error and closes.
    private func fail(_ error: TLSError, _ context: ChannelHandlerContext) {
        if case .closed = self.state { return }
        self.report(error, context) {
            self.send(context)
        }
        context.close(mode: .all, promise: nil)
    }

    private func report(
        _ error: TLSError, _ context: ChannelHandlerContext, beforehand send: () -> Void = {}
    ) {
        if case .truncated = error {
            self.counters.countTruncation()
        } else if self.session == nil {
            self.counters.countFailure(error)
        }
        self.state = .closed
        send()
        self.release(error)
        context.fireErrorCaught(error)
    }

    /// Gives back what a connection holds and fails the writes that will never be.
    private func release(_ error: any Error) {
        if self.session?.peer != nil { self.resources.peerDisconnected(self) }
        if let progress = self.handshake.take() {
            progress.timeout?.cancel()
            if let place = progress.place { self.resources.handshakeEnded(at: place) }
            for (_, promise) in progress.writes { promise?.fail(error) }
        }
        self.ciphertext = nil
        self.writePromise.take()?.fail(error)
        self.closePromise.take()?.succeed()
        self.state = .closed
    }

    /// 16 KiB and the headers of a few records: a ClientHello has some hundred bytes.
    private static let maximumClientHelloBytes = 16_384 + 64
    /// 64 KiB: what one delivery of plaintext has at most.
    private static let maximumDeliveryBytes = 65_536
    /// 5 s from the connection until the ClientHello is complete.
    private static let clientHelloTimeout = TimeAmount.seconds(5)
}
