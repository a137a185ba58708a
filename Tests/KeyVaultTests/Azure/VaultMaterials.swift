import Cryptography
import Foundation
import State
import TLS

@testable import KeyVault

/// Certificates of a trust domain with a vault, and an RSA key that a fake one has; in a folder that is
/// removed at the end.
final class VaultMaterials: Sendable {
    let path = NSTemporaryDirectory() + "scoregate-azure-\(UUID().uuidString)"
    let root: String
    let vault: TLSCertificateFiles
    let gateway: TLSCertificateFiles
    /// For the DNS name localhost.
    let server: TLSCertificateFiles
    /// Another trust root's, with the vault's identity.
    let foreign: TLSCertificateFiles

    static let identity = "spiffe://test.local/vault/vault"

    init() throws {
        try FileManager.default.createDirectory(
            atPath: self.path, withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
        let authority = try CertificateAuthority.create(trustDomain: "test.local")
        let stranger = try CertificateAuthority.create(trustDomain: "test.local")
        self.root = self.path + "/root.pem"
        try authority.certificate.pem.write(
            toFile: self.root, atomically: true, encoding: .utf8)
        self.vault = try Self.store(
            authority.issueIdentity(SPIFFEID(Self.identity)), self.path + "/vault")
        self.gateway = try Self.store(
            authority.issueIdentity(SPIFFEID("spiffe://test.local/gateway/edge")),
            self.path + "/gateway")
        self.server = try Self.store(
            authority.issueServer(commonName: "vault", dnsNames: ["localhost"]),
            self.path + "/server")
        self.foreign = try Self.store(
            stranger.issueIdentity(SPIFFEID(Self.identity)), self.path + "/foreign")
    }

    deinit { try? FileManager.default.removeItem(atPath: self.path) }

    var service: VaultAccess {
        .service(identity: self.gateway, trustRoots: self.root, peer: Self.identity)
    }

    func write(_ name: String, _ text: String) throws -> String {
        let file = "\(self.path)/\(name)"
        _ = FileManager.default.createFile(
            atPath: file, contents: Data(text.utf8), attributes: [.posixPermissions: 0o600])
        return file
    }

    private static func store(
        _ issued: consuming CertificateAuthority.Issued, _ stem: String
    ) throws -> TLSCertificateFiles {
        let files = TLSCertificateFiles(chain: stem + ".pem", key: stem + ".key")
        try issued.certificate.pem.write(toFile: files.chain, atomically: true, encoding: .utf8)
        let key = unsafe issued.privateKeyPEM.bytes.withUnsafeBytes { unsafe Data($0) }
        _ = FileManager.default.createFile(
            atPath: files.key, contents: key, attributes: [.posixPermissions: 0o600])
        return files
    }
}

extension VaultTimes {
    /// For tests that are about something else, on a busy machine.
    static let patient = VaultTimes(connectMilliseconds: 60_000, answer: .seconds(120))
}

/// A key that a fake vault has.
final class FakeKey: Sendable {
    /// Of 3072 bits.
    static let usual = Result { try FakeKey(bits: 3072) }
    /// Of 2048 bits.
    static let small = Result { try FakeKey(bits: 2048) }

    let modulus: String
    let exponent: String
    private let pem: [UInt8]

    private init(bits: Int) throws {
        let numbers = try Self.make(bits)
        self.modulus = numbers.modulus
        self.exponent = numbers.exponent
        self.pem = numbers.pem
    }

    private static func make(
        _ bits: Int
    ) throws -> (modulus: String, exponent: String, pem: [UInt8]) {
        let key = try PrivateKey.generate(.rsa(bits: bits))
        let half = try RSAPublicKey(of: key)
        let modulus = try half.modulus()
        let exponent = try half.exponent()
        return (
            Base64URL.text(of: modulus.rawSpan), Base64URL.text(of: exponent.rawSpan),
            bytes(try key.pem())
        )
    }

    /// The answer to a GET.
    func text(_ kid: String, _ attributes: String = #""enabled":true,"created":1700000000"#)
        -> String
    {
        #"{"key":{"kid":"\#(kid)","kty":"RSA","key_ops":["wrapKey","unwrapKey"],"n":"\#(self.modulus)","#
            + #""e":"\#(self.exponent)"},"attributes":{\#(attributes)}}"#
    }

    /// The answer to unwrapKey.
    func unwrap(_ kid: String, _ body: String) -> FakeVault.Action {
        let parts = body.components(separatedBy: #""value":""#)
        guard parts.count == 2,
            let value = Base64URL.bytes(of: String(parts[1].prefix { $0 != "\"" })),
            let opened = try? self.open(value)
        else { return .answer(400, #"{"error":{"code":"BadParameter","message":"x"}}"#) }
        return .answer(200, #"{"kid":"\#(kid)","value":"\#(Base64URL.text(of: opened.rawSpan))"}"#)
    }

    private func open(_ value: [UInt8]) throws -> [UInt8] {
        let copy = self.pem
        let pem = try SecretBytes(copying: copy.rawSpan)
        let key = try PrivateKey(pem: pem)
        return bytes(try key.unwrap(value.rawSpan))
    }
}
