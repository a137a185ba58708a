import Cryptography
import NIOCore
import NIOPosix
import Testing

@testable import TLS

/// Our server against `openssl s_client`.
@Suite struct InteroperationTests {
    let certificates: TestCertificates

    init() throws { self.certificates = try TestCertificates() }

    @Test(
        "Versions, protocols and names a client may and may not ask for",
        arguments: [
            (["-tls1_3"], "TLS_AES_128_GCM_SHA256"),
            (["-tls1_2"], "ECDHE-ECDSA-AES128-GCM-SHA256"),
            (["-tls1_2", "-cipher", "AES128-SHA"], "handshake failure"),
            (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "protocol version"),
            (["-alpn", "http/1.1"], "ALPN protocol: http/1.1"),
            (["-alpn", "h2,http/1.1"], "ALPN protocol: http/1.1"),
            (["-alpn", "h2"], "no application protocol"),
            (["-servername", "A.EXAMPLE"], "ANSWERED"),
            (["-servername", "x.wild.example"], "ANSWERED"),
            (["-servername", "x.y.wild.example"], "unrecognized name"),
            (["-servername", "wild.example"], "unrecognized name"),
            (["-servername", "other.example"], "unrecognized name"),
            (["-servername", "127.0.0.1"], "ANSWERED"),
            (["-servername", "::1"], "ANSWERED"),
            (["-noservername"], "ANSWERED"),
            (["-sigalgs", "rsa_pss_rsae_sha256"], "Peer signature type: RSA-PSS"),
            (["-sigalgs", "ecdsa_secp256r1_sha256"], "Peer signature type: ECDSA"),
            (["-groups", "P-384"], "ECDH, secp384r1, 384 bits"),
            (["-groups", "P-521"], "handshake failure"),
        ])
    func client(options: [String], expected: String) throws {
        let server = try LoopbackServer(self.configuration())
        let output = try self.ask(server, options)
        #expect(output.contains(expected), "\(options): \(output)")
    }

    @Test("A ticket resumes at another worker", arguments: ["-tls1_2", "-tls1_3"])
    func resumption(version: String) throws {
        let keys = TLSTicketKeys()
        let first = try LoopbackServer(self.configuration(), ticketKeys: keys)
        let second = try LoopbackServer(self.configuration(), ticketKeys: keys)
        let file = self.certificates.path("session" + version)
        let made = try self.ask(
            first, [version, "-servername", "a.example", "-sess_out", file])
        #expect(made.contains("New, TLSv1"))
        #expect(!made.contains("Max Early Data: 1"))
        let again = [version, "-servername", "a.example", "-sess_in", file]
        let reused = try self.ask(second, again)
        #expect(reused.contains("Reused, TLSv1"))
        // A ticket is good for one connection: each resumption brings the next.
        if version == "-tls1_3" { #expect(reused.contains("New Session Ticket arrived")) }
        let elsewhere = [version, "-servername", "x.wild.example", "-sess_in", file]
        #expect(try self.ask(second, elsewhere).contains("New, TLSv1"))
        var other = try self.configuration()
        other.listener = "another"
        let third = try LoopbackServer(other, ticketKeys: keys)
        #expect(try self.ask(third, again).contains("New, TLSv1"))
        keys.rotate()
        keys.rotate()
        #expect(try self.ask(second, again).contains("Reused, TLSv1"))
        keys.rotate()
        #expect(try self.ask(second, again).contains("New, TLSv1"))
    }

    @Test("Renegotiation is refused")
    func renegotiation() throws {
        let server = try LoopbackServer(self.configuration())
        let output = try self.certificates.run(
            ["s_client", "-connect", "127.0.0.1:\(server.port)", "-tls1_2"], input: "R\n")
        #expect(output.contains("RENEGOTIATING"))
        #expect(output.contains("no renegotiation"), "\(output)")
    }

    @Test("Writing can be shut down while reading goes on")
    func halfClose() throws {
        let server = try LoopbackServer(self.configuration(), isHalfClosing: true)
        let output = try self.ask(server, [])
        #expect(output.contains("ANSWERED"))
        #expect(output.contains("closed"))
    }

    private func configuration() throws -> TLSServerConfiguration {
        TLSServerConfiguration(certificates: [
            try self.certificates.server(["a.example", "*.wild.example"]),
            try self.certificates.server(["a.example"], algorithm: .rsa(bits: 2_048), file: "rsa"),
        ])
    }

    private func ask(_ server: LoopbackServer, _ options: [String]) throws -> String {
        try self.certificates.run(
            [
                "s_client", "-connect", "127.0.0.1:\(server.port)", "-CAfile",
                self.certificates.root, "-ign_eof",
            ] + options, input: "question\n")
    }
}
