import Cryptography
import Foundation
import KeyVault
import ServiceConfiguration
import State
import Testing

@testable import Vault

@Suite("Vault configuration")
struct VaultConfigurationTests {
    static let valid = """
        trust_domain: test.local
        service: {kind: vault, name: main}
        state: state
        root_key: {file: root.key}
        base_url: https://vault.example.com:7443
        listeners:
          - address: 0.0.0.0:7443
        admin: {address: "unix:admin.sock"}
        identity: {chain: vault.pem, key: vault.key, trust_roots: root.pem}
        limits: {connections: 10, idle_timeout_ms: 5000}
        pkcs11: {module: module.so, token_label: scoregate, pin: {file: root.key}, serial: 3f6c1a09}
        policy:
          - identity: spiffe://test.local/gateway/edge
            keys: {"log-*": [get, wrapKey]}
            secrets: {backend: [get]}

        """

    @Test("every key that is acted on is read")
    func all() throws {
        let folder = try Folder()
        let read = try folder.read(Self.valid)
        #expect(read.spiffeID.text == "spiffe://test.local/vault/main")
        #expect(read.publicURL == "https://vault.example.com:7443")
        #expect(read.listeners == [.ip(IPAddress(ipv4: 0), port: 7443)])
        #expect(read.adminSocket == "\(folder.path)/admin.sock")
        #expect(read.connections == 10)
        #expect(read.idleTimeoutMilliseconds == 5000)
        #expect(read.token?.module == "\(folder.path)/module.so")
        #expect(read.token?.serial == "3f6c1a09")
        #expect(read.token?.pinFile == "\(folder.path)/root.key")
        let writer = try SPIFFEID("spiffe://test.local/gateway/edge")
        #expect(read.policy.allows(.wrapKey, .key, "log-1", to: writer))
        #expect(read.policy.allows(.get, .secret, "backend", to: writer))
        #expect(!read.policy.allows(.set, .secret, "backend", to: writer))
    }

    @Test(
        "a reload says of each key that it needs a restart",
        arguments: [
            ("state: state\n", "state: other\n", "state"),
            ("7443\nadmin", "7444\nadmin", "listeners"),
            ("limits: {connections: 10", "limits: {connections: 11", "limits"),
            ("limits:", "drain_timeout_ms: 5\nlimits:", "drain_timeout_ms"),
        ])
    func fixed(_ old: String, _ new: String, _ key: String) throws {
        let folder = try Folder()
        let present = try folder.read(Self.valid)
        try present.checkFixed(present)
        let changed = try folder.read(Self.valid.replacing(old, with: new))
        #expect {
            try present.checkFixed(changed)
        } throws: {
            "\($0)".contains("a restart is needed for a change of \(key)")
        }
    }

    @Test(
        "each problem is named where it stands",
        arguments: [
            ("kind: vault", "kind: gateway", "2:17: \"gateway\" is not one of vault"),
            ("state: state\n", "", "1:1: missing key \"state\""),
            ("root_key: {file: root.key}\n", "", "1:1: missing key \"root_key\""),
            (
                "base_url: https://vault.example.com:7443\n", "",
                "6:3: 0.0.0.0:7443 is not what clients connect to: say that by \"base_url\""
            ),
            (
                "https://vault.example.com:7443", "http://vault.example.com",
                "5:11: \"http://vault.example.com\" is not the URL of a vault: https://HOST:PORT; without a path"
            ),
            (
                "0.0.0.0:7443", "unix:vault.sock",
                "7:14: a vault knows who asks by mutual TLS: it needs an IP address and port"
            ),
            (
                "unix:admin.sock", "127.0.0.1:1",
                "8:18: the listeners answer /healthz and /readyz: admin is for unix:PATH"
            ),
            ("pin: {file: root.key}", "pin: {file: none}", "11:65: none: no such file"),
            ("pin: {file", "pin: {value", "11:59: unknown key \"value\"; known are file"),
            (
                "[get, wrapKey]", "[get, wrapkey]",
                "14:27: unknown right \"wrapkey\"; did you mean \"wrapKey\"?"
            ),
            (
                "backend: [get]", "backend: [unwrapKey]",
                "15:25: unknown right \"unwrapKey\"; known are get, list, set, update, delete, recover, purge"
            ),
            (
                "\"log-*\"", "\"log-*x\"",
                "14:12: \"log-*x\" fits no name: letters, digits and dashes, with * at its end for all that begin so"
            ),
            (
                "[get, wrapKey]", "[wrapKey], log-a: [unwrapKey]",
                "13:5: spiffe://test.local/gateway/edge could wrap and unwrap with the same key: whoever writes logs should not read them; if it must, say may_wrap_and_unwrap: true"
            ),
            (
                "spiffe://test.local/gateway", "spiffe://elsewhere/gateway",
                "13:15: spiffe://elsewhere/gateway/edge is not of this vault's trust domain, test.local"
            ),
            (
                "    secrets:", "  - identity: spiffe://test.local/gateway/edge\n    secrets:",
                "15:5: spiffe://test.local/gateway/edge has an entry already: write all of it there"
            ),
        ])
    func problems(_ old: String, _ new: String, _ problem: String) throws {
        let folder = try Folder()
        #expect(Self.valid.contains(old))
        let problems = folder.problems(Self.valid.replacing(old, with: new, maxReplacements: 1))
        #expect(problems.contains(problem), "\(problems)")
    }

    @Test("wrapping and unwrapping with different keys, or said so, is no problem")
    func both() throws {
        let folder = try Folder()
        let apart = Self.valid.replacing("[get, wrapKey]", with: "[wrapKey], other: [unwrapKey]")
        #expect(folder.problems(apart) == [])
        let said = Self.valid.replacing(
            "keys: {\"log-*\": [get, wrapKey]}",
            with: "may_wrap_and_unwrap: true\n    keys: {\"log-*\": [unwrapKey, wrapKey]}")
        #expect(folder.problems(said) == [])
    }

    @Test("a vault that issues identities makes its own, and says where services join")
    func identities() throws {
        let folder = try Folder()
        let read = try folder.read(
            Self.issuing(
                #"join_address: "127.0.0.1:7444", certificate_minutes: 15, dns_names: [a.example]"#)
        )
        #expect(read.identities.leafSeconds == 900 && read.identities.rejoinSeconds == 604_800)
        #expect(read.identities.dnsNames == ["a.example"])
        #expect(read.identity.certificate.key == "\(folder.path)/state/identity/current/key.pem")
        #expect(
            read.location
                == VaultLocation(
                    joinURL: "https://127.0.0.1:7444", vaultURL: "https://vault.example.com:7443",
                    vaultIdentity: read.spiffeID))
        let other = try folder.read(
            Self.issuing(#"join_address: "0.0.0.0:7444", join_url: "https://a.example""#))
        #expect(other.location?.joinURL == "https://a.example")
    }

    @Test(
        "what a vault cannot issue is refused by name",
        arguments: [
            ("certificate_minutes: 60", "missing key \"join_address\""),
            (#"join_address: "0.0.0.0:7444""#, "say by \"join_url\" what they use"),
            (#"join_address: "unix:a.sock""#, "it needs an IP address and port"),
            (#"join_address: "127.0.0.1:1", certificate_minutes: 14"#, "out of range: 15 to 1440"),
            (#"join_address: "127.0.0.1:1", rejoin_window_days: 31"#, "out of range: 0 to 30"),
            (#"join_address: "127.0.0.1:1", dns_names: ["a b"]"#, "is not a host name"),
            (#"join_adress: "127.0.0.1:1""#, "did you mean \"join_address\"?"),
        ])
    func identityProblems(_ text: String, _ problem: String) throws {
        let problems = try Folder().problems(Self.issuing(text))
        #expect(problems.contains { $0.contains(problem) }, "\(problems)")
    }

    @Test("an identity of files beside one the vault makes is refused")
    func twoIdentities() throws {
        let text = Self.valid + #"identities: {join_address: "127.0.0.1:1"}"# + "\n"
        let problems = try Folder().problems(text)
        #expect(problems.contains { $0.contains("leave out \"identity\"") }, "\(problems)")
    }

    private static func issuing(_ identities: String) -> String {
        self.valid.replacing(
            "identity: {chain: vault.pem, key: vault.key, trust_roots: root.pem}",
            with: "identities: {\(identities)}")
    }

    /// A folder with a vault's certificate and keys, removed at the end.
    private final class Folder {
        let path = NSTemporaryDirectory() + "scoregate-vault-\(UUID().uuidString)"

        init() throws {
            try FileManager.default.createDirectory(
                atPath: self.path, withIntermediateDirectories: false,
                attributes: [.posixPermissions: 0o700])
            let authority = try CertificateAuthority.create(trustDomain: "test.local")
            let issued = try authority.issueIdentity(SPIFFEID("spiffe://test.local/vault/main"))
            let key = issued.privateKeyPEM.bytes.array
            try self.write("root.pem", authority.certificate.pem)
            try self.write("vault.pem", issued.certificate.pem)
            try self.write("vault.key", String(decoding: key, as: UTF8.self))
            try self.write("root.key", String(repeating: "0f", count: 32))
        }

        deinit { try? FileManager.default.removeItem(atPath: self.path) }

        private func write(_ name: String, _ text: String) throws {
            let file = "\(self.path)/\(name)"
            try text.write(toFile: file, atomically: false, encoding: .utf8)
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file)
        }

        func read(_ yaml: String) throws -> VaultConfiguration {
            try self.write("vault.yaml", yaml)
            return try VaultConfiguration.read(path: "\(self.path)/vault.yaml", environment: [:])
        }

        func problems(_ yaml: String) -> [String] {
            do {
                _ = try self.read(yaml)
                return []
            } catch let error as InvalidConfiguration {
                return error.problems.map { problem in
                    let place = problem.line.map { "\($0):\(problem.column ?? 0): " } ?? ""
                    return place + problem.message.replacing("\(self.path)/", with: "")
                }
            } catch {
                return ["\(error)"]
            }
        }
    }
}
