import NIOCore
import NIOEmbedded
import Testing

@testable import TLS

@Suite struct HandshakeTests {
    let certificates: TestCertificates

    init() throws { self.certificates = try TestCertificates() }

    @Test("A handshake ends with what both sides agreed on, and bytes pass both ways")
    func handshake() throws {
        let pair = try self.pair()
        try pair.connect()
        #expect(pair.serverRecorder.errors == [])
        #expect(pair.clientRecorder.errors == [])
        let session = try #require(pair.serverHandler.session)
        #expect(session.version == .tls13)
        #expect(session.cipher == .aes128GCM)
        #expect(session.group == .x25519)
        #expect(session.alpn == "http/1.1")
        #expect(session.serverName == "a.example.com")
        #expect(!session.isResumed)
        #expect(pair.clientHandler.session?.alpn == "http/1.1")
        #expect(
            pair.counters.handshakes(version: .tls13, cipher: .aes128GCM, isResumed: false) == 1)
        #expect(pair.resources.handshakes.isEmpty)
        try pair.client.writeOutbound(ByteBuffer(string: "question"))
        pair.carry()
        #expect(pair.serverRecorder.received == Array("question".utf8))
        try pair.server.writeOutbound(ByteBuffer(string: "answer"))
        pair.carry()
        #expect(pair.clientRecorder.received == Array("answer".utf8))
    }

    private func pair() throws -> TLSPair {
        try TLSPair(
            server: TLSServerConfiguration(
                certificates: [self.certificates.server(["a.example.com"])]),
            client: TLSClientConfiguration(
                trustRoots: self.certificates.root, peer: .dnsName("a.example.com")))
    }
}
