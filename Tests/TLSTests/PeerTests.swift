import COpenSSL
import NIOCore
import Testing

@testable import TLS

@Suite struct PeerTests {
    let certificates: TestCertificates
    let others: TestCertificates

    init() throws {
        self.certificates = try TestCertificates()
        self.others = try TestCertificates()
    }

    @Test("A service's certificate gives its identity", arguments: [TLSPurpose.edge, .internal])
    func identity(purpose: TLSPurpose) throws {
        let id = "spiffe://test.local/gateway/edge"
        let pair = try self.connect(client: self.certificates.identity(id), purpose: purpose)
        #expect(pair.serverRecorder.errors == [])
        #expect(pair.serverHandler.session?.peer?.identity == id)
        #expect(pair.serverHandler.session?.peer?.subject.contains("edge") == true)
        #expect(pair.clientRecorder.handshakes == 1)
    }

    @Test("A certificate of another root is refused")
    func foreign() throws {
        let pair = try self.connect(
            client: self.others.identity("spiffe://test.local/gateway/edge"), purpose: .internal)
        guard case .peerCertificateRefused = pair.serverRecorder.errors.first else {
            Issue.record("\(pair.serverRecorder.errors)")
            return
        }
        #expect(pair.counters.failures(.certificate) == 1)
        // The client had finished; the alert comes after, and is the same whatever is wrong.
        #expect(pair.clientRecorder.errors == [.alertReceived(40)])
    }

    @Test("Made-up certificates are refused, by rule", arguments: ClientCase.all)
    func refused(scenario: ClientCase) throws {
        let files = try self.certificates.openssl(scenario.configuration, days: scenario.days)
        let pair = try self.connect(client: files, purpose: scenario.purpose)
        #expect(pair.serverHandler.session == nil)
        guard case .peerCertificateRefused(let reason) = pair.serverRecorder.errors.first else {
            Issue.record("\(pair.serverRecorder.errors)")
            return
        }
        #expect(reason.contains(scenario.reason))
        #expect(pair.clientRecorder.errors == [.alertReceived(40)])
    }

    @Test("Without a certificate: optional lets in, required does not")
    func absent() throws {
        let optional = try self.connect(client: nil, authentication: .optional)
        #expect(optional.serverRecorder.errors == [])
        #expect(optional.serverHandler.session?.peer == nil)
        let required = try self.connect(client: nil, authentication: .required)
        #expect(
            required.serverRecorder.errors == [
                .peerCertificateRefused(reason: "no certificate presented")
            ])
    }

    @Test("A client refuses a server of another name, root or identity")
    func wrongServer() throws {
        let server = try self.certificates.identity(
            "spiffe://test.local/agent/blue", dnsNames: ["a.example"])
        let cases: [(TLSExpectedPeer, String, TLSError?)] = [
            (.dnsName("a.example"), self.certificates.root, nil),
            (.identity("spiffe://test.local/agent/blue"), self.certificates.root, nil),
            (
                .identity("spiffe://test.local/agent/blu"), self.certificates.root,
                .peerIdentityRefused(
                    presented: "spiffe://test.local/agent/blue",
                    expected: "spiffe://test.local/agent/blu")
            ),
            (
                .dnsName("b.example"), self.certificates.root,
                .peerIdentityRefused(presented: nil, expected: "b.example")
            ),
            (
                .dnsName("127.0.0.1"), self.certificates.root,
                .peerIdentityRefused(presented: nil, expected: "127.0.0.1")
            ),
            (
                .identity("spiffe://test.local/agent/blue"), self.others.root,
                .peerCertificateRefused(reason: "unable to get local issuer certificate")
            ),
        ]
        for (peer, root, error) in cases {
            let pair = try TLSPair(
                server: TLSServerConfiguration(certificates: [server]),
                client: TLSClientConfiguration(trustRoots: root, peer: peer, serverName: nil))
            // b.example is unknown to the server too: its alert would come first.
            if peer == .dnsName("b.example") { continue }
            try pair.connect()
            #expect(pair.clientRecorder.errors == (error.map { [$0] } ?? []), "\(peer)")
        }
    }

    @Test("A server sends the chain its file has, and nothing of its trust roots")
    func sentChain() throws {
        var client = TLSClientConfiguration(
            trustRoots: self.certificates.root,
            identity: try self.certificates.identity("spiffe://test.local/gateway/edge"),
            peer: .dnsName("a.example"))
        client.wantsTickets = true
        let pair = try TLSPair(
            server: TLSServerConfiguration(
                certificates: [self.certificates.server(["a.example"])],
                clientAuthentication: .required, clientTrustRoots: self.certificates.root),
            client: client)
        try pair.connect()
        let connection = try #require(pair.clientHandler.connection)
        let chain = unsafe SSL_get_peer_cert_chain(connection.ssl)
        #expect(unsafe COpenSSL_sk_X509_num(chain) == 1)
    }

    @Test("No tickets where client certificates are asked for")
    func noTickets() throws {
        let pair = try self.connect(
            client: self.certificates.identity("spiffe://test.local/gateway/edge"))
        #expect(pair.serverHandler.session?.isResumed == false)
    }

    private func connect(
        client: TLSCertificateFiles?, purpose: TLSPurpose = .edge,
        authentication: TLSClientAuthentication = .required
    ) throws -> TLSPair {
        let pair = try TLSPair(
            server: TLSServerConfiguration(
                certificates: [self.certificates.server(["a.example"])],
                clientAuthentication: authentication, clientTrustRoots: self.certificates.root,
                purpose: purpose),
            client: TLSClientConfiguration(
                trustRoots: self.certificates.root, identity: client, peer: .dnsName("a.example")))
        try pair.connect()
        return pair
    }

    /// A client certificate that must not get in.
    struct ClientCase: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var configuration: String
        var reason: String
        var purpose = TLSPurpose.internal
        var days = 1

        static let all = [
            ClientCase(
                testDescription: "two URIs",
                configuration: """
                    basicConstraints=critical,CA:false
                    keyUsage=critical,digitalSignature
                    subjectAltName=URI:spiffe://test.local/agent/a,URI:spiffe://test.local/agent/b
                    """, reason: "more than one URI"),
            ClientCase(
                testDescription: "two URIs at the edge",
                configuration: """
                    basicConstraints=critical,CA:false
                    keyUsage=critical,digitalSignature
                    subjectAltName=URI:spiffe://test.local/agent/a,URI:https://example.com/
                    """, reason: "more than one URI", purpose: .edge),
            ClientCase(
                testDescription: "an authority",
                configuration: """
                    basicConstraints=critical,CA:true
                    keyUsage=critical,digitalSignature,keyCertSign
                    subjectAltName=URI:spiffe://test.local/agent/a
                    """, reason: "authority"),
            ClientCase(
                testDescription: "no identity",
                configuration: """
                    basicConstraints=critical,CA:false
                    keyUsage=critical,digitalSignature
                    subjectAltName=DNS:a.example
                    """, reason: "no SPIFFE ID"),
            ClientCase(
                testDescription: "an identity with a query",
                configuration: """
                    basicConstraints=critical,CA:false
                    keyUsage=critical,digitalSignature
                    subjectAltName=URI:spiffe://test.local/agent/a?x
                    """, reason: "no SPIFFE ID"),
            ClientCase(
                testDescription: "a key that may not sign",
                configuration: """
                    basicConstraints=critical,CA:false
                    keyUsage=critical,keyAgreement
                    subjectAltName=URI:spiffe://test.local/agent/a
                    """, reason: ""),
            ClientCase(
                testDescription: "for servers only",
                configuration: """
                    basicConstraints=critical,CA:false
                    keyUsage=critical,digitalSignature
                    extendedKeyUsage=serverAuth
                    subjectAltName=URI:spiffe://test.local/agent/a
                    """, reason: "purpose"),
        ]
    }
}
