import Cryptography
import Dispatch
import Foundation
import NIOCore
import NIOPosix
import NIOTLS
import Synchronization
import TLS
import Testing

@testable import HTTPTransport

/// What lies unread on a connection that nobody has used yet.
@Suite("Unread bytes of a new connection", .timeLimit(.minutes(10)))
struct UnreadTicketTests {
    /// Has something done on the loop once a connection is open, before the loop reads on.
    private final class Opening: ConnectionObserver {
        private let loop: any EventLoop
        private let whenOpen: () -> Void

        init(_ loop: any EventLoop, _ whenOpen: @escaping () -> Void) {
            self.loop = loop
            self.whenOpen = whenOpen
        }

        func connectionMade(after time: TimeAmount) {}
        func connectionFailed(_ error: any Error) {}

        func handshakeCompleted(_ session: TLSSessionInfo) {
            self.loop.assumeIsolated().execute { self.whenOpen() }
        }
    }

    /// Says when the server has said all it says by itself: its tickets, perhaps its end.
    private final class Opened: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let isClosing: Bool
        private let said: DispatchSemaphore

        init(isClosing: Bool, _ said: DispatchSemaphore) {
            self.isClosing = isClosing
            self.said = said
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if case TLSUserEvent.handshakeCompleted = event {
                if self.isClosing { context.close(promise: nil) }
                let said = self.said
                context.eventLoop.execute { said.signal() }
            }
            context.fireUserInboundEventTriggered(event)
        }
    }

    @Test(
        "a new connection is used although its server's tickets wait to be read, but not its end",
        arguments: [false, true])
    func tickets(isClosed: Bool) async throws {
        let folder = FileManager.default.temporaryDirectory.path + "/\(UUID())"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (root, files) = try Self.certificates(in: folder)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let (serverLoop, loop) = (group.next(), group.next())
        let connections = Atomic(0)
        let said = DispatchSemaphore(value: 0)
        let server = try await ServerBootstrap(group: serverLoop)
            .childChannelInitializer { channel in
                let isFirst = connections.add(1, ordering: .relaxed).oldValue == 0
                return channel.eventLoop.makeCompletedFuture {
                    let context = try TLSServerContext(
                        TLSServerConfiguration(certificates: [files]),
                        resources: TLSWorkerResources(), ticketKeys: TLSTicketKeys())
                    try channel.pipeline.syncOperations.addHandlers([
                        TLSHandler(server: context, counters: TLSCounters()),
                        Opened(isClosing: isClosed && isFirst, said),
                        Answerer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") {},
                    ])
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let port = server.localAddress?.port ?? 0

        let (text, opened) = try await loop.flatSubmit {
            Self.askLate(port, root, loop, after: said)
        }.get()
        #expect(text == "end")
        #expect(opened == (isClosed ? 2 : 1))
        try await group.shutdownGracefully()
    }

    /// Asks on a new connection on which the loop has not read what the server has said.
    ///
    /// - Returns: How that ended, and how many connections it took.
    private static func askLate(
        _ port: Int, _ root: String, _ loop: any EventLoop, after said: DispatchSemaphore
    ) -> EventLoopFuture<(String, Int)> {
        do {
            let context = LoopContext(eventLoop: loop, tls: try TLSWorkerResources())
            let client = try TLSClientContext(
                TLSClientConfiguration(trustRoots: root, peer: .dnsName("a.example")),
                resources: context.tls)
            let late = Asking(loop)
            // Holds the pool, which holds the observer: released when it has run.
            var pool: ConnectionPool?
            let opening = Opening(loop) {
                // Stops the loop: that is the point.
                _ = said.wait(timeout: .now() + .seconds(60))
                pool?.acquire(for: late)
            }
            let made = ConnectionPool(
                loop: context, address: .host("127.0.0.1", port: port), tls: client,
                httpLimits: .response, observer: opening)
            pool = made
            // It opens for somebody who is gone by then.
            let gone = Asking(loop)
            made.acquire(for: gone)
            made.forget(gone)
            gone.done.succeed("gone")
            let bound = NIOLoopBound(made, eventLoop: loop)
            return late.done.futureResult.map { text in
                bound.value.close()
                return (text, bound.value.opened)
            }
        } catch {
            return loop.makeFailedFuture(error)
        }
    }

    /// A trust root, and a server's certificate for a.example under it.
    private static func certificates(
        in folder: String
    ) throws -> (root: String, TLSCertificateFiles) {
        let authority = try CertificateAuthority.create(trustDomain: "test.local")
        let root = folder + "/root.pem"
        try authority.certificate.pem.write(toFile: root, atomically: true, encoding: .utf8)
        let issued = try authority.issueServer(commonName: "server", dnsNames: ["a.example"])
        let files = TLSCertificateFiles(chain: folder + "/server.pem", key: folder + "/server.key")
        try issued.certificate.pem.write(toFile: files.chain, atomically: true, encoding: .utf8)
        let key = unsafe issued.privateKeyPEM.bytes.withUnsafeBytes { unsafe Data($0) }
        _ = FileManager.default.createFile(
            atPath: files.key, contents: key, attributes: [.posixPermissions: 0o600])
        return (root, files)
    }
}
