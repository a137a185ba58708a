import Cryptography
import Foundation
import Testing

@testable import TLS

@Suite struct ConfigurationTests {
    let certificates: TestCertificates

    init() throws { self.certificates = try TestCertificates() }

    @Test("Good files show what they are for")
    func good() throws {
        let files = try self.certificates.server(["a.example", "*.b.example"])
        let context = try TLSServerContext(
            TLSServerConfiguration(certificates: [files]), resources: TLSWorkerResources(),
            ticketKeys: TLSTicketKeys())
        #expect(context.certificateNames == ["*.b.example", "a.example"])
        #expect(context.covers("a.example"))
        #expect(context.covers("x.b.example"))
        #expect(!context.covers("b.example"))
        #expect(!context.covers("x.y.b.example"))
        #expect(context.certificates.count == 1)
    }

    @Test("A connection may carry the hosts that each certificate covers it can have been shown")
    func hosts() throws {
        let context = try TLSServerContext(
            TLSServerConfiguration(certificates: [
                self.certificates.server(["a.example", "b.example", "*.d.example"], file: "one"),
                self.certificates.server(["b.example", "c.example"], file: "two"),
            ]), resources: TLSWorkerResources(), ticketKeys: TLSTicketKeys())
        for (serverName, host, isCovered) in [
            ("a.example", "b.example", true), ("a.example", "x.d.example", true),
            ("a.example", "c.example", false), ("a.example", "d.example", false),
            ("x.d.example", "a.example", true), ("c.example", "b.example", true),
            ("c.example", "a.example", false), ("nobody.example", "a.example", false),
        ] {
            #expect(
                context.covers(host, forClientsOf: serverName) == isCovered,
                "\(host) for \(serverName)")
        }
    }

    @Test("A file that is missing, open to others or not PEM is named")
    func files() throws {
        let good = try self.certificates.server(["a.example"])
        var files = good
        files.chain = self.certificates.path("absent")
        #expect(self.error(files) == .cryptography(.file(path: files.chain, problem: .missing)))
        files = good
        try "nothing".write(
            toFile: self.certificates.path("text"), atomically: true, encoding: .utf8)
        files.chain = self.certificates.path("text")
        guard case .certificateMalformed(files.chain, _) = self.error(files) else {
            Issue.record("\(String(describing: self.error(files)))")
            return
        }
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: good.key)
        #expect(
            self.error(good)
                == .cryptography(.file(path: good.key, problem: .openToOthers(mode: 0o644))))
    }

    @Test("A key of another certificate and a chain out of order are refused")
    func mismatch() throws {
        let first = try self.certificates.server(["a.example"], file: "first")
        let second = try self.certificates.server(["a.example"], file: "second")
        let mixed = TLSCertificateFiles(chain: first.chain, key: second.key)
        #expect(self.error(mixed) == .keyMismatch(chain: first.chain, key: second.key))
        let both =
            try String(contentsOfFile: first.chain, encoding: .utf8)
            + String(contentsOfFile: second.chain, encoding: .utf8)
        try both.write(toFile: first.chain, atomically: true, encoding: .utf8)
        #expect(self.error(first) == .chainBroken(path: first.chain, position: 1))
    }

    @Test("A certificate that has run out is refused")
    func expired() throws {
        let files = try self.certificates.openssl("subjectAltName=DNS:a.example", days: -1)
        guard case .certificateExpired(files.chain, _) = self.error(files) else {
            Issue.record("\(String(describing: self.error(files)))")
            return
        }
    }

    @Test("Client certificates need roots to check them against")
    func noRoots() throws {
        let configuration = try TLSServerConfiguration(
            certificates: [self.certificates.server(["a.example"])],
            clientAuthentication: .required)
        #expect(throws: TLSError.self) { try TLSServerContext.validate(configuration) }
    }

    @Test(
        "A client whose cipher suites are all of another version than it offers is refused",
        arguments: [(TLSVersion.tls12, TLSCipher.aes256GCM), (.tls13, .rsaAES128GCM)])
    func otherVersion(_ version: TLSVersion, _ suite: TLSCipher) throws {
        var client = TLSClientConfiguration(
            trustRoots: self.certificates.root, peer: .dnsName("a.example"),
            minimumVersion: version == .tls13 ? .tls13 : .tls12)
        client.maximumVersion = version
        client.cipherSuites = [suite]
        let resources = try TLSWorkerResources()
        #expect(throws: TLSError.self) {
            try TLSClientContext(client, resources: resources)
        }
    }

    private func error(_ files: TLSCertificateFiles) -> TLSError? {
        do {
            _ = try TLSServerContext.validate(TLSServerConfiguration(certificates: [files]))
            return nil
        } catch { return error }
    }
}
