import Cryptography
import Foundation
import TLS

/// A folder of one gateway's certificates, keys and state, removed with this object.
final class Materials: Sendable {
    let path: String
    /// Of the trust domain `test.local`; every certificate here leads to it.
    let root: String
    /// For localhost, 127.0.0.1, iris.example.com, other.example.com and *.apps.example.com.
    let server: TLSCertificateFiles
    /// `spiffe://test.local/gateway/edge`.
    let gateway: TLSCertificateFiles
    /// `spiffe://test.local/agent/blue`, also for localhost and 127.0.0.1.
    let backend: TLSCertificateFiles
    /// `spiffe://test.local/reader/caller`, for clients.
    let caller: TLSCertificateFiles

    private let authorityKey: [UInt8]

    init() throws {
        // Short: the path of a Unix socket has at most 107 bytes.
        self.path = "/tmp/scoregate-e2e-\(UUID().uuidString.prefix(13))"
        try FileManager.default.createDirectory(
            atPath: self.path, withIntermediateDirectories: false,
            attributes: [.posixPermissions: 0o700])
        // Two days old, so that certificates of a day can be about to run out.
        let authority = try CertificateAuthority.create(
            trustDomain: "test.local", now: CertificateAuthority.now - 2 * 86_400)
        let key = try authority.privateKeyPEM()
        self.authorityKey = unsafe key.bytes.withUnsafeBytes { unsafe Array($0) }
        self.root = self.path + "/root.pem"
        try authority.certificate.pem.write(toFile: self.root, atomically: true, encoding: .utf8)
        let folder = self.path
        self.server = try Self.store(
            authority.issueServer(
                commonName: "server",
                dnsNames: [
                    "localhost", "iris.example.com", "other.example.com", "*.apps.example.com",
                ],
                ipAddresses: ["127.0.0.1"]), folder, "server")
        self.gateway = try Self.store(
            authority.issueIdentity(SPIFFEID("spiffe://test.local/gateway/edge")), folder, "gateway"
        )
        self.backend = try Self.store(
            authority.issueIdentity(
                SPIFFEID("spiffe://test.local/agent/blue"), dnsNames: ["localhost"],
                ipAddresses: ["127.0.0.1"]), folder, "backend")
        self.caller = try Self.store(
            authority.issueIdentity(SPIFFEID("spiffe://test.local/reader/caller")), folder, "caller"
        )
        try self.write("root.key", String(repeating: "ab", count: 32), mode: 0o600)
    }

    deinit { try? FileManager.default.removeItem(atPath: self.path) }

    /// Issues another service certificate; `days` as the authority takes them.
    func identity(
        _ id: String, file: String, days: Int = 30,
        now: Int64 = CertificateAuthority.now, ipAddresses: [String] = []
    ) throws -> TLSCertificateFiles {
        let authority = try CertificateAuthority(
            certificatePEM: Array(Data(contentsOf: URL(fileURLWithPath: self.root))),
            privateKeyPEM: SecretBytes(count: self.authorityKey.count) { output in
                for byte in self.authorityKey { output.append(byte) }
            })
        return try Self.store(
            authority.issueIdentity(
                SPIFFEID(id), ipAddresses: ipAddresses, days: days, now: now), self.path, file)
    }

    /// Issues a service certificate under a trust root of its own, which nobody here trusts.
    func foreignIdentity(_ id: String, file: String) throws -> TLSCertificateFiles {
        let authority = try CertificateAuthority.create(trustDomain: "test.local")
        return try Self.store(authority.issueIdentity(SPIFFEID(id)), self.path, file)
    }

    /// A certificate of this root with just these extensions, which our own authority would refuse.
    func madeUp(
        _ extensions: String, file: String, days: Int = 1
    ) async throws -> TLSCertificateFiles {
        let files = TLSCertificateFiles(
            chain: "\(self.path)/\(file).pem", key: "\(self.path)/\(file).key")
        try self.write("ca.key", String(decoding: self.authorityKey, as: UTF8.self), mode: 0o600)
        try self.write("\(file).ext", extensions)
        let outcome = try await Command.run(
            "/bin/bash",
            [
                "-e", "-c",
                """
                cd \(self.path)
                openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
                -subj '/CN=made up' -keyout \(file).key -out \(file).csr
                openssl x509 -req -in \(file).csr -CA root.pem -CAkey ca.key -CAcreateserial \
                -days \(days) -extfile \(file).ext -out \(file).pem
                """,
            ])
        guard outcome.code == 0 else { throw HarnessError.commandFailed(outcome.errors) }
        return files
    }

    @discardableResult
    func write(_ name: String, _ text: String, mode: Int = 0o644) throws -> String {
        let file = self.path + "/" + name
        try text.write(toFile: file, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file)
        return file
    }

    private static func store(
        _ issued: consuming CertificateAuthority.Issued, _ folder: String, _ file: String
    ) throws -> TLSCertificateFiles {
        let files = TLSCertificateFiles(
            chain: "\(folder)/\(file).pem", key: "\(folder)/\(file).key")
        try issued.certificate.pem.write(toFile: files.chain, atomically: true, encoding: .utf8)
        let key = unsafe issued.privateKeyPEM.bytes.withUnsafeBytes { unsafe Data($0) }
        _ = FileManager.default.createFile(
            atPath: files.key, contents: key, attributes: [.posixPermissions: 0o600])
        return files
    }
}
