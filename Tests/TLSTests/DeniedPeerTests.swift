import Cryptography
import NIOCore
import NIOEmbedded
import Testing

@testable import TLS

@Suite struct DeniedPeerTests {
    let certificates: TestCertificates
    let identity = "spiffe://test.local/gateway/edge"
    let files: TLSCertificateFiles

    init() throws {
        self.certificates = try TestCertificates()
        self.files = try self.certificates.identity(self.identity)
    }

    private func pair() throws -> TLSPair {
        try TLSPair(
            server: TLSServerConfiguration(
                certificates: [self.certificates.server(["a.example"])],
                clientAuthentication: .required, clientTrustRoots: self.certificates.root,
                purpose: .internal),
            client: TLSClientConfiguration(
                trustRoots: self.certificates.root, identity: self.files,
                peer: .dnsName("a.example")))
    }

    @Test(
        "a denied identity, or certificate, is refused in the handshake", arguments: [true, false])
    func refused(byIdentity: Bool) throws {
        let first = try self.pair()
        try first.connect()
        let peer = try #require(first.serverHandler.session?.peer)
        let subject = byIdentity ? self.identity : peer.serial
        let second = try self.pair()
        _ = second.resources.deny(["spiffe://test.local/gateway/other", subject])
        try second.connect()
        #expect(second.serverHandler.session == nil)
        #expect(second.serverRecorder.errors == [.peerDenied(subject)])
    }

    @Test("connections with a denied peer are closed, those of others stay")
    func closed() throws {
        let pair = try self.pair()
        try pair.connect()
        let peer = try #require(pair.serverHandler.session?.peer)
        #expect(pair.resources.deny(["spiffe://test.local/gateway/other"]).isEmpty)
        #expect(pair.server.isActive)
        #expect(pair.resources.deny([peer.serial]) == [peer])
        #expect(!pair.server.isActive && pair.serverRecorder.isInactive)
        #expect(pair.resources.deny([peer.serial]).isEmpty)
    }

    @Test("a client trusts the root the server sends if it has the digest, and no other")
    func sentRoot() throws {
        let server = try self.certificates.identity("spiffe://test.local/vault/main")
        let root = try self.certificates.rootCertificate()
        let chain = self.certificates.path("with-root.pem")
        try self.certificates.append(server.chain, self.certificates.root, to: chain)
        let others = try TestCertificates()
        for (file, digest, error) in [
            (chain, root.fingerprint.bytes, nil),
            (
                chain, try others.rootCertificate().fingerprint.bytes,
                TLSError.peerCertificateRefused(reason: "its trust root is not the one expected")
            ),
            (
                server.chain, root.fingerprint.bytes,
                TLSError.peerCertificateRefused(reason: "its trust root is not the one expected")
            ),
        ] {
            var client = TLSClientConfiguration(
                trustRoots: nil, peer: .identity("spiffe://test.local/vault/main"))
            client.rootDigests = [[0], digest]
            let pair = try TLSPair(
                server: TLSServerConfiguration(
                    certificates: [TLSCertificateFiles(chain: file, key: server.key)]),
                client: client)
            try pair.connect()
            #expect(pair.clientRecorder.errors == (error.map { [$0] } ?? []))
            #expect(pair.clientRecorder.handshakes == (error == nil ? 1 : 0))
        }
    }
}
