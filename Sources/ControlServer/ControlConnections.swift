internal import Cryptography
package import Logging
internal import NIOCore
internal import NIOTLS
internal import Synchronization
internal import TLS

/// The connections of the listeners of a control server, with who is at their other ends.
///
/// Shared by listeners that serve the same peers, so that a peer who was denied can be cut off.
package final class ControlConnections: Sendable {
    private struct Connection {
        let channel: any Channel
        let peer: ControlPeer?
    }

    private let open = Mutex<[ObjectIdentifier: Connection]>([:])
    private let isAdmitted: @Sendable (ControlPeer) -> Bool
    private let logger: Logger

    /// Connections of peers that `isAdmitted` accepts.
    ///
    /// - Parameters:
    ///   - logger: Is told why handshakes fail and peers are turned away.
    ///   - isAdmitted: Whether a peer with a verified certificate may ask anything; it is called at
    ///     the end of each handshake and for each request, on any thread, and must not block.
    package init(
        logger: Logger, isAdmitted: @escaping @Sendable (ControlPeer) -> Bool = { _ in true }
    ) {
        self.logger = logger
        self.isAdmitted = isAdmitted
    }

    /// Closes the connections of all peers for whom `isDenied` holds; from any thread.
    ///
    /// The caller first sees to it that they are not admitted any more.
    package func close(where isDenied: (ControlPeer) -> Bool) {
        let channels = self.open.withLock { open in
            open.values.filter { $0.peer.map(isDenied) ?? false }.map(\.channel)
        }
        for channel in channels { channel.close(promise: nil) }
    }

    /// How many there are; handshakes under way are not counted.
    package var count: Int { self.open.withLock { $0.count } }

    /// Who is at the other end of `channel`; nil where nobody showed a certificate.
    func peer(of channel: any Channel) -> ControlPeer? {
        self.open.withLock { $0[ObjectIdentifier(channel)]?.peer }
    }

    /// Closes the connections of all peers whose certificates have run out by `now`, Unix time in
    /// seconds; from any thread.
    package func closeExpired(now: Int64 = CertificateAuthority.now) {
        self.close { $0.certificate.notAfter < now }
    }

    /// Whether `peer` may go on.
    func admits(_ peer: ControlPeer) -> Bool {
        peer.certificate.notAfter >= CertificateAuthority.now && self.isAdmitted(peer)
    }

    /// Takes in a connection whose handshake is done; false if the peer may not ask anything.
    fileprivate func opened(_ channel: any Channel, certificate: [UInt8]?) -> Bool {
        var peer: ControlPeer?
        if let certificate {
            guard let read = try? ControlPeer(der: certificate) else { return false }
            guard self.isAdmitted(read) else {
                self.logger.warning(
                    "peer turned away",
                    metadata: [
                        "identity": "\(read.identity.text)",
                        "serial": "\(read.certificate.serial)",
                        "address": "\(channel.remoteAddress?.description ?? "")",
                    ])
                return false
            }
            peer = read
        }
        self.open.withLock {
            $0[ObjectIdentifier(channel)] = Connection(channel: channel, peer: peer)
        }
        return true
    }

    fileprivate func closed(_ channel: any Channel) {
        self.open.withLock { _ = $0.removeValue(forKey: ObjectIdentifier(channel)) }
    }

    fileprivate func failed(_ error: any Error, _ channel: any Channel) {
        // What is not TLS's is an end that the HTTP side deals with; many clients never say goodbye.
        guard let error = error as? TLSError, error != .truncated else { return }
        self.logger.info(
            "connection failed",
            metadata: [
                "address": "\(channel.remoteAddress?.description ?? "")", "error": "\(error)",
            ])
    }
}

/// Notes when a connection's handshake is done and when it ends; stands behind its TLS handler.
final class ControlPeerHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let tls: TLSHandler
    private let connections: ControlConnections

    init(_ tls: TLSHandler, _ connections: ControlConnections) {
        self.tls = tls
        self.connections = connections
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted? = event as? TLSUserEvent,
            !self.connections.opened(
                context.channel, certificate: self.tls.session?.peer?.certificate)
        {
            context.close(promise: nil)
            return
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.connections.closed(context.channel)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.connections.failed(error, context.channel)
        context.fireErrorCaught(error)
    }
}
