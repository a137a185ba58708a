import Cryptography
import Foundation

@testable import TLS

/// A folder of certificates made for one test, removed with this object.
final class TestCertificates {
    let folder: String
    let root: String

    init() throws {
        self.folder = NSTemporaryDirectory() + "scoregate-tls-" + UUID().uuidString
        self.root = self.folder + "/root.pem"
        try FileManager.default.createDirectory(
            atPath: self.folder, withIntermediateDirectories: true)
        self.authority = try CertificateAuthority.create(trustDomain: "test.local")
        try self.authority.certificate.pem.write(
            toFile: self.root, atomically: true, encoding: .utf8)
    }

    deinit { try? FileManager.default.removeItem(atPath: self.folder) }

    private let authority: CertificateAuthority

    /// A server's certificate for DNS names.
    func server(
        _ names: [String], algorithm: PrivateKey.Algorithm = .ecdsaP256, file: String = "server"
    ) throws -> TLSCertificateFiles {
        try self.store(
            self.authority.issueServer(
                commonName: "server", dnsNames: names, ipAddresses: ["127.0.0.1"],
                algorithm: algorithm), file)
    }

    /// A service's certificate.
    func identity(_ id: String, dnsNames: [String] = []) throws -> TLSCertificateFiles {
        try self.store(
            self.authority.issueIdentity(SPIFFEID(id), dnsNames: dnsNames), UUID().uuidString)
    }

    /// A certificate of this root with just these extensions, which our own authority would not issue.
    func openssl(_ extensions: String, days: Int = 1) throws -> TLSCertificateFiles {
        let name = UUID().uuidString
        let files = TLSCertificateFiles(
            chain: self.path(name + ".pem"), key: self.path(name + ".key"))
        try self.writeRootKey()
        let common = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        try (common + extensions).write(
            toFile: self.path("extensions"), atomically: true, encoding: .utf8)
        try self.run([
            "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", "/CN=made up", "-keyout", files.key, "-out", self.path("request"),
        ])
        try self.run([
            "x509", "-req", "-in", self.path("request"), "-CA", self.root, "-CAkey",
            self.path("root.key"), "-days", String(days), "-extfile", self.path("extensions"),
            "-out", files.chain,
        ])
        return files
    }

    /// A PEM file with this root's list of `revoked`; due anew tomorrow unless `validity` says otherwise.
    func revocationList(
        of revoked: [TLSCertificateFiles], validity: [String] = ["-crldays", "1"]
    ) throws -> String {
        try self.writeRootKey()
        let name = UUID().uuidString
        let settings = self.path(name + ".cnf")
        try """
        [ca]
        default_ca = own
        [own]
        database = \(self.path(name + ".index"))
        default_md = sha256
        crl_extensions = extensions
        [extensions]
        authorityKeyIdentifier = keyid
        """.write(toFile: settings, atomically: true, encoding: .utf8)
        try "".write(toFile: self.path(name + ".index"), atomically: true, encoding: .utf8)
        let authority = [
            "ca", "-config", settings, "-cert", self.root, "-keyfile", self.path("root.key"),
        ]
        for files in revoked { try self.run(authority + ["-revoke", files.chain]) }
        let list = self.path(name + ".crl")
        try self.run(authority + ["-gencrl", "-out", list] + validity)
        return list
    }

    @discardableResult
    func run(_ arguments: [String], input: String = "") throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
        process.arguments = arguments
        let output = Pipe()
        let source = Pipe()
        process.standardInput = source
        process.standardError = output
        process.standardOutput = output
        try process.run()
        try source.fileHandleForWriting.write(contentsOf: Data(input.utf8))
        try source.fileHandleForWriting.close()
        // The end of its output is the end of the process; waitUntilExit() can miss it off the main
        // thread.
        let bytes = try output.fileHandleForReading.readToEnd() ?? Data()
        return String(decoding: bytes, as: UTF8.self)
    }

    func rootCertificate() throws -> Certificate { self.authority.certificate }

    /// Writes the certificates of both files into a third.
    func append(_ first: String, _ second: String, to path: String) throws {
        let text = try [first, second].map { try String(contentsOfFile: $0, encoding: .utf8) }
        try text.joined().write(toFile: path, atomically: true, encoding: .utf8)
    }

    func path(_ name: String) -> String { self.folder + "/" + name }

    private func writeRootKey() throws {
        let key = try self.authority.privateKeyPEM()
        let bytes = unsafe key.bytes.withUnsafeBytes { unsafe Data($0) }
        try bytes.write(to: URL(fileURLWithPath: self.path("root.key")))
    }

    private func store(
        _ issued: consuming CertificateAuthority.Issued, _ file: String
    ) throws -> TLSCertificateFiles {
        let files = TLSCertificateFiles(
            chain: self.path(file + ".pem"), key: self.path(file + ".key"))
        try issued.certificate.pem.write(toFile: files.chain, atomically: true, encoding: .utf8)
        let key = unsafe issued.privateKeyPEM.bytes.withUnsafeBytes { unsafe Data($0) }
        _ = FileManager.default.createFile(
            atPath: files.key, contents: key, attributes: [.posixPermissions: 0o600])
        return files
    }
}
