import Testing

@testable import TLS

/// Certificate revocation lists made by `openssl ca`.
@Suite("Revocation lists")
struct RevocationListTests {
    private let certificates: TestCertificates

    init() throws { self.certificates = try TestCertificates() }

    @Test("What a list names is refused in the handshake, what it does not name is let in")
    func revoked() throws {
        let withdrawn = try self.certificates.identity("spiffe://test.local/gateway/old")
        let other = try self.certificates.identity("spiffe://test.local/gateway/new")
        let list = try self.certificates.revocationList(of: [withdrawn])
        #expect(try self.refusal(of: withdrawn, by: list) == "certificate revoked")
        #expect(try self.refusal(of: other, by: list) == nil)
    }

    @Test("An authority without a list, or with one that is out of date, vouches for nobody")
    func unknown() throws {
        let client = try self.certificates.identity("spiffe://test.local/gateway/edge")
        let others = try TestCertificates()
        let foreign = try others.revocationList(of: [])
        #expect(try self.refusal(of: client, by: foreign) == "unable to get certificate CRL")
        let old = try self.certificates.revocationList(
            of: [],
            validity: [
                "-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20200102000000Z",
            ])
        #expect(try self.refusal(of: client, by: old) == "CRL has expired")
    }

    @Test("A file that holds no list, or is not there, makes no context")
    func unreadable() throws {
        let client = try self.certificates.identity("spiffe://test.local/gateway/edge")
        for path in [self.certificates.root, self.certificates.path("none")] {
            #expect(throws: TLSError.self) { try self.refusal(of: client, by: path) }
        }
    }

    /// Why the server refuses `client`; nil if it does not.
    private func refusal(of client: TLSCertificateFiles, by list: String) throws -> String? {
        var server = TLSServerConfiguration(
            certificates: [try self.certificates.server(["a.example"])],
            clientAuthentication: .required, clientTrustRoots: self.certificates.root)
        server.clientRevocationLists = list
        let pair = try TLSPair(
            server: server,
            client: TLSClientConfiguration(
                trustRoots: self.certificates.root, identity: client, peer: .dnsName("a.example")))
        try pair.connect()
        guard case .peerCertificateRefused(let reason) = pair.serverRecorder.errors.first else {
            #expect(pair.serverRecorder.errors.isEmpty)
            return nil
        }
        return reason
    }
}
