import NIOCore
import NIOPosix
import NIOTLS
import Testing

@testable import TLS

/// Our client against `openssl s_server`.
@Suite struct ClientInteroperationTests {
    let certificates: TestCertificates
    let others: TestCertificates

    init() throws {
        self.certificates = try TestCertificates()
        self.others = try TestCertificates()
    }

    @Test(
        "Versions and suites it agrees on, and what it sends arrives",
        arguments: [
            (["-tls1_3"], TLSVersion.tls13, TLSCipher.aes128GCM),
            (["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"], .tls13, .aes256GCM),
            (["-tls1_3", "-groups", "P-384"], .tls13, .aes128GCM),
        ])
    func agreed(options: [String], version: TLSVersion, cipher: TLSCipher) async throws {
        let server = try OpenSSLCommand.server(
            self.certificates.server(["a.example"]), options)
        let outcome = try await self.ask(server.port, self.configuration(.dnsName("a.example")))
        #expect(outcome.error == nil)
        #expect(outcome.text == "gnp\n")
        #expect(outcome.session?.version == version)
        #expect(outcome.session?.cipher == cipher)
    }

    @Test("TLS 1.2 is good enough at the edge and refused inside")
    func oldVersion() async throws {
        let server = try OpenSSLCommand.server(
            self.certificates.server(["a.example"]), ["-tls1_2"])
        var configuration = self.configuration(.dnsName("a.example"))
        #expect(try await self.ask(server.port, configuration).session?.version == .tls12)
        configuration.minimumVersion = .tls13
        let refused = try await self.ask(server.port, configuration)
        #expect(refused.session == nil)
        #expect(refused.error != nil)
        #expect(refused.text == "")
    }

    @Test(
        "A server that is weak, of another name or of another root gets nothing",
        arguments: [
            ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["-tls1_2", "-cipher", "AES128-SHA"],
            ["-tls1_3", "-groups", "P-521"], ["another name"], ["another root"],
        ])
    func refused(options: [String]) async throws {
        let isOther = options == ["another root"]
        let server = try OpenSSLCommand.server(
            (isOther ? self.others : self.certificates).server(["a.example"]),
            options[0].hasPrefix("-") ? options : [])
        let name = options == ["another name"] ? "b.example" : "a.example"
        let outcome = try await self.ask(server.port, self.configuration(.dnsName(name)))
        #expect(outcome.session == nil)
        #expect(outcome.error != nil)
        #expect(outcome.text == "")
    }

    @Test("It shows its certificate to a server that asks")
    func mutual() async throws {
        let server = try OpenSSLCommand.server(
            self.certificates.server(["a.example"]),
            ["-Verify", "2", "-verify_return_error", "-CAfile", self.certificates.root])
        var configuration = self.configuration(.dnsName("a.example"))
        configuration.identity = try self.certificates.identity("spiffe://test.local/gateway/edge")
        #expect(try await self.ask(server.port, configuration).text == "gnp\n")
        configuration.identity = nil
        #expect(try await self.ask(server.port, configuration).text == "")
    }

    private func configuration(_ peer: TLSExpectedPeer) -> TLSClientConfiguration {
        TLSClientConfiguration(trustRoots: self.certificates.root, peer: peer, alpn: [])
    }

    private struct Outcome: Sendable {
        var text = ""
        var error: String?
        var session: TLSSessionInfo?
    }

    /// Sends a line once the handshake is done; what came back when its answer or the end did.
    private func ask(
        _ port: Int, _ configuration: TLSClientConfiguration
    ) async throws -> Outcome {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.next()
        let done = loop.makePromise(of: Outcome.self)
        do {
            let context = try TLSClientContext(configuration, resources: TLSWorkerResources())
            let channel = try await ClientBootstrap(group: loop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let tls = TLSHandler(client: context, counters: TLSCounters())
                        try channel.pipeline.syncOperations.addHandlers([
                            tls, Asker(tls, done),
                        ])
                    }
                }
                .connect(host: "127.0.0.1", port: port).get()
            let outcome = try await done.futureResult.get()
            try? await channel.close().get()
            try await group.shutdownGracefully()
            return outcome
        } catch {
            done.fail(error)
            try? await group.shutdownGracefully()
            throw error
        }
    }

    private final class Asker: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let tls: TLSHandler
        private var done: EventLoopPromise<Outcome>?
        private var outcome = Outcome()

        init(_ tls: TLSHandler, _ done: EventLoopPromise<Outcome>) {
            self.tls = tls
            self.done = done
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            guard event is TLSUserEvent else { return }
            self.outcome.session = self.tls.session
            context.writeAndFlush(Self.wrapOutboundOut(ByteBuffer(string: "png\n")), promise: nil)
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.outcome.text += String(buffer: Self.unwrapInboundIn(data))
            if self.outcome.text.hasSuffix("\n") { self.finish() }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            self.outcome.error = "\(error)"
            context.close(promise: nil)
        }

        func channelInactive(context: ChannelHandlerContext) { self.finish() }

        private func finish() { self.done.take()?.succeed(self.outcome) }
    }
}
