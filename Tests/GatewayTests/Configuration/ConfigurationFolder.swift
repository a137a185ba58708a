import Cryptography
import Foundation
import ServiceConfiguration
import State

@testable import Gateway

/// A temporary folder with a gateway's certificates and keys, removed at the end.
final class ConfigurationFolder {
    let path: String

    /// Makes `gateway.pem` and `.key` for iris.example.com and *.apps.example.com, `expired.pem`,
    /// `other.key`, `identity.pem` and `.key`, `roots.pem`, `root.key`.
    init() throws {
        self.path = NSTemporaryDirectory() + "scoregate-configuration-\(UUID().uuidString)"
        try FileManager.default.createDirectory(
            atPath: self.path, withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
        let now = UnixTime.milliseconds / 1000
        let authority = try CertificateAuthority.create(
            trustDomain: "scoregate.local", days: 365, now: now - 100 * 86_400)
        try self.write("roots.pem", Self.pem(authority.certificate))
        let names = ["iris.example.com", "*.apps.example.com"]
        let server = try authority.issueServer(
            commonName: "gateway", dnsNames: names, ipAddresses: ["127.0.0.1", "::1"],
            days: 90,
            now: now)
        try self.write("gateway.pem", Self.pem(server.certificate))
        try self.write("gateway.key", server.privateKeyPEM)
        let expired = try authority.issueServer(
            commonName: "gateway", dnsNames: names, ipAddresses: [], days: 1,
            now: now - 50 * 86_400)
        try self.write("expired.pem", Self.pem(expired.certificate))
        try self.write("expired.key", expired.privateKeyPEM)
        let identity = try authority.issueIdentity(
            SPIFFEID("spiffe://scoregate.local/gateway/edge"), dnsNames: [], ipAddresses: [],
            days: 30, now: now)
        try self.write("identity.pem", Self.pem(identity.certificate))
        try self.write("identity.key", identity.privateKeyPEM)
        try self.write("root.key", String(repeating: "0f", count: 32) + "\n")
    }

    deinit {
        try? FileManager.default.removeItem(atPath: self.path)
    }

    func write(_ name: String, _ text: String, mode: Int = 0o600) throws {
        let path = "\(self.path)/\(name)"
        try text.write(toFile: path, atomically: false, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
    }

    func write(_ name: String, _ secret: borrowing SecretBytes) throws {
        let bytes = (0..<secret.count).map { secret.bytes.byte(at: $0) }
        try self.write(name, String(decoding: bytes, as: UTF8.self))
    }

    /// The configuration in `yaml`.
    func read(
        _ yaml: String, environment: [String: String] = [:]
    ) throws(InvalidConfiguration) -> GatewayConfiguration {
        try? self.write("gateway.yaml", yaml)
        return try GatewayConfiguration.read(
            path: "\(self.path)/gateway.yaml", environment: environment)
    }

    /// What is wrong with the configuration in `yaml`, as `line:column: message`; the folder's
    /// path is left out.
    func problems(_ yaml: String, environment: [String: String] = [:]) -> [String] {
        do throws(InvalidConfiguration) {
            _ = try self.read(yaml, environment: environment)
            return []
        } catch {
            return error.problems.map { problem in
                let place = problem.line.map { "\($0):\(problem.column ?? 0): " } ?? ""
                return place + problem.message.replacing("\(self.path)/", with: "")
            }
        }
    }

    private static func pem(_ certificate: Certificate) -> String {
        let text = Data(certificate.der).base64EncodedString(options: .lineLength64Characters)
        return "-----BEGIN CERTIFICATE-----\n\(text)\n-----END CERTIFICATE-----\n"
    }
}
