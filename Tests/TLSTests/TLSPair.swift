import NIOCore
import NIOEmbedded
import NIOTLS
import Testing

@testable import TLS

/// Records what comes out of a TLSHandler.
final class Recorder: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    var received: [UInt8] = []
    var reads = 0
    var errors: [TLSError] = []
    var handshakes = 0
    var inputClosed = 0
    var isInactive = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.received += Array(self.unwrapInboundIn(data).readableBytesView)
        self.reads += 1
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is TLSUserEvent { self.handshakes += 1 }
        if event as? ChannelEvent == .inputClosed { self.inputClosed += 1 }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if let error = error as? TLSError { self.errors.append(error) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.isInactive = true
    }
}

/// A client and a server whose ciphertext is carried from one to the other by the test.
final class TLSPair {
    let client = EmbeddedChannel()
    let server = EmbeddedChannel()
    let clientRecorder = Recorder()
    let serverRecorder = Recorder()
    let clientHandler: TLSHandler
    let serverHandler: TLSHandler
    let counters = TLSCounters()
    let resources: TLSWorkerResources

    init(
        server: TLSServerConfiguration, client: TLSClientConfiguration,
        ticketKeys: TLSTicketKeys = TLSTicketKeys(), sessions: TLSClientSessions? = nil
    ) throws {
        self.resources = try TLSWorkerResources()
        self.serverHandler = TLSHandler(
            server: try TLSServerContext(
                server, resources: self.resources, ticketKeys: ticketKeys), counters: self.counters)
        self.clientHandler = TLSHandler(
            client: try TLSClientContext(
                client, resources: self.resources, sessions: sessions),
            counters: TLSCounters())
        try self.server.pipeline.syncOperations.addHandlers([
            self.serverHandler, self.serverRecorder,
        ])
        try self.client.pipeline.syncOperations.addHandlers([
            self.clientHandler, self.clientRecorder,
        ])
    }

    func connect() throws {
        let address = try SocketAddress(ipAddress: "127.0.0.1", port: 1)
        self.server.connect(to: address, promise: nil)
        self.client.connect(to: address, promise: nil)
        self.carry()
    }

    /// Carries ciphertext both ways until there is no more.
    ///
    /// Errors show in the recorders.
    func carry(chunk: Int = .max) {
        var isMoving = true
        while isMoving {
            isMoving = Self.move(from: self.client, to: self.server, chunk: chunk)
            if Self.move(from: self.server, to: self.client, chunk: chunk) { isMoving = true }
        }
    }

    private static func move(from: EmbeddedChannel, to: EmbeddedChannel, chunk: Int) -> Bool {
        var isMoving = false
        while var bytes = try? from.readOutbound(as: ByteBuffer.self) {
            isMoving = true
            while let part = bytes.readSlice(length: min(chunk, bytes.readableBytes)),
                part.readableBytes > 0
            {
                // Not the slice: its storage is the sender's, as it never is over a socket.
                _ = try? to.writeInbound(ByteBuffer(bytes: part.readableBytesView))
            }
        }
        return isMoving
    }

    deinit {
        _ = try? self.client.finish(acceptAlreadyClosed: true)
        _ = try? self.server.finish(acceptAlreadyClosed: true)
    }
}
